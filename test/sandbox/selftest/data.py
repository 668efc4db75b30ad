"""Checks the generated pulls."""

import json
import subprocess
import sys
import unittest

from data import catalogue, quirks, sentinel, users
from selftest.base import HERE


class Data(unittest.TestCase):
    """Questions about the data alone."""

    def all_pulls(self, seed=1):
        return {username: users.build_pull(seed, username, "team") for username in users.RECIPES}

    def test_same_seed_same_bytes_other_seed_other_data(self):
        self.assertEqual(json.dumps(self.all_pulls()), json.dumps(self.all_pulls()))
        for username, pull in self.all_pulls(2).items():
            self.assertNotEqual(pull, users.build_pull(1, username, "team"))

    def test_every_pull_fits_its_schema(self):
        for username, pull in self.all_pulls().items():
            self.assertIsNone(catalogue.mismatch(pull, {"ref": "Pull"}), username)

    def test_every_schema_and_nearly_every_field_occurs(self):
        seen = set()
        for pull in self.all_pulls().values():
            collect({"ref": "Pull"}, pull, "", seen)
        declared = {(name, field) for name in reachable("Pull", set()) for field in catalogue.SCHEMAS[name]["fields"]}
        missing = declared - seen
        self.assertFalse({name for name, _ in declared} - {name for name, _ in seen})
        self.assertLess(len(missing), len(declared) // 10, sorted(missing))

    def test_premiums_add_up(self):
        for username, pull in self.all_pulls().items():
            for policy in pull["policies"]:
                parts = [coverage["premium_cents"] or 0 for part in (*policy["vehicles"], *policy["dwellings"], *policy["locations"])
                         for coverage in part["coverages"]] + [group["premium_cents"] for group in policy["premium_groups"]]
                if sum(parts):
                    self.assertEqual(sum(parts), policy["total_premium_cents"], (username, policy["name"]))
                if policy["total_premium_cents"]:
                    self.assertEqual(policy["total_premium_cents"], policy["amount_paid_cents"] + policy["amount_due_cents"])

    def test_ids_inside_a_pull_refer_to_it(self):
        pull = users.build_pull(1, "user_good", "team")
        self.assertLessEqual({record["driver_id"] for record in pull["driving_records"]}, {driver["driver_id"] for driver in pull["drivers"]})
        self.assertLessEqual({claim["policy_id"] for claim in pull["claims"]}, {policy["policy_id"] for policy in pull["policies"]})

    def test_second_pull_holds_the_same_data_under_other_ids(self):
        first, second = (users.build_pull(1, "user_good_diffs", "team", number=number) for number in (0, 1))
        numbers = [[policy["carrier_policy_number"] for policy in pull["policies"]] for pull in (first, second)]
        self.assertEqual(*numbers)
        self.assertEqual(first["account_identifier"], second["account_identifier"])
        self.assertNotEqual(first["policies"][0]["policy_id"], second["policies"][0]["policy_id"])

    def test_sentinels_cover_every_field_and_are_distinct(self):
        made = sentinel.build()
        covered = {(entry["schema"], entry["field"].partition(".")[0]) for entry in made["sentinels"]}
        for name in reachable("Pull", set()):
            for field, node in catalogue.SCHEMAS[name]["fields"].items():
                inner = node.get("items", node)
                if "ref" not in inner:
                    self.assertIn((name, field), covered)
        values = [json.dumps(entry["value"]) for entry in made["sentinels"] if not is_enum(entry) and entry["value"] is not True]
        self.assertEqual(len(values), len(set(values)))
        for entry in made["sentinels"]:
            value = made["pull"]
            for step in entry["path"]:
                value = value[step]
            self.assertEqual(value, entry["value"])

    def test_quirks_are_json_and_break_the_schema(self):
        pull = json.loads(json.dumps(quirks.build()))
        self.assertIsNotNone(catalogue.mismatch(pull, {"ref": "Pull"}))
        self.assertEqual(quirks.build(), pull)

    def test_bulk_pulls_have_the_asked_size(self):
        made = subprocess.run([sys.executable, HERE / "generate.py", "pulls", "--count", "15", "--bytes", "27000", "--accounts", "7"],
                              check=True, capture_output=True).stdout.splitlines()
        self.assertEqual(len({json.loads(line)["pull_id"] for line in made}), 15)
        self.assertEqual(len({json.loads(line)["account_identifier"] for line in made}), 7)
        self.assertTrue(all(24_300 <= len(line) <= 29_700 for line in made))


def is_enum(entry):
    node = catalogue.SCHEMAS[entry["schema"]]["fields"]
    for part in entry["field"].split("."):
        node = catalogue.resolve(node[part]).get("fields", catalogue.resolve(node[part]))
    return "enum" in node or "enum" in node.get("items", {})


def reachable(name, seen):
    """The schema's name and those of all schemas that it leads to."""
    if name not in seen:
        seen.add(name)
        for reference in json.dumps(catalogue.SCHEMAS[name]).split('"ref": "')[1:]:
            reachable(reference.partition('"')[0], seen)
    return seen


def collect(node, value, name, seen):
    """Adds (schema, field) of every field that holds something."""
    name = node.get("ref", name)
    node = catalogue.resolve(node)
    if isinstance(value, list) and "any" in node:
        node = node["any"][-1]
    if isinstance(value, list):
        for item in value:
            collect(node["items"], item, name, seen)
    elif isinstance(value, dict):
        for field, inner in node.get("fields", {}).items():
            if value.get(field) not in (None, []):
                seen.add((name, field))
                collect(inner, value[field], name, seen)
