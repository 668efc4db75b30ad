"""The journal: every request that the sandbox received, for tests to read back."""

import base64
import collections
import hashlib
import re
import threading
import time

MAX_ENTRIES = 50_000
MAX_KEPT_BODY = 1 << 20
MAX_KEPT_BYTES = 256 << 20


class Journal:
    """Requests in order of arrival. When it is full the oldest entries give way."""

    def __init__(self):
        self.lock = threading.Lock()
        self.entries = collections.deque()
        self.clear()

    def clear(self):
        with self.lock:
            self.entries.clear()
            self.seq = 0
            self.kept_bytes = 0
            self.dropped = 0

    def open(self, listener, request):
        """A new entry for a request whose head has arrived."""
        entry = {
            "seq": 0, "time": time.time(), "listener": listener, "method": request.method, "path": request.target,
            "headers": request.headers, "idempotency_key": request.header("idempotency-key"), "body": "",
            "body_encoding": "text", "body_bytes": 0, "body_sha256": None, "auth": "none", "operation": None,
            "params": {}, "fault": None, "status": None, "outcome": "open", "ended": None,
        }
        with self.lock:
            self.seq += 1
            entry["seq"] = self.seq
            self.entries.append(entry)
            while len(self.entries) > MAX_ENTRIES or self.kept_bytes > MAX_KEPT_BYTES:
                self.kept_bytes -= len(self.entries.popleft()["body"])
                self.dropped += 1
        return entry

    def add_body(self, entry, body):
        """Keeps the body as text if it is UTF-8, else as base64, up to a size."""
        kept = body[:MAX_KEPT_BODY]
        try:
            text, encoding = kept.decode(), "text"
        except UnicodeDecodeError:
            text, encoding = base64.b64encode(kept).decode(), "base64"
        with self.lock:
            entry.update(body=text, body_encoding=encoding, body_bytes=len(body),
                         body_sha256=hashlib.sha256(body).hexdigest())
            self.kept_bytes += len(text)

    def close(self, entry, outcome):
        entry.update(outcome=outcome, ended=time.time())

    def list(self, after=0, path="", fields=None):
        """The entries after a sequence number whose path matches a regex; whole, or only the named fields."""
        matches = re.compile(path).search
        with self.lock:
            return [{name: entry[name] for name in fields or entry} for entry in self.entries
                    if entry["seq"] > after and matches(entry["path"])]
