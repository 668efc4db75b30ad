"""Whether Canopy's API answers as documented, and what faults do to it."""

import base64
import email.utils
import http.client
import json
import select
import socket
import ssl
import time
import unittest
import urllib.parse
import zlib

from data import catalogue, users
from selftest.base import JSON, PAIR, PATIENCE, SECRET, Sandbox, SandboxTest


class Auth(SandboxTest):
    """Which credentials open what."""

    def test_team_endpoint(self):
        wrong = {"Authorization": "Basic " + base64.b64encode(b"sandbox-client:no").decode()}
        for headers, status in ((SECRET, 200), (PAIR, 200), ({}, 401), (wrong, 401), ({**SECRET, **PAIR}, 401),
                                ({"Authorization": "Bearer abc"}, 401), ({"pull-jwt": "abc"}, 401),
                                ({"x-canopy-client-id": "sandbox-client"}, 401)):
            answer = self.box.pull("user_good", headers=headers)
            self.assertEqual(answer[0], status, headers)
            if status == 401:
                self.assertEqual(answer[1], {"error": "UNAUTHORIZED"})
        self.assertEqual([entry["auth"] for entry in self.box.log()],
                         ["basic", "header_pair", "none", "basic", "mixed", "bearer", "pull_jwt", "header_pair"])

    def test_team_id_must_be_the_key_s(self):
        self.assertEqual(self.box.call("GET", "/teams/other/pulls")[0], 401)

    def test_open_endpoints_want_no_credentials(self):
        for path in ("/tos", "/carriers", "/health"):
            self.assertEqual(self.box.call("GET", path, {})[0], 200)
            self.assertEqual(self.box.call("GET", path, SECRET)[0], 401)

    def test_wrong_credentials_give_403_where_documented(self):
        for method, path in (("GET", "/teams/{team}/webhooks"), ("POST", "/widget/pull/reconnectToken"), ("POST", "/widget/pull/x/idv")):
            self.assertEqual(self.box.call(method, path, {}), (403, {"error": "UNAUTHORIZED"}), path)
        self.assertEqual(self.box.call("GET", "/teams/{team}/servicings", {})[0], 401)

    def test_pull_jwt_opens_its_own_pull_only(self):
        path = f"/widget/pull/{self.box.ready['pulls']['user_mfa']}/idvoptions"
        body = {"optionKey": "sms"}
        for headers, status in (({"pull-jwt": self.box.jwt("user_good")}, 403), (SECRET, 403),
                                ({"pull-jwt": self.box.jwt("user_mfa"), **SECRET}, 403), ({"pull-jwt": self.box.jwt("user_mfa")}, 200)):
            self.assertEqual(self.box.call("POST", path, headers, body)[0], status)


class Operations(SandboxTest):
    """What the operations answer."""

    BODIES = {
        "patch-pull-by-id": {"is_archived": True}, "post-pull-policy-check": {},
        "post-consent": {"device_identifier": "1.2.3.4", "terms_version": 3, "consent_language": "I agree"},
        "post-webhooks": {"hookUrl": "https://example.com/hook", "eventTypes": ["COMPLETE"]}, "patch-webhook": {"isActive": False},
        "patch-monitoring": {"interval": "P2M"}, "post-idv": {"mfaValue": "123456"}, "post-idvoptions": {"optionKey": "sms"},
        "post-connect": {"insurerName": "geico", "insurerUsername": "user_good", "insurerPassword": "pass_good"},
        "post-policy-check-team-settings": {"policy_check_settings": {"vehicle": {"DRIVER_REMOVED": True}}},
        "post-widgets": {"public_alias": "another"}, "patch-widgetId": {"company_name": "New"}, "create-team": {"company_name": "Co"},
    }
    QUERY = {"first_name": "A", "last_name": "B", "date_of_birth_str": "01/31/1980", "address": "1 Main St", "purpose": "underwriting",
             "employee_name": "C", "employee_job_function": "agent", "lookup_vehicles": "true"}
    PULL_OF = {"post-connect": "user_locked", "post-idv": "user_optionless_mfa", "post-idvoptions": "user_mfa",
               "download-file-by-id": "user_consumer_data"}

    def bodies(self):
        consent = {**self.BODIES["post-consent"], "public_alias": "sandbox-link"}
        action = {"type": "REMOVE_MORTGAGEE", "payload": {"carrier_policy_number": "HO1", "mortgagee_type": "FIRST"}}
        good = self.box.ready["pulls"]["user_good"]
        return {**self.BODIES, "post-monitoring": {"interval": "P1M", "pull_id": good},
                "post-servicings": {"pull_id": good, "servicing_actions": [action]},
                "post-consent-and-connect": {**consent, "insurerName": "geico", "insurerUsername": "user_good", "insurerPassword": "pass_good"},
                "post-policy-search": {**consent, "insurerName": "usaa", "searchType": "AUTO_POLICY", "searchData": {"vin": "1"}}}

    def prepare(self):
        """Makes one of everything that a path can name; returns the path parameters."""
        bodies = self.bodies()
        monitoring = self.box.call("POST", "/teams/{team}/monitorings", body=bodies["post-monitoring"])[1]["monitoring"]
        webhook = self.box.call("POST", "/teams/{team}/webhooks", body=bodies["post-webhooks"])[1]
        servicing = self.box.call("POST", "/teams/{team}/servicings", body=bodies["post-servicings"])[1]
        pull = self.box.pull("user_good")[1]["pull"]
        upload = self.box.pull("user_consumer_data")[1]["pull"]["answers"][0]["fields"][-1]
        self.servicing = servicing
        return {"teamId": self.box.ready["team_id"], "documentId": pull["documents"][0]["document_id"],
                "policyFormId": pull["policies"][0]["forms_and_endorsements"][0]["policy_form_id"],
                "monitoringId": monitoring["monitoring_id"], "webhookId": webhook["webhook_id"], "carrierId": "geico",
                "answerId": upload["consumer_flow_section_field_id"], "fileId": upload["value"][0]["file_id"],
                "widgetId": self.box.call("GET", "/teams/{team}/widgets")[1]["widgets"][1]["widget_id"],
                "servicingActionId": servicing["servicing_action_ids"][0]}

    def request_for(self, operation, known):
        """Method, path, headers and body of a call that should succeed."""
        username = self.PULL_OF.get(operation.name, "user_good")
        known = {**known, "pullId": self.box.ready["pulls"][username]}
        body, headers = self.bodies().get(operation.name), SECRET
        if operation.name == "post-servicing-action":
            known["pullId"] = self.servicing["pull_id"]
            body = {"servicing_action_id": known["servicingActionId"], "is_confirmed": True}
        if operation.name == "post-reconnect-token":
            token = self.box.call("GET", f"/teams/{{team}}/monitorings/{known['monitoringId']}/reconnectToken")[1]
            body = {"reconnect_token": token["reconnect_token"]}
        if operation.security == "none":
            headers = {}
        elif operation.security == "pull_jwt":
            headers = {"pull-jwt": self.box.jwt(username) if operation.name != "post-servicing-action" else self.servicing["pull_jwt"]}
        query = urllib.parse.urlencode({param["name"]: self.QUERY[param["name"]] for param in operation.params
                                        if param["in"] == "query" and param["name"] in self.QUERY})
        path = "/".join(urllib.parse.quote(known[part[1:-1]], safe="") if part.startswith("{") else part
                        for part in operation.path.split("/"))
        headers, body = (headers, None) if body is None else ({**headers, **JSON}, json.dumps(body))
        if operation.body and operation.body["content_type"] == "multipart/form-data":
            headers, body = multipart(operation, headers)
        return operation.method, f"{catalogue.BASE_PATH}{path}?{query}", headers, body

    def test_every_operation_answers_as_documented(self):
        self.assertEqual(len(catalogue.OPERATIONS), 54)
        known = self.prepare()
        deletions_last = sorted(catalogue.OPERATIONS.values(),
                                key=lambda operation: (operation.method == "DELETE", -len(operation.segments)))
        for operation in deletions_last:
            with self.subTest(operation.name):
                status, headers, content = self.box.raw(*self.request_for(operation, known))
                expected, facts = operation.success
                self.assertEqual(status, expected, content[:200])
                self.assertEqual(headers["Content-Type"], facts.get("content_type", "application/json"))
                if "schema" in facts:
                    self.assertIsNone(catalogue.mismatch(json.loads(content), facts["schema"]), content[:300])
                self.assertEqual(self.box.log()[-1]["operation"], operation.name)

    def test_missing_things_give_the_documented_status(self):
        for path, status in (("pulls/no", 400), ("monitorings/no", 404), ("policyForms/no", 404), ("servicings/no", 404), ("widgets/no", 404)):
            self.assertEqual(self.box.call("GET", "/teams/{team}/" + path), (status, {"error": "NOT_FOUND"}))
        self.assertEqual(self.box.call("PATCH", "/teams/{team}/pulls/no", body={"is_archived": True})[0], 404)
        self.assertEqual(self.box.call("PATCH", "/teams/{team}/webhooks/no", body={"isActive": True}), (400, {"error": "NOT_FOUND"}))
        self.assertEqual(self.box.call("GET", "/nothing/here")[0], 404)

    def test_pulls_are_paged_and_bounded_in_time(self):
        path = "/teams/{team}/pulls"
        first = self.box.call("GET", path)[1]
        self.assertEqual((first["total_pulls"], len(first["pulls"])), (len(users.RECIPES), 10))
        ids = [pull["pull_id"] for offset in range(0, 50, 7)
               for pull in self.box.call("GET", f"{path}?limit=7&offset={offset}")[1]["pulls"]]
        self.assertEqual(sorted(ids), sorted(self.box.ready["pulls"].values()))
        moment = first["pulls"][3]["created_at"]
        self.assertEqual(self.box.call("GET", f"{path}?since={moment}")[1]["total_pulls"], 4)
        self.assertEqual(self.box.call("GET", f"{path}?before={moment}")[1]["total_pulls"], len(users.RECIPES) - 3)
        for query in ("limit=0", "limit=101", "limit=ten", "offset=-1", "since=yesterday"):
            self.assertEqual(self.box.call("GET", f"{path}?{query}"), (400, {"error": "VALIDATION_ERROR"}), query)

    def test_widgets_and_monitorings_are_paged_by_cursor(self):
        widgets = self.box.call("GET", "/teams/{team}/widgets?limit=2")[1]["widgets"]
        rest = self.box.call("GET", f"/teams/{{team}}/widgets?before={widgets[1]['widget_id']}")[1]["widgets"]
        self.assertEqual((len(widgets), len(rest)), (2, 1))

    def test_property_data_only_on_request(self):
        for query, wanted in (("", False), ("?withPropertyData=true", True), ("?withPropertyData=false", False)):
            dwelling = self.box.pull("user_good_home", query)[1]["pull"]["policies"][0]["dwellings"][0]
            self.assertEqual(dwelling["property_data"] is not None, wanted)
        self.assertEqual(self.box.pull("user_good_home", "?withPropertyData=yes")[0], 400)

    def test_archiving_lasts(self):
        path = f"/teams/{{team}}/pulls/{self.box.ready['pulls']['user_good']}"
        self.assertEqual(self.box.call("PATCH", path, body={"is_archived": True}), (200, {"success": True}))
        self.assertTrue(self.box.call("GET", path)[1]["pull"]["is_archived"])
        self.assertEqual(self.box.call("PATCH", path, body={"is_archived": "yes"}), (400, {"error": "INVALID_INPUT"}))

    def test_a_pull_can_be_replaced_verbatim(self):
        pull_id, document = "odd/id 1é", b'{ "pull_id" : "x", "n": 1.0e+1 }'
        name = urllib.parse.quote(pull_id, safe="")
        self.box.control("PUT", f"/pull/{name}", document)
        status, _, content = self.box.raw("GET", f"{catalogue.BASE_PATH}/teams/{self.box.ready['team_id']}/pulls/{name}", SECRET)
        self.assertEqual((status, content), (200, b'{"success":true,"pull":' + document + b"}"))

    def test_white_label_flow(self):
        body = {**self.bodies()["post-consent-and-connect"], "insurerUsername": "user_mfa", "meta_data": {"nonce": "n-1"}}
        answer = self.box.call("POST", "/widget/pull/consentAndConnect", body=body)[1]
        path, jwt = f"/widget/pull/{answer['pull_id']}", {"pull-jwt": answer["pull_jwt"]}
        self.assertEqual(self.box.call("POST", f"{path}/idv", jwt, {"mfaValue": "1"}), (400, {"error": "INVALID_ACTION"}))
        self.assertEqual(self.box.call("POST", f"{path}/idvoptions", jwt, {"optionKey": "sms"})[0], 200)
        self.assertEqual(self.box.call("POST", f"{path}/idv", jwt, {"mfaValue": "000000"})[0], 200)
        self.assertEqual(self.status_of(answer["pull_id"]), "IDENTITY_VERIFICATION")
        self.assertEqual(self.box.call("POST", f"{path}/idv", jwt, {"mfaValue": "123456"})[0], 200)
        self.assertEqual(self.status_of(answer["pull_id"]), "SUCCESS")

    def status_of(self, pull_id):
        return self.box.call("GET", f"/teams/{{team}}/pulls/{pull_id}")[1]["pull"]["status"]

    def test_consent_errors(self):
        good = self.bodies()["post-consent-and-connect"]
        for change, status, code in (({"terms_version": 1}, 404, "INVALID_PRIVACY_POLICY_TERM_ID"), ({"public_alias": "no"}, 400, "INVALID_PUBLIC_ALIAS"),
                                     ({"insurerName": "no"}, 400, "UNSUPPORTED_INSURER"), ({"insurerUsername": "abc"}, 400, "INVALID_USERNAME"),
                                     ({"consent_language": "x" * 1025}, 400, "CONSENT_LANGUAGE_TOO_LONG")):
            self.assertEqual(self.box.call("POST", "/widget/pull/consentAndConnect", body={**good, **change}), (status, {"error": code}))
        del good["device_identifier"]
        self.assertEqual(self.box.call("POST", "/widget/pull/consentAndConnect", body=good)[1]["error"], "MISSING_DEVICE_IDENTIFIER")

    def test_refresh_makes_a_new_pull_and_an_event(self):
        body = {"interval": "P30D", "pull_id": self.box.ready["pulls"]["user_good_discover"]}
        path = "/teams/{team}/monitorings/" + self.box.call("POST", "/teams/{team}/monitorings", body=body)[1]["monitoring"]["monitoring_id"]
        pull_id = self.box.call("POST", path + "/refresh")[1]["pull_id"]
        events = self.box.call("GET", path + "/events")[1]
        self.assertEqual((events["latest_pull_id"], events["events"][0]["type"]), (pull_id, "ENDORSEMENT"))
        self.assertEqual(len(self.box.call("GET", path + "?with_pulls=true")[1]["pulls"]), 2)
        self.box.call("DELETE", path)
        self.assertEqual(self.box.call("POST", path + "/refresh"), (400, {"error": "MONITORING_INACTIVE"}))

    def test_carrier_filters(self):
        commercial = self.box.call("GET", "/carriers?products=commercial", {})[1]
        self.assertTrue(commercial and all("commercial" in carrier["products"] for carrier in commercial))
        self.assertEqual(self.box.call("GET", "/carriers?products=commercial&public_alias=sandbox-link", {})[0], 400)
        self.assertEqual(self.box.call("GET", "/carriers/nobody")[0], 404)

    def test_deleted_team_is_shut_out(self):
        self.assertEqual(self.box.call("DELETE", "/teams/{team}")[0], 200)
        self.assertEqual(self.box.call("DELETE", "/teams/{team}"), (403, {"error": "SUBSCRIPTION_INACTIVE", "message": "Subscription is already canceled"}))
        self.assertEqual(self.box.pull("user_good"), (403, {"error": "SUBSCRIPTION_INACTIVE"}))

    def test_download_refuses_forwarded_credentials(self):
        pull = self.box.pull("user_good")[1]["pull"]
        path = f"{catalogue.BASE_PATH}/teams/{self.box.ready['team_id']}/pulls/{pull['pull_id']}/documents/"
        for document, start in zip(pull["documents"], (b"%PDF-1.4", b"\xff\xd8\xff")):
            status, headers, content = self.box.raw("GET", path + document["document_id"], SECRET)
            url = urllib.parse.urlsplit(headers["Location"])
            self.assertEqual((status, json.loads(content)["url"], url.port), (302, headers["Location"], self.box.ready["download_port"]))
            target = f"{url.path}?{url.query}"
            self.assertEqual(self.box.raw("GET", target, SECRET, port=url.port)[0], 400)
            self.assertEqual(self.box.raw("GET", target, PAIR, port=url.port)[0], 400)
            self.assertEqual(self.box.raw("GET", target + "0", port=url.port)[0], 403)
            status, headers, content = self.box.raw("GET", target, port=url.port)
            self.assertEqual((status, headers["Content-Type"]), (200, document["mime_type"]))
            self.assertTrue(content.startswith(start))
        self.assertEqual([entry["status"] for entry in self.box.log() if entry["listener"] == "download"], [400, 400, 403, 200] * 2)


def multipart(operation, headers):
    """A multipart body with every field of the operation."""
    parts = []
    samples = {"terms_version": "3", "public_alias": "sandbox-link"}
    for name, node in operation.body["schema"]["fields"].items():
        is_file = node.get("format") == "binary" or node.get("items", {}).get("format") == "binary"
        extra = '; filename="a.png"\r\nContent-Type: image/png' if is_file else ""
        name = "meta_data[key]" if name == "meta_data" else name
        parts.append(f'--x\r\nContent-Disposition: form-data; name="{name}"{extra}\r\n\r\n{samples.get(name, "text")}\r\n')
    return {**headers, "Content-Type": "multipart/form-data; boundary=x"}, "".join(parts) + "--x--\r\n"


class FaultsTest(SandboxTest):
    """What armed faults do to an answer."""

    HEALTH = catalogue.BASE_PATH + "/health"

    def health(self, timeout=PATIENCE):
        return self.box.raw("GET", self.HEALTH, timeout=timeout)

    def bytes_of_answer(self):
        """All bytes that come back for one request, and the error that ended them, if any."""
        raw = socket.create_connection(("127.0.0.1", self.box.ready["port"]), 10)
        with self.box.context.wrap_socket(raw, server_hostname="localhost") as sock:
            sock.sendall(f"GET {self.HEALTH} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            received = b""
            try:
                while data := sock.recv(65536):
                    received += data
            except OSError as error:
                return received, type(error)
            return received, None

    def test_status_counts_down_and_has_headers(self):
        self.box.arm(2, "/health$", "GET", kind="status", status=503, headers={"Retry-After": "7"}, body='{"error":"BUSY"}')
        for _ in range(2):
            status, headers, content = self.health()
            self.assertEqual((status, headers["Retry-After"], content), (503, "7", b'{"error":"BUSY"}'))
        self.assertEqual(self.health()[0], 200)

    def test_answers_have_a_date_which_a_fault_moves(self):
        self.box.arm(kind="garble", date=-600)
        for offset in (-600, 0):
            before = time.time() + offset
            status, headers, _ = self.health()
            date = email.utils.parsedate_to_datetime(headers["Date"]).timestamp()
            self.assertEqual((status, len(headers.get_all("Date"))), (200, 1))
            self.assertTrue(int(before) <= date <= time.time() + offset, headers["Date"])

    def test_fault_for_ever_until_cleared_and_only_where_it_matches(self):
        self.box.arm(None, "/tos", kind="body", body="not json", content_type="text/html", status=200)
        for _ in range(3):
            self.assertEqual(self.box.raw("GET", catalogue.BASE_PATH + "/tos")[2], b"not json")
        self.assertEqual(self.health()[0], 200)
        self.box.control("DELETE", "/fault")
        self.assertIn(b"terms_version", self.box.raw("GET", catalogue.BASE_PATH + "/tos")[2])

    def test_status_replaces_the_effect_and_reset_does_not(self):
        path = f"/teams/{{team}}/pulls/{self.box.ready['pulls']['user_good']}"
        self.box.arm(kind="status", status=500, method="PATCH")
        self.assertEqual(self.box.call("PATCH", path, body={"is_archived": True})[0], 500)
        self.assertFalse(self.box.call("GET", path)[1]["pull"]["is_archived"])
        self.box.arm(kind="reset", method="PATCH")
        with self.assertRaises(OSError):
            self.box.call("PATCH", path, body={"is_archived": True})
        self.assertTrue(self.box.call("GET", path)[1]["pull"]["is_archived"])

    def test_reset_and_close_after_n_bytes(self):
        self.box.arm(kind="reset", after_bytes=30)
        port = self.box.control("POST", "/listener", {"kind": "plaintext"})["port"]
        with socket.create_connection(("127.0.0.1", port), 10) as sock:
            sock.sendall(f"GET {self.HEALTH} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            self.assertEqual(len(sock.recv(65536)), 30)
            with self.assertRaises(ConnectionResetError):
                sock.recv(1)
        self.box.control("DELETE", f"/listener/{port}")
        self.box.arm(kind="close", after_bytes=80)
        received, error = self.bytes_of_answer()
        self.assertEqual((len(received), error), (80, None))

    def test_redirect_raw_and_lying_length(self):
        self.box.arm(kind="redirect", status=302, location="https://elsewhere.test/")
        self.assertEqual(self.health()[1]["Location"], "https://elsewhere.test/")
        self.box.arm(kind="raw", base64=base64.b64encode(b"garbage\0\r\n").decode())
        self.assertEqual(self.bytes_of_answer()[0], b"garbage\0\r\n")
        self.box.arm(kind="lying_length", delta=5)
        with self.assertRaises(http.client.IncompleteRead):
            self.health()
        self.box.arm(kind="lying_length", delta=-5)
        self.assertEqual(self.health()[2], b'{"healthy":')

    def request_at(self, number):
        """A connection whose request waits at a fault."""
        connection = self.box.connect()
        self.addCleanup(connection.close)
        before = self.waiting(number)
        connection.request("GET", self.HEALTH)
        self.wait_for(lambda: self.waiting(number) == before + 1)
        return connection

    def waiting(self, number):
        return next(fault["waiting"] for fault in self.box.control("GET", "/fault")["faults"] if fault["number"] == number)

    def test_stall_sends_the_rest_later(self):
        for at in ("before_headers", "header", "body"):
            self.box.arm(kind="stall", at=at, after_bytes=5, seconds=0.2)
            start = time.monotonic()
            self.assertTrue(self.bytes_of_answer()[0].endswith(b'{"healthy":true}'))
            self.assertGreaterEqual(time.monotonic() - start, 0.2)

    def test_a_stall_ends_when_the_client_leaves(self):
        for until in ({"seconds": 600}, {"until": "released"}):
            self.box.arm(kind="stall", **until)
            connection = self.box.connect()
            connection.request("GET", self.HEALTH)
            self.wait_for(lambda: [entry["status"] for entry in self.box.log()] == [200])
            connection.close()
            self.wait_for(lambda: self.box.log()[-1]["outcome"] == "client_gone")
            self.box.control("DELETE", "/log")

    def test_a_stall_lasts_until_it_is_released(self):
        number = self.box.arm(None, kind="stall", at="header", until="released")
        first, second, third = (self.request_at(number) for _ in range(3))
        self.box.control("POST", f"/release/{number}", {"count": 1})
        self.assertEqual(first.getresponse().read(), b'{"healthy":true}')
        self.assertEqual((self.waiting(number), [entry["outcome"] for entry in self.box.log()]), (2, ["answered", "open", "open"]))
        self.box.control("POST", f"/release/{number}")
        self.assertEqual(second.getresponse().status, 200)
        self.assertEqual(third.getresponse().status, 200)
        fourth = self.request_at(number)
        self.box.control("DELETE", f"/fault/{number}")
        self.assertEqual(fourth.getresponse().status, 200)
        self.assertEqual((self.health()[0], self.box.control("GET", "/fault")), (200, {"faults": []}))

    def test_what_is_cleared_holds_nothing(self):
        waiting = [self.request_at(self.box.arm(kind="stall", until="released")) for _ in range(2)]
        self.box.control("DELETE", "/fault")
        self.assertEqual([connection.getresponse().status for connection in waiting], [200, 200])
        for fault in ({"kind": "stall", "until": "morning"}, {"kind": "drip", "until": "released"}):
            with self.assertRaises(AssertionError):
                self.box.arm(**fault)

    def test_drip(self):
        self.box.arm(kind="drip", interval=0.001)
        self.assertEqual(self.health()[2], b'{"healthy":true}')

    def test_endless_bodies_are_streamed(self):
        for mode in ("chunked", "length"):
            self.box.arm(kind="endless", mode=mode, bytes=100_000_000)
            connection = self.box.connect()
            connection.request("GET", self.HEALTH)
            response = connection.getresponse()
            self.assertEqual(response.headers["Content-Length"], "100000000" if mode == "length" else None)
            self.assertEqual(len(response.read(5_000_000)), 5_000_000)
            connection.close()
            self.wait_for(lambda: self.box.log()[-1]["outcome"] == "client_gone")

    def test_gzip_bomb(self):
        self.box.arm(kind="gzip_bomb", bytes=5_000_000)
        _, headers, content = self.health()
        self.assertEqual(headers["Content-Encoding"], "gzip")
        self.assertLess(len(content), 100_000)
        self.assertEqual(len(zlib.decompress(content, 31)), 5_000_000)

    def test_header_flood(self):
        self.box.arm(kind="headers", count=2000, size=20)
        received, _ = self.bytes_of_answer()
        self.assertEqual(received.count(b"X-Flood-"), 2000)
        self.assertTrue(received.endswith(b'\r\n\r\n{"healthy":true}'))

    def test_slow_read_does_not_take_the_body(self):
        number = self.box.arm(kind="slow_read", method="POST", until="released")
        connection = self.box.connect()
        connection.putrequest("POST", catalogue.BASE_PATH + "/consent")
        connection.putheader("Content-Length", "1000000")
        connection.endheaders(b"x" * 1000)
        self.wait_for(lambda: self.waiting(number) == 1)
        self.assertEqual((self.box.log()[-1]["fault"], self.box.log()[-1]["body_bytes"]), ("slow_read", 0))
        self.box.control("DELETE", f"/fault/{number}")
        connection.send(b"x" * 999_000)
        self.assertEqual(connection.getresponse().status, 401)
        self.assertEqual(self.box.log()[-1]["body_bytes"], 1_000_000)
        connection.close()

    def test_log_holds_what_was_sent(self):
        self.box.raw("POST", catalogue.BASE_PATH + "/consent?x=%2F", {**SECRET, "X-Odd": "a b", "Content-Type": "text/plain"}, b"\xff\x00")
        entry = self.box.log()[0]
        self.assertIn(["X-Odd", "a b"], entry["headers"])
        self.assertEqual((entry["path"], entry["body"], entry["body_encoding"], entry["operation"], entry["status"]),
                         (catalogue.BASE_PATH + "/consent?x=%2F", "/wA=", "base64", "post-consent", 400))
        self.assertEqual([item["seq"] for item in self.box.control("GET", "/log?after=1")["requests"]], [])


class ListenersTest(SandboxTest):
    """The additional listeners."""

    def open(self, kind):
        port = self.box.control("POST", "/listener", {"kind": kind})["port"]
        self.addCleanup(self.box.control, "DELETE", f"/listener/{port}")
        return port

    def test_wrong_certificates_are_wrong_in_their_own_way(self):
        for kind, reason in (("cert_self_signed", "self-signed certificate"), ("cert_wrong_host", "Hostname mismatch"),
                             ("cert_expired", "expired"), ("cert_not_yet", "not yet valid")):
            with self.assertRaisesRegex(ssl.SSLCertVerificationError, reason):
                self.box.raw("GET", FaultsTest.HEALTH, port=self.open(kind))

    def test_old_tls_is_refused_by_a_modern_client_and_spoken_to_an_old_one(self):
        port = self.open("tls_1_1")
        with self.assertRaises(ssl.SSLError):
            self.box.raw("GET", FaultsTest.HEALTH, port=port)
        old = ssl.create_default_context(cafile=self.box.ready["ca_file"])
        old.set_ciphers("DEFAULT:@SECLEVEL=0")
        old.minimum_version = ssl.TLSVersion.TLSv1
        with old.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="localhost") as sock:
            self.assertEqual(sock.version(), "TLSv1.1")

    def test_main_listener_refuses_old_tls(self):
        old = ssl.create_default_context(cafile=self.box.ready["ca_file"])
        old.set_ciphers("DEFAULT:@SECLEVEL=0")
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            old.wrap_socket(socket.create_connection(("127.0.0.1", self.box.ready["port"])), server_hostname="localhost")

    def test_traps_record(self):
        port = self.open("trap")
        self.assertEqual(self.box.control("GET", f"/listener/{port}")["connections"], 0)
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(b"hello")
        SandboxTest.wait_for(self, lambda: self.box.control("GET", f"/listener/{port}")["bytes"] == 5)
        port = self.open("trap_tls")
        self.assertEqual(self.box.raw("GET", "/steal", SECRET, port=port)[2], b"{}")
        caught = self.box.control("GET", f"/listener/{port}")
        self.assertIn(SECRET["Authorization"].encode(), base64.b64decode(caught["base64"]))

    def test_silent_and_broken_listeners(self):
        with self.assertRaises(TimeoutError):
            self.box.raw("GET", "/", port=self.open("tls_stall"), timeout=0.2)
        with self.assertRaises(TimeoutError):
            socket.create_connection(("127.0.0.1", self.open("syn_drop")), 0.3)
        with self.assertRaises((ssl.SSLError, OSError)):
            self.box.raw("GET", "/", port=self.open("truncated_tls"))
        with self.assertRaises(ssl.SSLError):
            self.box.raw("GET", "/", port=self.open("plaintext"))
        connection = self.box.connect(self.open("slow_send"), timeout=0.5)
        with self.assertRaises(TimeoutError):
            connection.request("POST", "/", b"x" * 50_000_000)

    def test_plaintext_has_the_same_routes(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.open("plaintext"), timeout=PATIENCE)
        connection.request("GET", FaultsTest.HEALTH)
        self.assertEqual(connection.getresponse().read(), b'{"healthy":true}')
        connection.close()


class Process(unittest.TestCase):
    """The process as a whole."""

    def test_pulls_depend_on_the_seed_alone(self):
        boxes = [Sandbox("--seed", seed, "--team-id", "t", "--client-secret", "other secret") for seed in ("7", "7", "8")]
        secret = {"Authorization": "Basic " + base64.b64encode(b"sandbox-client:other secret").decode()}
        answers = [box.pull("user_good_complete", headers=secret) for box in boxes]
        self.assertEqual([status for status, _ in answers], [200, 200, 200])
        self.assertEqual(answers[0], answers[1])
        self.assertNotEqual(answers[0], answers[2])
        for box in boxes:
            box.stop()

    def test_stops_though_connections_are_stalled(self):
        box = Sandbox()
        box.arm(None, kind="stall", until="released")
        connections = [box.connect() for _ in range(5)]
        for connection in connections:
            connection.request("GET", FaultsTest.HEALTH)
        SandboxTest.wait_for(self, lambda: len(box.log()) == 5)
        self.assertEqual(box.stop(), 0)
        for connection in connections:
            self.assertTrue(select.select([connection.sock], [], [], PATIENCE)[0])
            connection.close()

    def test_keep_alive(self):
        box = Sandbox()
        connection = box.connect()
        for _ in range(20):
            connection.request("GET", FaultsTest.HEALTH)
            self.assertEqual(connection.getresponse().read(), b'{"healthy":true}')
        connection.close()
        box.stop()
