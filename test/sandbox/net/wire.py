"""HTTP/1.1 on a socket, by hand, so that faults can act on every byte of an answer."""

import email.utils
import http.client
import json
import select
import socket
import struct
import threading
import urllib.parse

MAX_HEAD = 1 << 20
MAX_BODY = 256 << 20
BLOCK = 1 << 16


class ClientGone(Exception):
    """The peer closed or reset the connection before the exchange was over."""


class BadRequest(Exception):
    """The bytes received are no HTTP request."""


class Request:
    """One request: head as received, body once it has been read."""

    def __init__(self, method, target, headers):
        self.method = method
        self.target = target
        self.headers = headers
        self.values = {name.lower(): value for name, value in reversed(headers)}
        self.body = b""
        self.path, _, self.query_string = target.partition("?")

    @property
    def query(self):
        return dict(urllib.parse.parse_qsl(self.query_string, keep_blank_values=True))

    def header(self, name):
        """The value of the first header of that name, or None."""
        return self.values.get(name)

    def json(self):
        """The body as JSON; ValueError if it is none."""
        try:
            return json.loads(self.body)
        except RecursionError:
            raise ValueError("nested too deeply") from None

    @property
    def wants_close(self):
        return (self.header("connection") or "").lower() == "close"


class Response:
    """One answer; `encode` gives its exact bytes."""

    def __init__(self, status, body=b"", content_type="application/json", headers=()):
        self.status = status
        self.body = body
        self.content_type = content_type
        self.headers = list(headers)

    @classmethod
    def of(cls, value, status=200, headers=()):
        return cls(status, compact(value), headers=headers)

    @classmethod
    def error(cls, status, code, **more):
        return cls.of({"error": code, **more}, status)

    def head(self, framing=None):
        """Status line and headers; `framing` replaces the Content-Length line."""
        reason = http.client.responses.get(self.status, "Unknown")
        lines = [f"HTTP/1.1 {self.status} {reason}"]
        if "Date" not in dict(self.headers):
            lines.append(f"Date: {email.utils.formatdate(usegmt=True)}")
        if self.content_type:
            lines.append(f"Content-Type: {self.content_type}")
        lines.append(framing or f"Content-Length: {len(self.body)}")
        lines += [f"{name}: {value}" for name, value in self.headers]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def encode(self):
        return self.head() + self.body


def compact(value):
    """JSON as the API sends it: no spaces, UTF-8."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


class Channel:
    """A connected socket with a read buffer. `tap` sees every byte received."""

    def __init__(self, sock, tap=None):
        self.sock = sock
        self.tap = tap
        self.buffer = b""

    def receive(self):
        """Reads more bytes into the buffer; False at the end of the stream."""
        try:
            data = self.sock.recv(BLOCK)
        except OSError:
            return False
        if data and self.tap:
            self.tap(data)
        self.buffer += data
        return bool(data)

    def read_head(self):
        """The next request without its body, or None when the peer has finished."""
        while b"\r\n\r\n" not in self.buffer:
            if len(self.buffer) > MAX_HEAD:
                raise BadRequest
            if not self.receive():
                return None
            if not self.buffer[:1].isupper():
                raise BadRequest
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        try:
            method, target, _ = lines[0].split(" ")
            headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])]
        except ValueError:
            raise BadRequest from None
        return Request(method, target, headers)

    def read_body(self, request):
        """The request's body, whether sent with a length or in chunks."""
        if (request.header("expect") or "").lower() == "100-continue":
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if "chunked" in (request.header("transfer-encoding") or "").lower():
            return self.read_chunks()
        length = request.header("content-length") or "0"
        if not length.isdigit() or int(length) > MAX_BODY:
            raise BadRequest
        return self.take(int(length))

    def read_chunks(self):
        parts, total = [], 0
        while size := self.chunk_size():
            total += size
            if total > MAX_BODY:
                raise BadRequest
            parts.append(self.take(size))
            self.take(2)
        while self.line():
            pass
        return b"".join(parts)

    def chunk_size(self):
        try:
            return int(self.line().partition(b";")[0], 16)
        except ValueError:
            raise BadRequest from None

    def line(self):
        while b"\r\n" not in self.buffer:
            if not self.receive():
                raise ClientGone
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line

    def take(self, count):
        """Exactly `count` bytes of the stream."""
        parts, missing = [self.buffer[:count]], count - len(self.buffer)
        self.buffer = self.buffer[count:]
        while missing > 0:
            if not self.receive():
                raise ClientGone
            parts.append(self.buffer[:missing])
            self.buffer, missing = self.buffer[missing:], missing - len(self.buffer)
        return b"".join(parts)

    def send(self, data):
        try:
            self.sock.sendall(data)
        except OSError:
            raise ClientGone from None

    def pause(self, seconds, wake=None):
        """Waits so long, or until `wake` can be read; raises ClientGone as soon as the peer hangs up."""
        poll = select.poll()
        poll.register(self.sock.fileno(), select.POLLRDHUP)
        if wake is not None:
            poll.register(wake, select.POLLIN)
        events = poll.poll(None if seconds is None else seconds * 1000)
        if any(descriptor != wake for descriptor, _ in events):
            raise ClientGone

    def reset(self):
        """Ends the connection with a TCP RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        """Ends the connection in order: close_notify if it is TLS, then FIN."""
        try:
            if hasattr(self.sock, "unwrap"):
                self.sock.settimeout(0)
                self.sock.unwrap()
        except (OSError, ValueError):
            pass
        self.sock.close()


class Service:
    """What a listener offers: `answer` turns a complete request into a Response."""

    def answer(self, request):
        raise NotImplementedError

    def exchange(self, channel, request):
        """Handles one request; says whether the connection stays open."""
        request.body = channel.read_body(request)
        channel.send(self.answer(request).encode())
        return not request.wants_close

    def converse(self, channel):
        """Handles the requests of one connection until either side ends it."""
        try:
            while request := channel.read_head():
                if not self.exchange(channel, request):
                    break
        except BadRequest:
            channel.send(Response.error(400, "BAD_REQUEST").encode())
        finally:
            channel.close()


class Listener:
    """A loopback port; every connection gets a daemon thread that runs `handle(socket)`."""

    def __init__(self, handle, port=0, receive_buffer=None):
        self.handle = handle
        self.connections = 0
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.bind(("127.0.0.1", port))
        self.socket.listen(1024)
        self.port = self.socket.getsockname()[1]

    def start(self):
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def accept(self):
        while True:
            try:
                sock, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.run, args=(sock,), daemon=True).start()

    def run(self, sock):
        try:
            self.handle(sock)
        except (ClientGone, OSError):
            pass
        finally:
            sock.close()

    def stop(self):
        """Closes the port; shutdown first, because close alone does not wake accept."""
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


def tls(service, context, tap=None):
    """A handler that speaks TLS and then HTTP."""
    def handle(sock):
        service.converse(Channel(context.wrap_socket(sock, server_side=True), tap))
    return handle


def plain(service):
    """A handler that speaks plain HTTP."""
    return lambda sock: service.converse(Channel(sock))
