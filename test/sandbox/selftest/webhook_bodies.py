"""Checks what webhooks say, how they are signed and when they are sent again. Needs no sandbox."""

import json
import subprocess
import unittest
import unittest.mock

from data import catalogue
from data.source import Source
from webhook import canopy_events
from webhook import retries, sender, signing, summit_events, webhooks
from webhook.lifecycle import Imagination

GUIDES_SECRET = "cBiN66y0wYlbnwJiBu4wRAWceeL8jMJyhH/PjRYzTylTM9IfkJwOZ/Yfwi4dpZM5"
GUIDES_BODY = b'{"widget_id":"d2bb6d56-15ff-4760-a27c-362f9bce645a","event_type":"COMPLETE","data":{}}'
GUIDES_SIGNATURE = "e8b4c0c6d48c63f13dfb565e1e16d0942d30dfa8f280e855996bb7fd8f7fce7b"


class Signatures(unittest.TestCase):
    """The formula that both providers share."""

    def test_guide_s_vector(self):
        self.assertEqual(signing.header("canopy", [GUIDES_SECRET], 1645638136, GUIDES_BODY),
                         ("canopy-signature", f"t=1645638136,s={GUIDES_SIGNATURE}"))

    def test_openssl_agrees(self):
        for secret, moment, body in (("s", 0, b""), ("ключ/+=", 1700000000, bytes(range(256))), (GUIDES_SECRET, 1, b"x" * 100_000)):
            signed = subprocess.run(("openssl", "dgst", "-sha256", "-hmac", secret), input=b"%d." % moment + body,
                                    capture_output=True, check=True).stdout.decode().split()[-1]
            self.assertEqual(signing.signature(secret, moment, body), signed)

    def test_several_secrets(self):
        name, value = signing.header("summit", ["old", "new"], 5, b"{}")
        self.assertEqual((name, value), ("X-Summit-Signature", "t=5,v1={},v1={}".format(
            *(signing.signature(secret, 5, b"{}") for secret in ("old", "new")))))

    def test_fresh_and_kept_times(self):
        with unittest.mock.patch("webhook.sender.time") as clock:
            clock.time.side_effect = [100.9, 400.1, 100.9, 400.1]
            fresh, kept = sender.Stamp(offset=-60), sender.Stamp(offset=-60, is_kept=True)
            self.assertEqual([fresh.moment(), fresh.moment(), kept.moment(), kept.moment()], [40, 340, 40, 40])
        self.assertEqual(sender.Stamp(at="007").moment(), "007")


class Schedules(unittest.TestCase):
    """When a retry is due."""

    def test_canopy(self):
        delays = [retries.Canopy.delay(number, None) for number in range(1, 11)]
        self.assertEqual(delays, [61, 76, 141, 316, 685, 1356, 2461, 4156, 6621, 10060])
        self.assertEqual((sum(delays), retries.attempts("canopy")), (25933, 11))

    def test_summit(self):
        delays = [retries.Summit.delay(number, None) for number in range(1, 8)]
        times = [sum(delays[:number]) / 60 for number in range(8)]
        self.assertEqual(times, [0, 2, 10, 30, 120, 360, 720, 1440])
        draws = [[retries.Summit.delay(number, Source(seed, number)) for number in range(1, 8)] for seed in range(200)]
        for number, longest in enumerate(delays):
            drawn = [row[number] for row in draws]
            self.assertTrue(0 <= min(drawn) < longest * 0.1 and longest * 0.9 < max(drawn) <= longest)
        self.assertEqual(draws[7], [retries.Summit.delay(number, Source(7, number)) for number in range(1, 8)])

    def test_what_ends_a_delivery(self):
        answers = (200, 201, 204, 302, 400, 401, 404, 408, 410, 422, 429, 499, 500, 503)
        for policy, delivered, refused in ((retries.Canopy, [200], []),
                                           (retries.Summit, [200, 201, 204], [400, 401, 404, 410, 422])):
            self.assertEqual([status for status in answers if policy.is_delivered(status)], delivered)
            self.assertEqual([status for status in answers if policy.is_refused(status)], refused)


class Bodies(unittest.TestCase):
    """What the events say."""

    ENVELOPE = ["widget_id", "team_id", "pull_id", "pull_type", "status", "meta_data", "event_type", "account_identifier",
                "is_monitored", "data"]

    def setUp(self):
        self.memory = Imagination(1)
        self.desk = webhooks.Webhooks(1, None, self.memory)

    def canopy(self, event, variant=None, **spec):
        return json.loads(self.desk.body("canopy", event, variant, {**webhooks.SPEC, **spec}).render(1))

    def summit(self, event, attempt=1, variant=None, **spec):
        return json.loads(self.desk.body("summit", event, variant, {**webhooks.SPEC, **spec}).render(attempt))

    def test_every_canopy_event_and_variant_has_the_envelope(self):
        self.assertEqual(len(canopy_events.EVENTS), 11)
        statuses = {"SERVICING", *catalogue.SCHEMAS["Pull"]["fields"]["status"]["enum"]}
        for event, kind in canopy_events.EVENTS.items():
            for variant in kind.variants or (None,):
                body = self.canopy(event, variant)
                wanted = set(self.ENVELOPE) | ({"monitoring"} if kind.is_of_monitoring else set())
                wanted = wanted - {"is_monitored"} | {"sequence"} if event == "AUTH_STATUS" else wanted
                self.assertEqual((set(body), body["event_type"]), (wanted, event))
                self.assertIn(body["status"], statuses)
                self.assertIsInstance(body["meta_data"], dict)
        with self.assertRaises(ValueError):
            self.canopy("ERROR", "TYPING_ERROR")

    def test_auth_status(self):
        wrong = self.canopy("AUTH_STATUS", fields={"data": {"login_error_message": "<b>locked</b>"}})
        self.assertEqual((wrong["status"], wrong["data"]),
                         ("NOT_AUTHENTICATED", {"auth_status": "NOT_AUTHENTICATED", "login_error_message": "<b>locked</b>"}))
        options = self.canopy("AUTH_STATUS", "IDENTITY_VERIFICATION_OPTIONS")
        self.assertEqual((list(options["data"]["mfa_options"]), wrong["sequence"], options["sequence"]), (["sms", "email"], 1, 2))
        self.assertEqual(self.canopy("AUTH_STATUS", pull_id="another")["sequence"], 1)
        for place, (top, inner) in {"data": (None, 3), "both": (4, 4), "none": (None, None)}.items():
            body = self.canopy("AUTH_STATUS", sequence_in=place)
            self.assertEqual((body.get("sequence"), body["data"].get("sequence")), (top, inner))

    def test_data_of_the_others(self):
        updates = self.canopy("DATA_UPDATED")["data"]["updates"]
        self.assertEqual([update["type"] for update in updates], list(canopy_events.UPDATES))
        for update, schema in zip(updates, ("Driver", "Driver", None, None, "AnswerSection")):
            if schema:
                self.assertIsNone(catalogue.mismatch(update.get("driver") or update["data"], {"ref": schema}))
        self.assertEqual(len(self.canopy("DATA_UPDATED", "CONTACT_UPDATED")["data"]["updates"]), 1)
        for variant in canopy_events.CHANGES:
            body = self.canopy("MONITORING_EVENTS", variant)
            self.assertEqual((body["is_monitored"], set(body["monitoring"])), (True, {"initial_pull_id", "monitoring_id"}))
            self.assertIsNone(catalogue.mismatch(body["data"], {"ref": "MonitoringEvent"}))
        servicing = self.canopy("SERVICING_STATUS_UPDATED", "VERIFIED")["data"]
        self.assertEqual((servicing["previous_status"], servicing["is_manual"]), ("VERIFYING", False))
        self.assertEqual(self.canopy("ERROR", "INTERNAL_ERROR")["data"], {"type": "INTERNAL_ERROR"})
        reconnect = self.canopy("MONITORING_RECONNECT")["data"]
        self.assertTrue(reconnect["reconnect_url"].endswith(f"?reconnectToken={reconnect['reconnect_token']}"))

    def test_fields_can_be_changed_and_left_out(self):
        body = self.canopy("COMPLETE", fields={"meta_data": {"lease": 7}, "account_identifier": None}, without=["is_monitored"])
        self.assertEqual((body["meta_data"]["lease"], body["account_identifier"], "is_monitored" in body), (7, None, False))
        self.assertNotIn("documents", self.canopy("MONITORING_EVENTS", without=["data.documents"])["data"])
        new = self.canopy("BRAND_NEW", fields={"data": {"x": 1}})
        self.assertEqual((new["event_type"], new["data"], list(new)), ("BRAND_NEW", {"x": 1}, self.ENVELOPE))
        with self.assertRaises(ValueError):
            self.canopy("COMPLET")

    def test_changes_touch_no_upload(self):
        upload = self.memory.upload("P1")
        self.memory.upload = lambda number: upload
        for changes in ({"policy_number": "P2"}, {}):
            body = self.summit("policy.submitted", fields={"data": {"policy": changes}})
        self.assertEqual(body["data"]["policy"]["policy_number"], "P1")

    def test_summit_s_events_are_those_of_the_guide(self):
        for event, example in summit_events.EXAMPLES.items():
            body, example = self.summit(event, attempt=3), json.loads(example)
            self.assertEqual(list(body), ["delivery_id", "event", "occurred_at", "attempt", "data"])
            self.assertEqual((body["event"], body["attempt"]), (event, 3))
            self.assertRegex(body["delivery_id"] + body["occurred_at"], r"^dwk_01[0-9A-F]{24}\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
            for document in (body["data"], example):
                for moment in ("verified_at", "lapsed_at", "reinstated_at"):
                    document["policy"].pop(moment, None)
                document.get("documents", {}).pop("coi_pdf_id", None)
            self.assertEqual(body["data"], example)
        self.assertEqual(self.summit("policy.lapsed", policy_number="P1")["data"]["policy"]["policy_number"], "P1")

    def test_summit_s_examples_are_verbatim(self):
        body = self.desk.body("summit", "policy.verified", "example", webhooks.SPEC)
        self.assertIn('"reference_ids": {"property_id": "KEL-001","unit_id": "Unit-204"}}\n}\n}', body.render(1).decode())
        self.assertEqual(body.render(2), body.render(1).replace(b'"attempt": 1', b'"attempt": 2'))
        self.assertEqual(json.loads(body.render(8))["delivery_id"], "dwk_01HFX...")
