"""What the self-tests share: a sandbox process, requests of it, and a test case that owns one."""

import base64
import http.client
import json
import pathlib
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import unittest
import warnings

from data import catalogue

HERE = pathlib.Path(__file__).resolve().parent.parent
PATIENCE = 180  # seconds after which something is believed never to happen
SECRET = {"Authorization": "Basic " + base64.b64encode(b"sandbox-client:sandbox-secret").decode()}
PAIR = {"x-canopy-client-id": "sandbox-client", "x-canopy-client-secret": "sandbox-secret"}
JSON = {"Content-Type": "application/json"}


class Sandbox:
    """A sandbox process and the requests that a test makes of it."""

    def __init__(self, *options):
        self.place = tempfile.TemporaryDirectory()
        self.process = subprocess.Popen([sys.executable, HERE / "sandbox.py", "--dir", self.place.name, *options])
        ready = pathlib.Path(self.place.name, "ready.json")
        while not ready.exists():
            if self.process.poll() is not None:
                raise RuntimeError("the sandbox did not start")
            time.sleep(0.01)
        self.ready = json.loads(ready.read_text())
        self.context = ssl.create_default_context(cafile=self.ready["ca_file"])

    def stop(self):
        """Asks the process to end, and waits until it has; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE)
        self.place.cleanup()
        return code

    def connect(self, port=None, timeout=PATIENCE):
        return http.client.HTTPSConnection("localhost", port or self.ready["port"], context=self.context, timeout=timeout)

    def raw(self, method, path, headers=None, body=None, port=None, timeout=PATIENCE):
        """(status, headers, body bytes) of one request; the path is used as it is."""
        connection = self.connect(port, timeout)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def call(self, method, path, headers=SECRET, body=None):
        """(status, JSON) of one API call; {team} in the path is the team's id."""
        path = catalogue.BASE_PATH + path.replace("{team}", self.ready["team_id"])
        if isinstance(body, (dict, list)):
            headers, body = {**headers, **JSON}, json.dumps(body)
        status, _, content = self.raw(method, path, headers, body)
        return status, json.loads(content)

    def pull(self, username, query="", headers=SECRET):
        return self.call("GET", f"/teams/{{team}}/pulls/{self.ready['pulls'][username]}{query}", headers)

    def control(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.ready["control_port"], timeout=PATIENCE)
        try:
            connection.request(method, path, body if isinstance(body, (bytes, type(None))) else json.dumps(body))
            response = connection.getresponse()
            content = json.loads(response.read())
            assert response.status == 200, content
            return content
        finally:
            connection.close()

    def arm(self, times=1, path="", method=None, **fault):
        return self.control("POST", "/fault", {"match": {"path": path, "method": method}, "times": times, "fault": fault})["number"]

    def log(self):
        return self.control("GET", "/log")["requests"]

    def jwt(self, username):
        wanted = self.ready["pulls"][username]
        return next(pull["pull_jwt"] for pull in self.control("GET", "/pulls")["pulls"] if pull["pull_id"] == wanted)


class SandboxTest(unittest.TestCase):
    """Tests that share one sandbox, put back to its first state before each."""

    @classmethod
    def setUpClass(cls):
        warnings.simplefilter("ignore", DeprecationWarning)
        cls.box = Sandbox()

    @classmethod
    def tearDownClass(cls):
        assert cls.box.stop() == 0

    def setUp(self):
        self.box.control("DELETE", "/state")
        self.box.control("DELETE", "/log")
        self.box.control("DELETE", "/fault")

    def wait_for(self, condition):
        deadline = time.monotonic() + PATIENCE
        while not condition():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)
