"""Additional listeners that misbehave: traps, wrong certificates, silent or broken TLS."""

import base64
import socket
import threading

from net import certificates
from net.wire import Listener, Response, Service, plain, tls

MAX_CAUGHT = 1 << 20
WRONG_CERTIFICATES = {"cert_self_signed": "self_signed", "cert_wrong_host": "wrong_host",
                      "cert_expired": "expired", "cert_not_yet": "not_yet"}


class Catch:
    """What a trap received: a count and the first bytes."""

    def __init__(self):
        self.count = 0
        self.data = b""

    def __call__(self, data):
        self.count += len(data)
        self.data = (self.data + data)[:MAX_CAUGHT]


class EmptyObject(Service):
    """Answers every request with 200 and {}."""

    def answer(self, request):
        return Response.of({})


def swallow(catch):
    """Reads whatever comes and never answers."""
    def handle(sock):
        while data := sock.recv(1 << 16):
            catch(data)
    return handle


def silence(sock):
    """Never speaks; holds the connection until the peer leaves."""
    while sock.recv(1 << 16):
        pass


def break_handshake(sock):
    """Closes in the middle of the handshake, after the client's hello and half a record header."""
    sock.recv(1 << 16)
    sock.sendall(b"\x16\x03\x03")


def deaf(context):
    """Completes the handshake and then never reads."""
    def handle(sock):
        with context.wrap_socket(sock, server_side=True):
            threading.Event().wait()
    return handle


class SynDrop:
    """A port whose accept queue is full, so that the kernel drops further SYNs."""

    def __init__(self):
        self.connections = 0
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen(0)
        self.port = self.socket.getsockname()[1]
        self.fillers = [socket.socket() for _ in range(4)]
        for filler in self.fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))

    def stop(self):
        for sock in (self.socket, *self.fillers):
            sock.close()


class Listeners:
    """The additional listeners that are open, by port."""

    def __init__(self, place, services):
        self.place = place
        self.services = services
        self.open_ones = {}

    def open(self, kind, service):
        """Opens a listener of a kind, for a service if it has one, and returns its port; KeyError for an unknown kind."""
        catch = Catch()
        listener = SynDrop() if kind == "syn_drop" else self.make(kind, catch, self.services[service]).start()
        self.open_ones[listener.port] = (kind, listener, catch)
        return listener.port

    def make(self, kind, catch, service):
        good = certificates.context(self.place)
        if kind in WRONG_CERTIFICATES:
            return Listener(tls(service, certificates.context(self.place, WRONG_CERTIFICATES[kind])))
        if kind == "slow_send":
            return Listener(deaf(good), receive_buffer=4096)
        return Listener({
            "trap": lambda: swallow(catch),
            "trap_tls": lambda: tls(EmptyObject(), good, catch),
            "tls_stall": lambda: silence,
            "plaintext": lambda: plain(service),
            "tls_1_1": lambda: tls(service, certificates.context(self.place, old_tls=True)),
            "truncated_tls": lambda: break_handshake,
        }[kind]())

    def describe(self, port):
        kind, listener, catch = self.open_ones[port]
        return {"kind": kind, "port": port, "connections": listener.connections, "bytes": catch.count,
                "base64": base64.b64encode(catch.data).decode()}

    def close(self, port):
        self.open_ones.pop(port)[1].stop()

    def close_all(self):
        for port in list(self.open_ones):
            self.close(port)
