"""POST requests to a receiver: kept connections, and one deadline for the whole of an exchange."""

import functools
import ipaddress
import itertools
import select
import socket
import ssl
import threading
import time
import urllib.parse

from net.wire import BadRequest, Channel, ClientGone

MAX_KEPT_ANSWER = 1024
NUMBERS = itertools.count(1)


@functools.lru_cache
def tls_context(ca_file):
    """Trusts the CA of that file, with "system" those of the machine, with None anybody."""
    if ca_file is None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context
    return ssl.create_default_context(cafile=None if ca_file == "system" else ca_file)


class Address:
    """Where a URL leads to."""

    def __init__(self, url, ca_file=None):
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"no http URL: {url}")
        self.is_tls = parts.scheme == "https"
        self.host, self.port = parts.hostname, parts.port or (443 if self.is_tls else 80)
        self.name = parts.netloc.rpartition("@")[2]
        self.target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self.ca_file = ca_file

    @property
    def peer(self):
        """What connections are kept by."""
        return self.is_tls, self.host, self.port, self.ca_file

    @property
    def is_loopback(self):
        try:
            return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


class Connection(Channel):
    """A connection to a receiver; `deadline` is that of the exchange under way."""

    def __init__(self, address, deadline):
        self.number = next(NUMBERS)
        self.deadline = deadline
        self.exchanges = 0
        self.stays_open = True
        sock = socket.create_connection((address.host, address.port), self.remaining())
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().__init__(sock)
        if address.is_tls:
            self.sock = tls_context(address.ca_file).wrap_socket(sock, server_hostname=address.host)

    def remaining(self):
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left

    def receive(self):
        self.sock.settimeout(self.remaining())
        data = self.sock.recv(1 << 16)
        self.buffer += data
        return bool(data)

    def is_usable(self):
        """Whether the peer has neither closed the connection nor said anything on it."""
        poll = select.poll()
        poll.register(self.sock.fileno(), select.POLLIN)
        return not poll.poll(0)

    def post(self, data, on_status):
        """Sends a request's bytes and returns the body of the answer; on_status gets its status before that."""
        self.exchanges += 1
        self.sock.settimeout(self.remaining())
        try:
            self.sock.sendall(data)
        except ConnectionError:
            pass  # the receiver may have answered before it had read all
        status = self.read_status()
        on_status(status)
        headers = self.read_headers()
        body = self.read_content(status, headers)
        if headers.get("connection", "").lower() == "close" or self.buffer:
            self.stays_open = False
        return body

    def read_status(self):
        """The status of the final answer, after interim ones."""
        while True:
            version, _, rest = self.line().partition(b" ")
            if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
                raise BadRequest("no HTTP answer")
            if rest[:1] != b"1":
                self.stays_open = version != b"HTTP/1.0"
                return int(rest[:3])
            self.read_headers()

    def read_headers(self):
        headers = {}
        while line := self.line():
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        return headers

    def read_content(self, status, headers):
        if status in (204, 304):
            return b""
        if "chunked" in headers.get("transfer-encoding", "").lower():
            return self.read_chunks()
        if "content-length" in headers:
            return self.take(int(headers["content-length"]))
        self.stays_open = False
        while self.receive():
            pass
        return self.take(len(self.buffer))


class Client(threading.local):
    """The kept connections of each thread."""

    def __init__(self):
        self.connections = {}

    def post(self, address, headers, body, timeout, row):
        """One POST. What is seen of the answer goes into the row as soon as it is seen, an error too."""
        connection = None
        try:
            connection = self.connect(address, time.monotonic() + timeout)
            row.update(connection=connection.number, is_reused=connection.exchanges > 0)
            answer = connection.post(request(address, headers, body), lambda status: row.update(status=status))
            row["answer"] = answer[:MAX_KEPT_ANSWER].decode("utf-8", "replace")
            if connection.stays_open:
                self.connections[address.peer] = connection
                connection = None
        except ClientGone:
            row["error"] = "the receiver closed the connection before the answer was over"
        except (OSError, BadRequest, ValueError) as error:
            row["error"] = f"{type(error).__name__}: {error}"
        finally:
            if connection:
                connection.close()

    def connect(self, address, deadline):
        """The kept connection if it is still good, else a new one; it is no longer kept meanwhile."""
        kept = self.connections.pop(address.peer, None)
        if kept and kept.is_usable():
            kept.deadline = deadline
            return kept
        if kept:
            kept.close()
        return Connection(address, deadline)


def request(address, headers, body):
    """The bytes of a POST request."""
    lines = [f"POST {address.target} HTTP/1.1", f"Host: {address.name}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("utf-8", "surrogatepass") + b"\r\n\r\n" + body
