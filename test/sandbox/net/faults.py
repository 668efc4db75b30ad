"""Armed faults: which requests they hit, and what they do to the answer.

A fault of REPLACEMENTS answers instead of the operation, which then has no effect; one of VANISHINGS
ends the connection instead. A fault of DELIVERIES lets the operation take effect and damages its
answer or the delivery of it.
"""

import base64
import collections
import email.utils
import json
import os
import re
import threading
import time
import zlib

from net.wire import Response, compact

PAUSE_SECONDS = 60
ZEROS = bytes(1 << 20)


def status(fault):
    return Response(fault["status"], as_bytes(fault["body"]), fault.get("content_type", "application/json"), extra_headers(fault))


def extra_headers(fault):
    """The fault's own headers, Retry-After as seconds or as the HTTP date so many seconds from now, and Date likewise."""
    headers = dict(fault.get("headers", {}))
    if "retry_after" in fault:
        headers["Retry-After"] = str(fault["retry_after"])
    if "retry_after_date" in fault:
        headers["Retry-After"] = email.utils.formatdate(time.time() + fault["retry_after_date"], usegmt=True)
    if "date" in fault:
        headers["Date"] = email.utils.formatdate(time.time() + fault["date"], usegmt=True)
    return list(headers.items())


def redirect(fault):
    return Response(fault.get("status", 302), compact({"url": fault["location"]}),
                    headers=[("Location", fault["location"])])


def body(fault):
    return Response(fault.get("status", 200), as_bytes(fault["body"]),
                    fault.get("content_type", "application/json"), extra_headers(fault))


def as_bytes(value):
    """A body given as text is sent as it is, one given as {"base64": …} decoded, other JSON encoded."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if isinstance(value, dict) and list(value) == ["base64"]:
        return base64.b64decode(value["base64"])
    return compact(value)


def stall(channel, response, fault):
    """Goes silent before the head, within it, or within the body; then sends the rest."""
    head, whole = response.head(), response.encode()
    where = {"before_headers": 0,
             "header": fault.get("after_bytes", len(head) // 2),
             "body": len(head) + fault.get("after_bytes", 0)}[fault.get("at", "before_headers")]
    channel.send(whole[:where])
    pause(channel, fault)
    channel.send(whole[where:])
    return True


def pause(channel, fault):
    """Waits as long as a fault says, or until the control service says so."""
    if fault["gate"]:
        fault["gate"].wait(channel)
    else:
        channel.pause(fault.get("seconds", PAUSE_SECONDS))


def reset(channel, response, fault):
    channel.send(response.encode()[:fault.get("after_bytes", 0)])
    channel.reset()
    return False


def close(channel, response, fault):
    channel.send(response.encode()[:fault.get("after_bytes", 0)])
    return False


def raw(channel, response, fault):
    channel.send(base64.b64decode(fault["base64"]))
    return False


def endless(channel, response, fault):
    """Chunks without end, or a body of a declared, huge length."""
    if fault.get("mode", "chunked") == "chunked":
        channel.send(response.head("Transfer-Encoding: chunked"))
        piece = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        while True:
            channel.send(piece)
    remaining = fault.get("bytes", 100_000_000)
    channel.send(response.head(f"Content-Length: {remaining}"))
    while remaining > 0:
        channel.send(b" " * min(remaining, 0x10000))
        remaining -= 0x10000
    return True


def gzip_bomb(channel, response, fault):
    """A body that is small on the wire and huge once decompressed."""
    response.headers.append(("Content-Encoding", "gzip"))
    channel.send(response.head("Transfer-Encoding: chunked"))
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    remaining = fault.get("bytes", 200_000_000)
    while remaining > 0:
        send_chunk(channel, packer.compress(ZEROS[:remaining]))
        remaining -= len(ZEROS)
    send_chunk(channel, packer.flush())
    channel.send(b"0\r\n\r\n")
    return True


def send_chunk(channel, data):
    if data:
        channel.send(b"%x\r\n%s\r\n" % (len(data), data))


def headers(channel, response, fault):
    """A flood of header lines before the real body."""
    head = response.head()
    channel.send(head[:-2])
    value = "x" * fault.get("size", 20)
    count = fault.get("count", 100_000)
    for start in range(0, count, 1000):
        lines = (f"X-Flood-{number}: {value}\r\n" for number in range(start, min(start + 1000, count)))
        channel.send("".join(lines).encode())
    channel.send(b"\r\n" + response.body)
    return True


def drip(channel, response, fault):
    """The real answer, one byte at a time."""
    for byte in response.encode():
        channel.send(bytes((byte,)))
        channel.pause(fault.get("interval", 1.0))
    return True


def lying_length(channel, response, fault):
    """A Content-Length that is off by `delta`; the connection then closes."""
    channel.send(response.head(f"Content-Length: {max(0, len(response.body) + fault['delta'])}") + response.body)
    return False


def slow_read(channel, response, fault):
    """The delay happened before the body was read; the answer itself is in order."""
    channel.send(response.encode())
    return True


def garble(channel, response, fault):
    """Another answer than the one that the effect deserves, well framed."""
    body = as_bytes(fault["body"]) if "body" in fault else response.body
    if "without" in fault:
        body = compact({name: value for name, value in json.loads(body).items() if name not in fault["without"]})
    changed = Response(fault.get("status", response.status), body[:fault.get("keep_bytes", len(body))],
                       fault.get("content_type", response.content_type), response.headers + extra_headers(fault))
    channel.send(changed.encode())
    return True


def lost(channel):
    """The request has arrived, and neither is acted on nor answered."""
    channel.reset()
    return False


VANISHINGS = {function.__name__: function for function in (lost,)}
REPLACEMENTS = {function.__name__: function for function in (status, redirect, body)}
PAUSES = ("stall", "slow_read")
DELIVERIES = {function.__name__: function for function in
              (stall, reset, close, raw, endless, gzip_bomb, headers, drip, lying_length, slow_read, garble)}


class Gate:
    """Where requests wait until they are released, in the order in which they came."""

    def __init__(self):
        self.lock = threading.Lock()
        self.waiting = collections.deque()
        self.is_open = False

    def wait(self, channel):
        with self.lock:
            if self.is_open:
                return
            wake = os.eventfd(0)
            self.waiting.append(wake)
        try:
            channel.pause(None, wake)
        finally:
            with self.lock:
                if wake in self.waiting:
                    self.waiting.remove(wake)
                os.close(wake)

    def release(self, count=None):
        """Lets so many of those that wait now go on, or all."""
        with self.lock:
            for _ in range(len(self.waiting) if count is None else min(count, len(self.waiting))):
                os.eventfd_write(self.waiting.popleft(), 1)

    def open(self):
        """Lets all go on, now and later."""
        with self.lock:
            self.is_open = True
        self.release()


class Armed:
    """One armed fault with its match and the number of requests it may still hit."""

    def __init__(self, document):
        self.fault = document["fault"]
        if self.fault["kind"] not in VANISHINGS | REPLACEMENTS | DELIVERIES:
            raise ValueError("unknown fault kind")
        if self.fault.get("until", "released") != "released" or "until" in self.fault and self.fault["kind"] not in PAUSES:
            raise ValueError("unknown until")
        self.gate = Gate() if "until" in self.fault else None
        match = document.get("match") or {}
        self.path = re.compile(match.get("path") or "")
        self.body = re.compile(match["body"].encode()) if match.get("body") else None
        if self.body and self.fault["kind"] == "slow_read":
            raise ValueError("slow_read strikes before there is a body to match")
        self.method = match.get("method")
        self.listener = match.get("listener")
        self.skip = document.get("skip", 0)
        self.left = document.get("times", 1)
        self.hits = 0

    def hit(self, listener, request, has_body):
        """Whether this fault strikes the request; counts it if so."""
        if self.left == 0 or has_body != bool(self.body) or not self.path.search(request.target):
            return False
        if self.body and not self.body.search(request.body):
            return False
        if self.method not in (None, request.method) or self.listener not in (None, listener):
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.left is not None:
            self.left -= 1
        self.hits += 1
        return True


class Faults:
    """The faults armed now, by number; the first that matches a request strikes it."""

    def __init__(self):
        self.lock = threading.Lock()
        self.last = 0
        self.armed = {}

    def arm(self, document):
        armed = Armed(document)
        with self.lock:
            self.last += 1
            self.armed[self.last] = armed
            return self.last

    def clear(self, number=None):
        """Disarms one or all, and lets what waits for a release go on; KeyError if there is no such fault."""
        with self.lock:
            gone = [self.armed.pop(each) for each in ([number] if number else list(self.armed))]
        for armed in gone:
            if armed.gate:
                armed.gate.open()

    def release(self, number, count=None):
        """Lets so many of the requests that wait at a fault go on, or all; the fault stays."""
        with self.lock:
            armed = self.armed[number]
        armed.gate.release(count)

    def strike(self, listener, request, has_body=False):
        """The fault for a request, asked for once before its body is read and once after."""
        with self.lock:
            return next(({**armed.fault, "gate": armed.gate} for armed in self.armed.values()
                         if armed.hit(listener, request, has_body)), None)

    def list(self):
        with self.lock:
            return [{"number": number, "fault": armed.fault, "left": armed.left, "hits": armed.hits,
                     "waiting": len(armed.gate.waiting) if armed.gate else 0} for number, armed in self.armed.items()]
