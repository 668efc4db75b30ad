"""Checks Summit's side of the sandbox, and the control routes for it."""

import base64
import concurrent.futures
import copy
import email.utils
import hashlib
import http.client
import json
import threading
import time
import urllib.parse

from data import files
from selftest.base import JSON, PATIENCE, SECRET, SandboxTest
from summit.oauth import SCOPES
from summit.uploads import Uploads

SEED_BODY = {
    "policy": {
        "policy_number": "ABC123456", "insurer_name": "Example Insurance Company of Canada", "policy_type": "CGL",
        "effective_date": "2025-01-01", "expiry_date": "2026-01-01", "limits": {"per_occurrence": 2000000, "aggregate": 5000000},
        "cancellation_notice_days": 30, "endorsements": ["Additional Insured", "Waiver of Subrogation"]},
    "certificate_holder": {
        "name": "ABC Apartments", "address": "123 Main St, Kelowna, BC V1Y 1A1", "additional_insured": True,
        "waiver_of_subrogation": True,
        "reference_ids": {"property_id": "KEL-001", "unit_id": "Unit-204", "lease_id": "L-7788", "tenant_id": "RES-9981"}},
    "documents": {"coi_pdf": {"content_type": "application/pdf", "base64": base64.b64encode(files.pdf("COI")).decode()}},
}


def body_of(policy_number="ABC123456"):
    body = copy.deepcopy(SEED_BODY)
    body["policy"]["policy_number"] = policy_number
    return body


class SummitTest(SandboxTest):
    """Requests of Summit's side, with a fresh token for each test."""

    def setUp(self):
        super().setUp()
        self.token = self.new_token()

    def form(self, **changes):
        """The form of a token request; a field given as None is left out."""
        fields = {"grant_type": "client_credentials", "client_id": self.box.ready["summit_client_id"],
                  "client_secret": self.box.ready["summit_client_secret"], "scope": self.box.ready["summit_scope"], **changes}
        return urllib.parse.urlencode({name: value for name, value in fields.items() if value is not None})

    def ask_token(self, form=None, headers=(), path="/oauth2/token", content_type="application/x-www-form-urlencoded"):
        """(status, JSON) of a token request."""
        port = self.box.ready["summit_auth_port"]
        status, _, content = self.box.raw("POST", path, {"Content-Type": content_type, **dict(headers)},
                                          self.form() if form is None else form, port)
        return status, json.loads(content)

    def new_token(self, **changes):
        status, answer = self.ask_token(self.form(**changes))
        self.assertEqual(status, 200, answer)
        return answer["access_token"]

    def request(self, method, path, headers=None, body=None, timeout=PATIENCE):
        """(status, headers, body bytes) of a request with the token."""
        headers = {"Authorization": f"Bearer {self.token}", **(headers or {})}
        return self.box.raw(method, path, {name: value for name, value in headers.items() if value is not None}, body,
                            self.box.ready["summit_port"], timeout)

    def upload(self, body=None, key="key-1", headers=None, timeout=PATIENCE):
        """(status, JSON) of an upload; the body is JSON or bytes."""
        body = body_of() if body is None else body
        headers = {"Idempotency-Key": key, **JSON, **(headers or {})}
        status, _, content = self.request("POST", "/v1/policies", headers,
                                          body if isinstance(body, (bytes, str)) else json.dumps(body), timeout)
        return status, json.loads(content)

    def job(self, job_id):
        status, _, content = self.request("GET", f"/v1/jobs/{job_id}")
        return status, json.loads(content)

    def effects(self):
        return self.box.control("GET", "/effects")["summit"]

    def rows(self):
        return self.box.control("GET", "/effects/summit")["uploads"]

    def assert_error(self, answer, status, code, field=None):
        error = answer[1]["error"]
        self.assertEqual((answer[0], error["code"], error.get("field")), (status, code, field), answer)
        self.assertRegex(error["correlation_id"], "^corr_01")
        self.assertTrue(error["message"])


class Tokens(SummitTest):
    """Who gets a token, and how long it lasts."""

    def test_token_answer(self):
        status, answer = self.ask_token()
        self.assertEqual((status, answer["token_type"], answer["expires_in"], answer["scope"]), (200, "Bearer", 3600, " ".join(SCOPES)))
        self.assertNotEqual(answer["access_token"], self.token)
        self.assertEqual(self.box.log()[-1]["operation"], "create-token")

    def test_the_form_of_the_guide_s_curl_example_is_read(self):
        form = ("grant_type=client_credentials&client_id=summit-client&client_secret=summit%2Bsecret/%26%3D%2541"
                "&scope=policies:write policies:read webhooks:read")
        self.assertEqual(self.ask_token(form)[0], 200)

    def test_refusals(self):
        for changes, status, code in (({"scope": None}, 400, "invalid_scope"), ({"scope": " "}, 400, "invalid_scope"),
                                      ({"scope": "policies:write everything"}, 400, "invalid_scope"),
                                      ({"client_secret": "no"}, 401, "invalid_client"), ({"client_secret": None}, 401, "invalid_client"),
                                      ({"client_id": "no"}, 401, "invalid_client"), ({"grant_type": None}, 400, "invalid_request"),
                                      ({"grant_type": "password"}, 400, "unsupported_grant_type")):
            status_got, answer = self.ask_token(self.form(**changes))
            self.assertEqual((status_got, answer["error"]), (status, code), changes)
            self.assertTrue(answer["error_description"])

    def test_credentials_belong_in_the_form_alone(self):
        for asked in (dict(headers=SECRET), dict(path="/oauth2/token?client_id=x"), dict(content_type="application/json"),
                      dict(form=self.form() + "&scope=policies:read"), dict(form=b"\xff"), dict(form="")):
            self.assertEqual(self.ask_token(**asked)[1]["error"], "invalid_request", asked)
        self.assertEqual(self.ask_token(path="/token")[0], 404)

    def test_tokens_expire_and_the_announced_length_may_lie(self):
        self.box.control("PUT", "/tokens", {"expires_in": 0.2, "announced": 3600})
        status, answer = self.ask_token()
        self.assertEqual(answer["expires_in"], 3600)
        self.token = answer["access_token"]
        self.wait_for(lambda: self.job("none")[0] == 401)
        self.box.control("PUT", "/tokens", {"announced": False})
        self.assertNotIn("expires_in", self.ask_token()[1])

    def test_revoking_ends_all_tokens_and_requests_are_counted(self):
        other = self.new_token()
        self.ask_token(self.form(scope=None))
        self.box.control("DELETE", "/tokens")
        for self.token in (self.token, other):
            self.assert_error(self.job("none"), 401, "unauthorized")
        tokens = self.box.control("GET", "/tokens")
        self.assertEqual([tokens[name] for name in ("requests", "issued", "refused", "revoked", "live")], [3, 2, 1, 2, 0])

    def test_a_token_opens_what_its_scope_says(self):
        self.token = self.new_token(scope="policies:read")
        self.assert_error(self.upload(), 403, "forbidden")
        self.assert_error(self.job("none"), 404, "not_found")
        self.token = self.new_token(scope="policies:write")
        self.assert_error(self.job(self.upload()[1]["job_id"]), 403, "forbidden")

    def test_only_one_bearer_token_is_let_in(self):
        for headers in ({"Authorization": None}, {"Authorization": "Bearer no"}, SECRET, {"x-canopy-client-id": "x"}):
            self.assert_error(self.upload(headers=headers), 401, "unauthorized")
        self.assertEqual(self.request("GET", "/v1/jobs/x", {"Authorization": "Bearer no"})[1]["WWW-Authenticate"], 'Bearer error="invalid_token"')
        self.assertEqual(self.effects()["effects"], 0)


class Uploading(SummitTest):
    """What becomes of an upload's body and key."""

    def test_the_guide_s_body_is_accepted_with_the_guide_s_answer(self):
        status, answer = self.upload()
        self.assertEqual(status, 202)
        self.assertRegex(answer["job_id"], "^job_01[0-9A-F]{24}$")
        self.assertEqual(answer, {"job_id": answer["job_id"], "status": "accepted", "links": {"self": f"/v1/jobs/{answer['job_id']}"}})

    def test_a_repeat_within_a_day_gets_the_same_job_and_has_no_effect(self):
        first = self.upload()
        self.assertEqual([self.upload() for _ in range(3)], [first] * 3)
        self.assertEqual(self.rows(), [{"policy_number": "ABC123456", "idempotency_key": "key-1", "requests": 4, "effects": 1,
                                        "bodies": 1, "job_id": first[1]["job_id"]}])
        self.assertEqual(self.effects(), {"requests": 4, "policies": 1, "effects": 1, "duplicate_effects": 0, "policies_with_several_keys": 0})

    def test_the_same_request_many_times_at_once_has_one_effect(self):
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda _: self.upload(), range(64)))
        self.assertEqual([status for status, _ in answers], [202] * 64)
        self.assertEqual(len({answer["job_id"] for _, answer in answers}), 1)
        self.assertEqual((self.effects()["requests"], self.effects()["effects"]), (64, 1))

    def test_a_repeat_that_overtook_the_first_check_has_no_effect(self):
        uploads = Uploads(1)
        jobs = [uploads.accept("key-1", "hash", "ABC123456") for _ in range(2)]
        self.assertIs(*jobs)
        self.assertEqual(uploads.summary()["effects"], 1)

    def test_another_body_under_the_key_conflicts_and_names_the_job(self):
        first = self.upload()[1]
        answer = self.upload(body_of("OTHER"))
        self.assert_error(answer, 409, "conflict")
        self.assertEqual(answer[1]["job_id"], first["job_id"])
        self.assertEqual(self.upload(json.dumps(body_of(), indent=1))[0], 409, "the bytes count")
        self.box.control("PUT", "/summit", {"conflict_job_id": "error"})
        self.assertEqual(self.upload(body_of("OTHER"))[1]["error"]["job_id"], first["job_id"])
        self.box.control("PUT", "/summit", {"conflict_job_id": "none"})
        self.assertNotIn("job_id", json.dumps(self.upload(body_of("OTHER"))[1]))
        self.assertEqual(self.effects()["effects"], 1)

    def test_a_pending_job_may_conflict_with_its_own_request(self):
        self.box.control("PUT", "/summit", {"repeat": "conflict"})
        first = self.upload()[1]
        answer = self.upload()
        self.assert_error(answer, 409, "conflict")
        self.assertEqual(answer[1]["job_id"], first["job_id"])
        self.assertEqual(self.job(first["job_id"])[1]["status"], "verified")
        self.assertEqual(self.upload(), (202, first))

    def test_a_policy_under_a_second_key_is_a_duplicate_effect(self):
        self.upload()
        self.upload(key="key-2")
        self.assertEqual(self.effects(), {"requests": 2, "policies": 1, "effects": 2, "duplicate_effects": 1, "policies_with_several_keys": 1})

    def test_a_key_is_forgotten_in_time(self):
        self.box.control("PUT", "/summit", {"idempotency_seconds": 0})
        self.assertNotEqual(self.upload(), self.upload())
        self.assertEqual(self.effects()["duplicate_effects"], 1)

    def test_a_key_is_required_once(self):
        for key in (None, "", "k" * 256):
            self.assert_error(self.upload(key=key), 400, "invalid_request", "Idempotency-Key")
        self.assertEqual(self.rows()[0]["effects"], 0)

    def test_fields_are_checked_one_by_one(self):
        for path, value, field in (
                ("policy.policy_number", None, 0), ("policy.insurer_name", None, 0), ("policy.policy_type", None, 0),
                ("policy.effective_date", None, 0), ("policy.expiry_date", None, 0), ("policy", None, 0), ("certificate_holder", None, 0),
                ("certificate_holder.name", None, 0), ("certificate_holder.additional_insured", None, 0),
                ("certificate_holder.waiver_of_subrogation", None, 0), ("certificate_holder.reference_ids", None, 0),
                ("certificate_holder.reference_ids.property_id", None, 0), ("policy.policy_number", " ", 0), ("policy.policy_number", 7, 0),
                ("policy.policy_type", "Life", 0), ("policy.effective_date", "2025-02-30", 0), ("policy.expiry_date", "20260101", 0),
                ("policy.expiry_date", "2025-01-01", 0), ("policy.limits.aggregate", "5", 0), ("policy.limits.aggregate", -1, 0),
                ("policy.cancellation_notice_days", 1.5, 0), ("policy.endorsements", ["a", 1], "policy.endorsements[1]"),
                ("policy.broker", {"email": "x"}, "policy.broker.email"), ("certificate_holder.additional_insured", "true", 0),
                ("certificate_holder.email", "x", 0), ("certificate_holder.iban", "x", 0), ("policy.notes", "x", 0), ("extra", 1, 0),
                ("documents.coi_pdf", {}, 0), ("documents.coi_pdf", {"url": "http://a/b"}, "documents.coi_pdf.url"),
                ("documents.coi_pdf.content_type", None, 0), ("documents.coi_pdf.content_type", "text/plain", 0),
                ("documents.coi_pdf.content_type", "image/png", "documents.coi_pdf.base64"), ("documents.coi_pdf.base64", "{BASE64_PDF}", 0),
                ("documents.endorsements", [{"base64": "AAAA"}], "documents.endorsements[0].content_type")):
            with self.subTest(path, value=value):
                self.assert_error(self.upload(changed(path, value)), 400, "invalid_request", field or path)
        self.assertEqual(self.effects()["effects"], 0)

    def test_messages_are_those_of_the_guide(self):
        error = self.upload(changed("policy.expiry_date", "2024-01-01"))[1]["error"]
        self.assertEqual(error["message"], "expiry_date must be after effective_date")

    def test_what_is_optional_may_be_missing_or_there(self):
        body = body_of()
        del body["documents"], body["policy"]["limits"], body["policy"]["endorsements"], body["policy"]["cancellation_notice_days"]
        body["certificate_holder"]["reference_ids"] = {"property_id": "KEL-001"}
        self.assertEqual(self.upload(body, "bare")[0], 202)
        body["documents"] = {"coi_pdf": {"url": "https://files.example/coi.pdf"}, "endorsements": [
            {"content_type": "image/jpeg", "base64": base64.b64encode(files.JPEG).decode()}]}
        body["policy"]["broker"] = {"name": "B", "phone": "604", "email": "b@example.com"}
        self.assertEqual(self.upload(body, "full")[0], 202)

    def test_a_refused_body_does_not_use_up_its_key(self):
        self.assertEqual(self.upload(changed("policy.policy_type", "x"))[0], 400)
        self.assertEqual(self.upload()[0], 202)

    def test_what_is_no_json_and_wrong_routes(self):
        self.assert_error(self.upload(b"{"), 400, "invalid_request")
        self.assert_error(self.upload("[]"), 400, "invalid_request")
        self.assert_error(self.upload(headers={"Content-Type": "text/plain"}), 400, "invalid_request", "Content-Type")
        for method, path, status in (("GET", "/v1/policies", 405), ("POST", "/v1/jobs/x", 405), ("GET", "/v2/policies", 404)):
            self.assertEqual(self.request(method, path)[0], status)


def changed(path, value):
    """The guide's body with one field set, or removed where the value is None."""
    body = body_of()
    *outer, last = path.split(".")
    place = body
    for name in outer:
        place = place[name]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return body


class OutcomesTest(SummitTest):
    """How jobs end."""

    def plan(self, outcome, **rule):
        self.box.control("POST", "/outcome", {"outcome": outcome, **rule})

    def test_verified_at_the_first_poll_unless_told_otherwise(self):
        job_id = self.upload()[1]["job_id"]
        self.assertEqual(self.job(job_id), (200, {"job_id": job_id, "status": "verified", "links": {"self": f"/v1/jobs/{job_id}"}}))

    def test_pending_for_some_polls_or_seconds_or_for_ever(self):
        self.plan({"after_polls": 2}, policy_number="^POLLS$")
        self.plan({"after_seconds": 3600}, policy_number="^SECONDS$")
        self.plan({"status": "pending"}, policy_number="^EVER$")
        jobs = {number: self.upload(body_of(number), number)[1]["job_id"] for number in ("POLLS", "SECONDS", "EVER", "OTHER")}
        first = {number: self.job(job_id)[1]["status"] for number, job_id in jobs.items()}
        self.assertEqual(first, {"POLLS": "pending", "SECONDS": "pending", "EVER": "pending", "OTHER": "verified"})
        self.assertEqual([self.job(jobs["POLLS"])[1]["status"] for _ in range(3)], ["pending", "verified", "verified"])
        self.box.control("PUT", f"/job/{jobs['SECONDS']}", {"after_seconds": 0.2})
        self.wait_for(lambda: self.job(jobs["SECONDS"])[1]["status"] == "verified")
        self.assertEqual(self.job(jobs["EVER"])[1]["status"], "pending")
        self.box.control("PUT", f"/job/{jobs['EVER']}", {"status": "verified"})
        self.assertEqual(self.job(jobs["EVER"])[1]["status"], "verified")
        self.assertEqual(self.box.control("GET", f"/job/{jobs['EVER']}")["polls"], 3)

    def test_failed_with_field_and_code_as_often_as_asked(self):
        self.plan({"status": "failed", "code": "invalid_request", "message": "no such insurer", "field": "policy.insurer_name"}, times=1)
        error = self.job(self.upload()[1]["job_id"])[1]
        self.assertEqual((error["status"], error["error"]["code"], error["error"]["field"], error["error"]["message"]),
                         ("failed", "invalid_request", "policy.insurer_name", "no such insurer"))
        self.assertEqual(self.job(self.upload(key="2")[1]["job_id"])[1]["status"], "verified")
        self.assertEqual(self.box.control("GET", "/outcome")["outcomes"][0]["left"], 0)
        self.box.control("DELETE", "/outcome")
        self.assertEqual(self.box.control("GET", "/outcome"), {"outcomes": []})


class SummitFaults(SummitTest):
    """Faults on Summit's routes."""

    def arm(self, times=1, match=None, **fault):
        self.box.control("POST", "/fault", {"match": {"listener": "summit", **(match or {})}, "times": times, "fault": fault})

    def test_refusals_have_no_effect_and_summit_s_error_model(self):
        for status, code in ((401, "unauthorized"), (409, "conflict"), (429, "rate_limited"), (503, "server_error")):
            self.arm(kind="status", status=status)
            self.assert_error(self.upload(), status, code)
        self.assertEqual((self.rows()[0]["requests"], self.rows()[0]["effects"]), (4, 0))
        self.box.control("POST", "/fault", {"match": {"listener": "summit_auth"}, "fault": {"kind": "status", "status": 401}})
        self.assertEqual(self.ask_token(), (401, {"error": "invalid_client"}))

    def test_retry_after_as_seconds_and_as_a_date(self):
        self.arm(kind="status", status=429, retry_after=7)
        self.assertEqual(self.request("GET", "/v1/jobs/x")[1]["Retry-After"], "7")
        self.arm(kind="status", status=503, retry_after_date=90)
        before = int(time.time())
        moment = email.utils.parsedate_to_datetime(self.request("GET", "/v1/jobs/x")[1]["Retry-After"]).timestamp()
        self.assertTrue(before <= moment - 90 <= time.time())

    def lost_upload(self, failures):
        try:
            self.upload()
        except (OSError, http.client.HTTPException, ValueError) as failure:
            failures.append(failure)

    def test_a_lost_answer_leaves_one_effect_that_the_key_finds_again(self):
        for fault in ({"kind": "reset"}, {"kind": "reset", "after_bytes": 20}, {"kind": "close"}, {"kind": "stall", "until": "released"}):
            self.box.control("DELETE", "/state")
            self.token = self.new_token()
            self.arm(match={"path": "^/v1/policies"}, **fault)
            failures = []
            upload = threading.Thread(target=self.lost_upload, args=(failures,), daemon=True)
            upload.start()
            self.wait_for(lambda: self.effects()["effects"] == 1)
            if fault["kind"] != "stall":
                upload.join()
            self.assertEqual(len(failures), int(fault["kind"] != "stall"))
            self.assertEqual(self.upload(), (202, {"job_id": self.rows()[0]["job_id"], "status": "accepted",
                                                   "links": {"self": f"/v1/jobs/{self.rows()[0]['job_id']}"}}))
            self.assertEqual((self.effects()["requests"], self.effects()["effects"]), (2, 1))

    def test_answers_that_are_not_what_they_should_be(self):
        for fault, expected in (({"without": ["job_id"]}, b'{"status":"accepted",'), ({"keep_bytes": 10}, b'{"job_id":'),
                                ({"body": "<html>"}, b"<html>"), ({"status": 500, "body": {}}, b"{}")):
            self.arm(kind="garble", **fault)
            status, _, content = self.request("POST", "/v1/policies", {"Idempotency-Key": str(fault), **JSON}, json.dumps(body_of(str(fault))))
            self.assertEqual((status, content[:len(expected)]), (fault.get("status", 202), expected))
        self.assertEqual(self.effects()["effects"], 4)
        self.arm(kind="lying_length", delta=9)
        with self.assertRaises(http.client.IncompleteRead):
            self.upload(key="lying")
        self.assertEqual(self.effects()["effects"], 5)

    def test_a_fault_can_pick_its_policy(self):
        self.arm(None, {"body": '"policy_number": "POISON"'}, kind="status", status=500)
        self.assertEqual([self.upload(body_of(number), number)[0] for number in ("A", "POISON", "B")], [202, 500, 202])
        self.assertEqual([entry["fault"] for entry in self.box.log() if entry["operation"] == "upload-policy"], [None, "status", None])
        with self.assertRaises(AssertionError):
            self.arm(1, {"body": "x"}, kind="slow_read")

    def test_misbehaving_listeners_serve_summit_too(self):
        port = self.box.control("POST", "/listener", {"kind": "plaintext", "service": "summit"})["port"]
        self.addCleanup(self.box.control, "DELETE", f"/listener/{port}")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        connection.request("GET", "/v1/jobs/x", headers={"Authorization": f"Bearer {self.token}"})
        self.assertEqual(connection.getresponse().status, 404)
        connection.close()


class Control(SummitTest):
    """The log, the counters, and what resets them."""

    def test_the_log_shows_key_and_body_hash_and_can_be_narrowed(self):
        body = json.dumps(body_of())
        job_id = self.upload(body)[1]["job_id"]
        self.job(job_id)
        entry = self.box.log()[-2]
        self.assertEqual((entry["listener"], entry["operation"], entry["idempotency_key"], entry["body_sha256"], entry["body"], entry["auth"]),
                         ("summit", "upload-policy", "key-1", hashlib.sha256(body.encode()).hexdigest(), body, "bearer"))
        self.assertEqual(self.box.log()[-1]["params"], {"jobId": job_id})
        narrow = self.box.control("GET", "/log?path=%5E/v1/&fields=idempotency_key,status")["requests"]
        self.assertEqual(narrow, [{"idempotency_key": "key-1", "status": 202}, {"idempotency_key": None, "status": 200}])

    def test_resets(self):
        job_id = self.upload()[1]["job_id"]
        self.box.control("PUT", "/summit", {"repeat": "conflict"})
        self.box.control("DELETE", "/effects")
        self.assertEqual((self.rows(), self.effects()["effects"]), ([], 0))
        self.assertEqual(self.job(job_id)[0], 200)
        self.box.control("DELETE", "/state")
        self.assertEqual(self.box.control("GET", "/summit")["repeat"], "original")
        self.assert_error(self.job(job_id), 401, "unauthorized")
        self.token = self.new_token()
        self.assert_error(self.job(job_id), 404, "not_found")

    def test_unknown_settings_are_refused(self):
        for path in ("/summit", "/tokens"):
            with self.assertRaises(AssertionError):
                self.box.control("PUT", path, {"typo": 1})


class Many(SummitTest):
    """A long queue."""

    def test_two_thousand_uploads_on_one_connection(self):
        connection = self.box.connect(self.box.ready["summit_port"])
        for number in range(2000):
            connection.request("POST", "/v1/policies", json.dumps(body_of(f"P{number}")),
                               {"Authorization": f"Bearer {self.token}", "Idempotency-Key": f"key-{number}", **JSON})
            self.assertEqual(json.loads(connection.getresponse().read())["status"], "accepted")
        connection.close()
        self.assertEqual((self.effects()["effects"], self.effects()["duplicate_effects"]), (2000, 0))
        self.assertEqual(len(self.box.log()), 2001)
