"""Checks that a Canopy write whose answer was lost can be found by reading, and that effects are counted."""

import http.client

from canopy.state import now
from selftest.base import SandboxTest


class CanopyWrites(SandboxTest):
    """Writes in doubt: sent once, answer lost, looked up."""

    ACTION = {"type": "REMOVE_MORTGAGEE", "payload": {"carrier_policy_number": "HO1", "mortgagee_type": "FIRST"}}
    CONSENT = {"device_identifier": "1.2.3.4", "terms_version": 3, "consent_language": "I agree", "public_alias": "sandbox-link",
               "insurerName": "geico", "insurerUsername": "user_good", "insurerPassword": "pass_good", "meta_data": {"job": "17"}}

    def send_and_lose(self, path, body, kind="reset"):
        self.box.arm(kind=kind, method="POST")
        with self.assertRaises((OSError, http.client.HTTPException)):
            self.box.call("POST", path, body=body)

    def effects(self):
        return [(row["operation"], row["requests"], row["effects"]) for row in self.box.control("GET", "/effects/canopy")["operations"]]

    def test_a_monitoring_is_found_by_its_pull(self):
        pull_id = self.box.ready["pulls"]["user_good"]
        listing = f"/teams/{{team}}/monitorings?pull_id={pull_id}"
        self.assertEqual(self.box.call("GET", listing)[1]["monitorings_count"], 0)
        self.send_and_lose("/teams/{team}/monitorings", {"interval": "P2M", "pull_id": pull_id})
        found = self.box.call("GET", listing)[1]["monitorings"]
        self.assertEqual([(monitoring["interval"], monitoring["latest_pull_id"]) for monitoring in found], [("P2M", pull_id)])
        self.assertEqual(self.effects(), [("post-monitoring", 1, 1)])

    def test_servicings_are_found_in_their_listing(self):
        before = self.box.call("GET", "/teams/{team}/servicings")[1]["total_servicings"]
        start = now()
        self.send_and_lose("/teams/{team}/servicings", {"pull_id": self.box.ready["pulls"]["user_good"], "servicing_actions": [self.ACTION]})
        found = self.box.call("GET", f"/teams/{{team}}/servicings?offset={before}")[1]["servicings"]
        self.assertEqual([{name: action[name] for name in self.ACTION} for action in found], [self.ACTION])
        pull = self.box.call("GET", f"/teams/{{team}}/pulls?since={start}")[1]["pulls"][0]
        self.assertEqual(pull["type"], "SERVICING")
        of_pull = self.box.call("GET", f"/teams/{{team}}/servicings?pull_id={pull['pull_id']}")[1]["servicings"]
        self.assertEqual(of_pull, found)
        self.assertEqual(self.effects(), [("post-servicings", 1, 1)])

    def test_a_new_pull_is_found_by_time_and_metadata(self):
        start = now()
        self.send_and_lose("/widget/pull/consentAndConnect", self.CONSENT)
        found = self.box.call("GET", f"/teams/{{team}}/pulls?since={start}")[1]
        self.assertEqual((found["total_pulls"], found["pulls"][0]["meta_data"]), (1, '{"job":"17"}'))
        self.assertGreaterEqual(found["pulls"][0]["created_at"], start)

    def test_a_blind_repeat_is_a_duplicate_effect(self):
        for _ in range(2):
            self.box.call("POST", "/widget/pull/consentAndConnect", body=self.CONSENT)
        self.assertEqual(self.effects(), [("post-consent-and-connect", 2, 2)])
        self.assertEqual(self.box.control("GET", "/effects")["canopy"], {"requests": 2, "effects": 2, "duplicate_effects": 1})

    def test_what_is_refused_or_replaced_by_a_fault_has_no_effect(self):
        self.box.call("POST", "/teams/{team}/monitorings", body={"interval": "P1D", "pull_id": self.box.ready["pulls"]["user_good"]})
        self.box.arm(kind="status", status=503)
        self.box.call("POST", "/widget/pull/consentAndConnect", body=self.CONSENT)
        self.assertEqual(self.effects(), [("post-monitoring", 1, 0), ("post-consent-and-connect", 1, 0)])
        self.box.control("DELETE", "/effects")
        self.assertEqual(self.effects(), [])

    def test_a_request_can_be_lost_before_its_effect(self):
        self.send_and_lose("/widget/pull/consentAndConnect", self.CONSENT, "lost")
        self.assertEqual(self.effects(), [("post-consent-and-connect", 1, 0)])
        self.assertEqual(self.box.call("GET", "/teams/{team}/monitorings")[0], 200)
