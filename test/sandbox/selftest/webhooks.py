"""Checks the webhooks that the sandbox sends: what receivers get, how their answers count, what can be asked for."""

import collections
import hashlib
import json
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from net import certificates
from net.wire import ClientGone, Listener, Response, Service, plain, tls
from selftest.base import HERE, JSON, SandboxTest
from selftest.webhook_bodies import GUIDES_BODY, GUIDES_SECRET, GUIDES_SIGNATURE
from webhook import canopy_events
from webhook import signing


class Receiver(Service):
    """Answers requests from a script and then with 200; keeps what it got."""

    def __init__(self, context=None):
        self.script = collections.deque()
        self.requests = []
        self.released = threading.Event()
        self.listener = Listener(tls(self, context) if context else plain(self)).start()
        self.url = f"http{'s' if context else ''}://localhost:{self.listener.port}/webhooks/x?y=1"

    def answer(self, request):
        self.requests.append(request)
        step = self.script.popleft() if self.script else 200
        if step == "stall":
            self.released.wait()
        if step in ("stall", "hang up"):
            raise ClientGone
        return step if isinstance(step, Response) else Response.of({"seen": len(self.requests)}, step)

    def bodies(self):
        return [json.loads(request.body) for request in self.requests]

    def stop(self):
        self.released.set()
        self.listener.stop()


def parsed(value):
    """Time and signatures of a header."""
    parts = [part.partition("=") for part in value.split(",")]
    return parts[0][2], [signature for _, _, signature in parts[1:]]


class WebhookTest(SandboxTest):
    """A receiver for each test, and requests for webhooks to it. Retries follow at once."""

    def setUp(self):
        super().setUp()
        self.receiver = Receiver()
        self.addCleanup(self.receiver.stop)
        self.addCleanup(self.box.control, "DELETE", "/webhook")
        self.settings(scale=0)

    def settings(self, **changes):
        self.box.control("PUT", "/webhook", changes)

    def post(self, event=None, provider=None, wait=True, **spec):
        """The numbers of the deliveries, which are over unless the test does not want to wait for that."""
        event = {"event": event} if event else {}
        given = {"url": self.receiver.url, "secret": "s3cret", "provider": provider, **event, **spec}
        numbers = self.box.control("POST", "/webhook", given)["deliveries"]
        if wait:
            self.wait_until_over()
        return numbers

    def counts(self):
        return self.box.control("GET", "/webhook/counts")

    def is_over(self):
        counts = self.counts()
        return counts["waiting"] == counts["sending"] == 0

    def wait_for_retries(self, count, after):
        """Until so many deliveries wait for another attempt; before the first one, they are said to wait, too."""
        self.wait_for(lambda: len(self.receiver.requests) == after and self.counts()["waiting"] == count)

    def wait_until_over(self):
        self.wait_for(self.is_over)

    def delivery(self, number):
        return self.box.control("GET", f"/webhook/{number}")

    def attempts(self, query=""):
        return self.box.control("GET", f"/webhook/attempts{query}")["attempts"]

    def register(self, provider, **more):
        self.box.control("PUT", "/webhook/receiver", {"provider": provider, "url": self.receiver.url, "secret": "s3cret", **more})

    def refused(self, method, path, body):
        with self.assertRaises(AssertionError) as caught:
            self.box.control(method, path, body)
        return caught.exception.args[0]["detail"]


class Deliveries(WebhookTest):
    """What a receiver gets, and how its answers count."""

    def test_a_receiver_can_verify_what_it_gets_and_the_log_shows_it(self):
        before = int(time.time())
        number, = self.post("COMPLETE", pull_id=self.box.ready["pulls"]["user_mfa"])
        request, = self.receiver.requests
        moment, signatures = parsed(request.header("canopy-signature"))
        self.assertEqual(signatures, [signing.signature("s3cret", moment, request.body)])
        self.assertTrue(before <= int(moment) <= time.time())
        self.assertEqual((request.method, request.target, request.header("content-type")), ("POST", "/webhooks/x?y=1", "application/json"))
        row, = self.delivery(number)["log"]
        self.assertEqual((row["body"].encode(), row["body_sha256"]), (request.body, hashlib.sha256(request.body).hexdigest()))
        self.assertEqual((row["headers"]["canopy-signature"], row["status"], row["answer"], row["error"], row["is_delivered"]),
                         (request.header("canopy-signature"), 200, '{"seen":1}', None, True))
        self.assertLessEqual(row["started"], row["finished"])
        self.assertEqual(self.receiver.bodies()[0]["pull_id"], self.box.ready["pulls"]["user_mfa"])

    def test_canopy_wants_exactly_200(self):
        self.receiver.script.extend((201, 204, 404, 302, 500))
        number, = self.post("COMPLETE")
        shown = self.delivery(number)
        self.assertEqual((shown["state"], shown["statuses"]), ("delivered", [201, 204, 404, 302, 500, 200]))
        self.assertEqual(len({request.body for request in self.receiver.requests}), 1)

    def test_both_give_up(self):
        self.receiver.script.extend([500] * 19)
        canopy, = self.post("COMPLETE")
        summit, = self.post("policy.verified")
        self.assertEqual([(self.delivery(number)["state"], self.delivery(number)["attempts"]) for number in (canopy, summit)],
                         [("exhausted", 11), ("exhausted", 8)])

    def test_summit_s_attempt_rises_in_the_signed_body(self):
        self.receiver.script.extend((503, 408, 429, 499, 302))
        number, = self.post("policy.submitted")
        bodies = self.receiver.bodies()
        self.assertEqual([body["attempt"] for body in bodies], [1, 2, 3, 4, 5, 6])
        self.assertEqual(len({body["delivery_id"] for body in bodies}), 1)
        for request in self.receiver.requests:
            moment, signatures = parsed(request.header("x-summit-signature"))
            self.assertEqual(signatures, [signing.signature("s3cret", moment, request.body)])
        self.assertEqual([row["attempt"] for row in self.delivery(number)["log"]], [1, 2, 3, 4, 5, 6])

    def test_summit_takes_any_2xx_and_stops_at_a_4xx(self):
        for status, state in ((204, "delivered"), (202, "delivered"), (400, "refused"), (401, "refused")):
            self.receiver.script.append(status)
            number, = self.post("policy.lapsed")
            self.assertEqual((self.delivery(number)["state"], self.delivery(number)["statuses"]), (state, [status]))

    def test_silence_and_broken_connections_are_retried(self):
        self.settings(canopy_timeout=0.2)
        self.receiver.script.extend(("stall", "hang up", Response(200, b"{}", headers=[("Content-Length", "99"), ("Connection", "close")])))
        number, = self.post("COMPLETE")
        rows = self.delivery(number)["log"]
        self.assertEqual([row["status"] for row in rows][-1:], [200])
        self.assertRegex(rows[0]["error"], "timed out")
        self.assertRegex(rows[1]["error"], "closed the connection")
        self.assertLessEqual(0.2, rows[0]["finished"] - rows[0]["started"])

    def test_the_timeouts_are_those_of_the_provider(self):
        self.settings(summit_timeout=0.2, canopy_timeout=3600)
        self.receiver.script.extend(("stall", "stall"))
        patient, = self.post("COMPLETE", attempts=1, wait=False)
        self.wait_for(lambda: len(self.receiver.requests) == 1)
        hasty, = self.post("policy.lapsed", attempts=1, wait=False)
        self.wait_for(lambda: self.delivery(hasty)["state"] == "exhausted")
        self.assertEqual(self.delivery(patient)["state"], "sending")
        self.receiver.released.set()

    def test_nobody_listens(self):
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            number, = self.post("COMPLETE", url=f"http://127.0.0.1:{closed.getsockname()[1]}/", attempts=2)
        self.assertEqual([row["error"].partition(":")[0] for row in self.delivery(number)["log"]], ["ConnectionRefusedError"] * 2)

    def test_retries_wait_as_long_as_the_schedule_says_and_follow_the_scale(self):
        self.settings(scale=1, jitter="none")
        self.receiver.script.extend([500] * 3)
        numbers = [*self.post("COMPLETE", wait=False), *self.post("policy.lapsed", wait=False)]
        self.wait_for_retries(2, after=2)
        self.assertEqual([self.delivery(number)["next_delay"] for number in numbers], [61, 120])
        self.settings(scale=0.001)
        self.wait_until_over()
        self.assertEqual(self.counts()["delivered"], 2)
        first, second = self.delivery(numbers[1])["log"][:2]
        self.assertGreaterEqual(second["started"] - first["finished"], 0.12 - 0.01)

    def test_connections_are_kept_and_limited(self):
        self.settings(connections=2)
        self.post(webhooks=[{"event": "COMPLETE"}] * 40)
        self.assertLessEqual(self.receiver.listener.connections, 2)
        self.assertLessEqual(len({row["connection"] for row in self.attempts()}), 2)
        self.assertGreaterEqual(sum(row["is_reused"] for row in self.attempts()), 38)

    def test_https(self):
        secure = Receiver(certificates.context(pathlib.Path(self.box.place.name, "tls")))
        self.addCleanup(secure.stop)
        for trusted, state in ((None, "delivered"), (self.box.ready["ca_file"], "delivered"), ("system", "exhausted")):
            number, = self.post("COMPLETE", url=secure.url, ca_file=trusted, attempts=1)
            self.assertEqual(self.delivery(number)["state"], state)


class Requests(WebhookTest):
    """What can be asked for on the control port."""

    def test_original_and_fresh_signatures(self):
        self.receiver.script.extend((500, 500))
        self.settings(scale=1.1 / 61)
        numbers = [*self.post("COMPLETE", resign="original", wait=False), *self.post("COMPLETE", resign="fresh", wait=False)]
        self.wait_until_over()
        for number, different in zip(numbers, (1, 2)):
            headers = [row["headers"]["canopy-signature"] for row in self.delivery(number)["log"]]
            self.assertEqual((len(headers), len(set(headers))), (2, different))

    def test_times_headers_and_bodies_that_no_provider_would_send(self):
        before = int(time.time())
        self.post("COMPLETE", time_offset=-400)
        self.post("COMPLETE", at=1645638136, secret=GUIDES_SECRET, body=GUIDES_BODY.decode())
        self.post(provider="summit", at="０7", body={"base64": "AP8="}, headers={"X-More": "1", "Content-Type": None})
        self.post("policy.lapsed", signature="t=1,v1=00")
        first, second, third, fourth = self.receiver.requests
        self.assertTrue(before <= int(parsed(first.header("canopy-signature"))[0]) + 400 <= time.time())
        self.assertEqual(second.header("canopy-signature"), f"t=1645638136,s={GUIDES_SIGNATURE}")
        self.assertEqual((third.body, third.header("x-more"), third.header("content-type")), (b"\0\xff", "1", None))
        self.assertEqual(self.attempts()[2]["body_encoding"], "base64")
        self.assertEqual(fourth.header("x-summit-signature"), "t=1,v1=00")

    def test_copies(self):
        numbers = self.post("policy.verified", copies=3)
        self.assertEqual((len(numbers), len({request.body for request in self.receiver.requests})), (3, 1))
        self.post("policy.verified", copies=3, rising=True, attempt=2)
        self.assertEqual(sorted(body["attempt"] for body in self.receiver.bodies()[3:]), [2, 3, 4])

    def test_order_is_as_given_or_shuffled_the_same_way_for_the_same_seed(self):
        self.settings(connections=1)
        specs = [{"event": "COMPLETE", "pull_id": f"pull-{number:02d}"} for number in range(20)]
        orders = []
        for order, seed in (("given", 1), ("shuffled", 1), ("shuffled", 2)):
            self.receiver.requests.clear()
            self.post(webhooks=specs, order=order, copies=2, seed=seed)
            orders.append([body["pull_id"] for body in self.receiver.bodies()])
        self.assertEqual(orders[0], [spec["pull_id"] for spec in specs for _ in range(2)])
        self.assertTrue(orders[0] != orders[1] != orders[2])
        self.assertEqual(sorted(orders[1]), orders[0])
        self.box.control("DELETE", "/state")
        self.settings(connections=1)
        self.receiver.requests.clear()
        self.post(webhooks=specs, order="shuffled", copies=2, seed=1)
        self.assertEqual([body["pull_id"] for body in self.receiver.bodies()], orders[1])

    def test_a_replay_is_the_same_bytes_and_a_forgery_another_signature(self):
        number, = self.post("policy.verified")
        self.receiver.script.extend((401, 401))
        replayed, = self.box.control("POST", "/webhook", {"replay_of": number})["deliveries"]
        self.wait_until_over()
        forged, = self.post("COMPLETE", forged=True)
        first, second, third = self.receiver.requests
        self.assertEqual((first.body, first.header("x-summit-signature")), (second.body, second.header("x-summit-signature")))
        moment, signatures = parsed(third.header("canopy-signature"))
        self.assertNotEqual(signatures, [signing.signature("s3cret", moment, third.body)])
        self.assertEqual([self.delivery(number)["attempts"] for number in (replayed, forged)], [1, 1])
        self.assertEqual(self.delivery(forged)["state"], "exhausted")

    def test_what_is_wrong_is_refused(self):
        for spec, complaint in (({"event": "COMPLETE", "typo": 1}, "typo"), ({"event": "COMPLET"}, "unknown event"),
                                ({"event": "COMPLETE", "url": "https://example.com/"}, "not on this machine"),
                                ({"event": "COMPLETE", "url": None, "secret": None}, "nobody is registered"),
                                ({"event": "COMPLETE", "secret": None}, "secret"), ({"event": "COMPLETE", "attempts": 12}, "1 to 11"),
                                ({"event": "policy.lapsed", "provider": "other"}, "other"), ({"replay_of": 99}, "no such delivery"),
                                ({"event": "COMPLETE", "resign": "never"}, "never"), ({"order": "wild", "event": "COMPLETE"}, "wild")):
            given = {"url": self.receiver.url, "secret": "s", **spec}
            self.assertIn(complaint, self.refused("POST", "/webhook", given))
        self.assertIn("typo", self.refused("PUT", "/webhook", {"typo": 1}))
        self.assertEqual((self.counts()["deliveries"], self.receiver.requests), (0, []))

    def test_the_log_can_be_narrowed_and_cleared(self):
        self.receiver.script.append(400)
        self.post("policy.lapsed")
        self.post("COMPLETE")
        self.assertEqual(self.attempts("?after=1&fields=event,status"), [{"event": "COMPLETE", "status": 200}])
        self.assertEqual(self.attempts("?is_delivered=False&fields=status"), [{"status": 400}])
        whole = self.box.control("GET", "/webhook?state=delivered&fields=event,statuses")
        self.assertEqual((whole["deliveries"], whole["settings"]["scale"]), ([{"event": "COMPLETE", "statuses": [200]}], 0))
        self.settings(scale=1)
        self.receiver.script.append(500)
        self.post("COMPLETE", wait=False)
        self.wait_for_retries(1, after=3)
        self.box.control("DELETE", "/webhook")
        self.settings(scale=0)
        self.assertEqual((sum(self.counts().values()), len(self.receiver.requests)), (0, 3))

    def test_a_thousand_events_of_five_copies(self):
        specs = [{"event": "policy.verified", "policy_number": f"P{number}"} for number in range(1000)]
        self.post(webhooks=specs, copies=5, order="shuffled")
        self.assertEqual((self.counts()["delivered"], len(self.receiver.requests)), (5000, 5000))
        ids = collections.Counter(body["delivery_id"] for body in self.receiver.bodies())
        self.assertEqual((len(ids), set(ids.values())), (1000, {5}))


class Registered(WebhookTest):
    """Receivers that hear of what happens in the sandbox."""

    def setUp(self):
        super().setUp()
        self.settings(delay=0.01, connections=1)

    def upload(self, number="P-1"):
        box = self.box
        form = f"grant_type=client_credentials&client_id={box.ready['summit_client_id']}&scope=policies:write policies:read"
        form += "&client_secret=summit%2Bsecret%2F%26%3D%2541"
        token = json.loads(box.raw("POST", "/oauth2/token", {"Content-Type": "application/x-www-form-urlencoded"}, form,
                                   box.ready["summit_auth_port"])[2])["access_token"]
        self.summit_headers = {"Authorization": f"Bearer {token}", **JSON}
        body = {"policy": {"policy_number": number, "insurer_name": "I", "policy_type": "CGL", "effective_date": "2025-01-01",
                           "expiry_date": "2026-01-01"},
                "certificate_holder": {"name": "H", "additional_insured": True, "waiver_of_subrogation": False,
                                       "reference_ids": {"property_id": "P", "tenant_id": "T"}}}
        status, _, content = box.raw("POST", "/v1/policies", {**self.summit_headers, "Idempotency-Key": number}, json.dumps(body),
                                     box.ready["summit_port"])
        self.assertEqual(status, 202)
        return json.loads(content)["job_id"]

    def poll(self, job_id):
        return json.loads(self.box.raw("GET", f"/v1/jobs/{job_id}", self.summit_headers, port=self.box.ready["summit_port"])[2])["status"]

    def wait_for_events(self, *events, name="event"):
        self.wait_for(lambda: len(self.receiver.requests) >= len(events))
        self.wait_until_over()
        time.sleep(0.1)
        self.assertEqual([body[name] for body in self.receiver.bodies()], list(events))

    def test_an_upload_is_submitted_and_verified(self):
        self.register("summit")
        self.upload()
        self.wait_for_events("policy.submitted", "policy.verified")
        first, second = self.receiver.bodies()
        self.assertEqual(first["data"], {
            "policy": {"policy_number": "P-1", "policy_type": "CGL", "effective_date": "2025-01-01", "expiry_date": "2026-01-01"},
            "certificate_holder": {"name": "H", "reference_ids": {"property_id": "P", "tenant_id": "T"}}})
        self.assertEqual(second["data"]["certificate_holder"], {"reference_ids": {"property_id": "P"}})
        self.upload()
        self.wait_for_events("policy.submitted", "policy.verified")
        self.box.control("POST", "/webhook", {"event": "policy.lapsed", "policy_number": "P-1"})
        self.wait_for_events("policy.submitted", "policy.verified", "policy.lapsed")
        self.assertEqual(self.receiver.bodies()[2]["data"]["certificate_holder"]["reference_ids"], {"property_id": "P", "tenant_id": "T"})

    def test_verification_waits_for_its_outcome(self):
        self.register("summit")
        self.box.control("POST", "/outcome", {"policy_number": "FAIL", "outcome": {"status": "failed"}})
        self.box.control("POST", "/outcome", {"policy_number": "EVER", "outcome": {"status": "pending"}})
        self.box.control("POST", "/outcome", {"policy_number": "POLL", "outcome": {"after_polls": 1}})
        self.upload("FAIL")
        pending, polled = self.upload("EVER"), self.upload("POLL")
        self.wait_for_events(*["policy.submitted"] * 3)
        self.assertEqual([self.poll(polled), self.poll(polled)], ["pending", "verified"])
        self.wait_for_events(*["policy.submitted"] * 3, "policy.verified")
        self.box.control("PUT", f"/job/{pending}", {"status": "verified", "after_seconds": 0.2})
        self.wait_for_events(*["policy.submitted"] * 3, *["policy.verified"] * 2)
        self.assertEqual(self.receiver.bodies()[4]["data"]["policy"]["policy_number"], "EVER")

    def test_a_pull_that_ends_says_so(self):
        self.register("canopy")
        good = self.box.ready["pulls"]["user_good"]
        self.box.control("PATCH", f"/pull/{good}", {"status": "SUCCESS"})
        self.wait_for_events("POLICIES_AVAILABLE", "COMPLETE", name="event_type")
        self.assertEqual({body["pull_id"] for body in self.receiver.bodies()}, {good})
        document = {"pull_id": "new", "status": "SUCCESS", "policies": []}
        self.box.control("PUT", "/pull/new", {**document, "status": "PULLING_DATA"})
        self.box.control("PUT", "/pull/new", document)
        self.box.control("PUT", "/pull/new", document)
        self.wait_for_events(*["POLICIES_AVAILABLE", "COMPLETE"] * 2, name="event_type")

    def test_logins_and_monitorings_say_all_that_one_wants_to_hear(self):
        self.register("canopy", event_types=list(canopy_events.EVENTS))
        consent = {"device_identifier": "1", "terms_version": 3, "consent_language": "I agree", "public_alias": "sandbox-link",
                   "insurerName": "geico", "insurerUsername": "user_optionless_mfa", "insurerPassword": "pass_good", "meta_data": {"n": 1}}
        pull = self.box.call("POST", "/widget/pull/consentAndConnect", body=consent)[1]
        self.wait_for_events("AUTH_STATUS", name="event_type")
        self.box.call("POST", f"/widget/pull/{pull['pull_id']}/idv", {"pull-jwt": pull["pull_jwt"]}, {"mfaValue": "123456"})
        expected = ["AUTH_STATUS", "AUTH_STATUS", "POLICY_AVAILABLE", "POLICY_AVAILABLE", "POLICIES_AVAILABLE", "COMPLETE"]
        self.wait_for_events(*expected, name="event_type")
        bodies = self.receiver.bodies()
        self.assertEqual([body.get("sequence") for body in bodies[:2]], [1, 2])
        self.assertEqual((bodies[0]["meta_data"], bodies[0]["status"], bodies[1]["status"]), ({"n": 1}, "IDENTITY_VERIFICATION", "SUCCESS"))
        discover = self.box.ready["pulls"]["user_good_discover"]
        monitoring = self.box.call("POST", "/teams/{team}/monitorings", body={"interval": "P1M", "pull_id": discover})[1]["monitoring"]
        self.receiver.requests.clear()
        self.box.call("POST", f"/teams/{{team}}/monitorings/{monitoring['monitoring_id']}/refresh")
        self.wait_for_events("AUTH_STATUS", "POLICY_AVAILABLE", "POLICIES_AVAILABLE", "COMPLETE", "MONITORING_EVENTS", name="event_type")
        self.assertEqual([body["monitoring"] for body in self.receiver.bodies()],
                         [{"initial_pull_id": discover, "monitoring_id": monitoring["monitoring_id"]}] * 5)
        self.assertEqual(self.receiver.bodies()[4]["data"]["changes"][0]["schema"], "DWELLING")

    def test_webhooks_registered_through_the_api(self):
        hooks = [self.box.call("POST", "/teams/{team}/webhooks", body={"hookUrl": url, "eventTypes": types})[1]
                 for url, types in ((self.receiver.url, ["COMPLETE"]), ("https://canopy.test/hook", ["COMPLETE"]))]
        good = self.box.ready["pulls"]["user_good"]
        self.box.control("PATCH", f"/pull/{good}", {"status": "SUCCESS"})
        self.wait_for_events("COMPLETE", name="event_type")
        moment, signatures = parsed(self.receiver.requests[0].header("canopy-signature"))
        self.assertEqual(signatures, [signing.signature(hooks[0]["signing_secret"], moment, self.receiver.requests[0].body)])
        self.assertIn("nobody", self.refused("POST", "/webhook", {"event": "POLICIES_AVAILABLE"}))
        self.box.call("PATCH", f"/teams/{{team}}/webhooks/{hooks[0]['webhook_id']}", body={"isActive": False})
        self.assertIn("nobody", self.refused("POST", "/webhook", {"event": "COMPLETE"}))

    def test_a_changed_secret_signs_the_retries_too(self):
        self.register("summit", secrets=["old", "new"])
        self.settings(scale=1)
        self.receiver.script.append(500)
        self.box.control("POST", "/webhook", {"event": "policy.reinstated"})
        self.wait_for_retries(1, after=1)
        self.register("summit", secrets=["new"])
        self.settings(scale=0)
        self.wait_until_over()
        for request, secrets in zip(self.receiver.requests, (["old", "new"], ["new"]), strict=True):
            moment, signatures = parsed(request.header("x-summit-signature"))
            self.assertEqual(signatures, [signing.signature(secret, moment, request.body) for secret in secrets])
        self.assertEqual(self.box.control("GET", "/webhook/receiver")["receivers"][0]["secrets"], ["new"])
        self.box.control("DELETE", "/webhook/receiver")
        self.assertIn("nobody", self.refused("POST", "/webhook", {"event": "policy.lapsed"}))


class CommandLine(unittest.TestCase):
    """send.py, for one's own receiver."""

    def setUp(self):
        self.receiver = Receiver()
        self.addCleanup(self.receiver.stop)

    def run_it(self, *arguments):
        with tempfile.NamedTemporaryFile("w") as secrets:
            secrets.write("one\ntwo\n")
            secrets.flush()
            return subprocess.run((sys.executable, HERE / "send.py", "--url", self.receiver.url, "--secret-file", secrets.name, *arguments),
                                  capture_output=True, text=True)

    def test_events_are_sent_once_and_signed_with_every_secret(self):
        self.receiver.script.extend((200, 500))
        done = self.run_it("--provider", "summit", "--policy-number", "P9", "policy.submitted", "policy.verified:example")
        self.assertEqual((done.returncode, done.stdout.count("\n")), (1, 2), done.stderr)
        self.assertRegex(done.stdout, r'^policy.submitted: 200 in \d+\.\d{3} s: {"seen":1}\npolicy.verified: 500 in')
        first, second = self.receiver.requests
        moment, signatures = parsed(first.header("x-summit-signature"))
        self.assertEqual(signatures, [signing.signature(secret, moment, first.body) for secret in ("one", "two")])
        self.assertEqual((self.receiver.bodies()[0]["data"]["policy"]["policy_number"], b"dwk_01HFX..." in second.body), ("P9", True))

    def test_any_bytes_and_mistakes(self):
        with tempfile.NamedTemporaryFile() as body:
            body.write(b"\xff\0")
            body.flush()
            self.assertEqual(self.run_it("--provider", "canopy", "--body-file", body.name).returncode, 0)
        self.assertEqual(self.receiver.requests[0].body, b"\xff\0")
        self.assertIn("unknown event", self.run_it("--provider", "canopy", "COMPLET").stderr)
        self.assertEqual(self.run_it("--provider", "canopy").returncode, 2)
