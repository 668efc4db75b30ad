"""Deliveries of webhooks: signed, posted, judged, and posted again, with a log of every attempt."""

import base64
import hashlib
import threading
import time

from data.source import Source
from net.agenda import Agenda
from net.outgoing import Address, Client
from net.wire import compact
from webhook import retries, signing

SETTINGS = {
    "scale": 1.0,              # what the delays before retries are multiplied by
    "canopy_timeout": 30.0,    # how long a receiver may take, in seconds; the scale does not touch them
    "summit_timeout": 10.0,
    "connections": 8,          # how many deliveries are under way at a time, each on a connection of its own
    "jitter": "full",          # or "none": Summit's retries exactly when the guide lists them
    "delay": 0.1,              # seconds between something happening in the sandbox and the webhook about it
}
STATES = ("waiting", "sending", "delivered", "refused", "exhausted", "cancelled")


class Fixed:
    """A body that stays as it is."""

    def __init__(self, content):
        self.content = content

    def render(self, attempt):
        return self.content


class Envelope:
    """A JSON object whose `attempt`, if it has one, is that of the delivery."""

    def __init__(self, document):
        self.document = document

    def render(self, attempt):
        return compact({**self.document, **({"attempt": attempt} if "attempt" in self.document else {})})


class Target:
    """Where webhooks go and what signs them. Its secrets may change between the attempts of a delivery."""

    def __init__(self, url, secrets, ca_file=None):
        self.url = url
        self.address = Address(url, ca_file)
        self.secrets = secrets


class Stamp:
    """The time that signatures state: now and an offset, or always the first such, or what a test says."""

    def __init__(self, at=None, offset=0, is_kept=False):
        self.at = at
        self.offset = offset
        self.is_kept = is_kept

    def moment(self):
        if self.at is not None:
            return self.at
        moment = int(time.time() + self.offset)
        if self.is_kept:
            self.at = moment
        return moment


class Delivery:
    """One webhook on its way to one receiver, until it is delivered or given up."""

    def __init__(self, provider, target, body, event=None, stamp=None, first_attempt=1, attempts=None, headers=(),
                 signature=None, delay=0):
        self.number = None
        self.provider = provider
        self.target = target
        self.body = body
        self.event = event
        self.stamp = stamp or Stamp()
        self.first_attempt = first_attempt
        self.attempts = attempts or retries.attempts(provider)
        self.headers = dict(headers)
        self.signature = signature
        self.delay = delay
        self.state = "waiting"
        self.rows = []
        self.next_delay = None

    def compose(self, body):
        """The headers of an attempt. Those that a test gives replace ours, and null leaves one out."""
        name, value = signing.header(self.provider, self.target.secrets, self.stamp.moment(), body)
        headers = {"Content-Type": "application/json", name: value if self.signature is None else self.signature, **self.headers}
        return {name: value for name, value in headers.items() if value is not None}

    def describe(self):
        return {"number": self.number, "provider": self.provider, "url": self.target.url, "event": self.event,
                "state": self.state, "attempts": len(self.rows), "next_delay": self.next_delay,
                "statuses": [row["status"] for row in self.rows]}


class Sender:
    """All deliveries and their attempts since the last reset."""

    def __init__(self, seed):
        self.seed = seed
        self.lock = threading.Lock()
        self.client = Client()
        self.agenda = Agenda(SETTINGS["connections"])
        self.deliveries = []
        self.reset()

    def reset(self):
        """Back to the first settings, with nothing to send."""
        self.clear()
        self.settings = dict(SETTINGS)
        self.agenda.change(SETTINGS["scale"], SETTINGS["connections"])

    def clear(self):
        """Forgets everything; of deliveries under way, those attempts are the last."""
        self.agenda.clear()
        with self.lock:
            for delivery in self.deliveries:
                if delivery.state in ("waiting", "sending"):
                    delivery.state = "cancelled"
            self.deliveries = []
            self.rows = []

    def change_settings(self, changes):
        with self.lock:
            if unknown := changes.keys() - SETTINGS.keys():
                raise KeyError(", ".join(unknown))
            settings = {**self.settings, **changes}
            if settings["connections"] < 1 or settings["jitter"] not in ("full", "none"):
                raise ValueError("connections or jitter")
            self.settings = {name: type(SETTINGS[name])(value) for name, value in settings.items()}
            self.agenda.change(self.settings["scale"], self.settings["connections"])

    def send(self, deliveries):
        """Puts deliveries into the queue, in their order; returns their numbers."""
        with self.lock:
            for delivery in deliveries:
                self.deliveries.append(delivery)
                delivery.number = len(self.deliveries)
            numbers = [delivery.number for delivery in deliveries]
        for delivery in deliveries:
            self.agenda.add(lambda delivery=delivery: self.attempt(delivery), delivery.delay)
        return numbers

    def attempt(self, delivery):
        """Sends a delivery once; if that fails, makes an appointment for the next time."""
        row = self.open(delivery)
        if row is None:
            return
        timeout = self.settings[f"{delivery.provider}_timeout"]
        self.client.post(delivery.target.address, row["headers"], row["body"], timeout, row)
        row["finished"] = time.time()
        with self.lock:
            self.judge(delivery, row)
        if delivery.state == "waiting":
            self.agenda.add(lambda: self.attempt(delivery), delivery.next_delay, is_scaled=True)

    def open(self, delivery):
        """The log's row of an attempt that begins; None if the delivery was cancelled."""
        with self.lock:
            if delivery.state != "waiting":
                return None
            delivery.state, delivery.next_delay = "sending", None
            attempt = delivery.first_attempt + len(delivery.rows)
            body = delivery.body.render(attempt)
            row = {"seq": len(self.rows) + 1, "delivery": delivery.number, "attempt": attempt,
                   "provider": delivery.provider, "event": delivery.event, "url": delivery.target.url,
                   "headers": delivery.compose(body), "body": body, "connection": None, "is_reused": False,
                   "status": None, "answer": None, "error": None, "is_delivered": False,
                   "started": time.time(), "finished": None}
            delivery.rows.append(row)
            self.rows.append(row)
            return row

    def judge(self, delivery, row):
        """What an attempt means for its delivery."""
        policy = retries.POLICIES[delivery.provider]
        is_answered = row["error"] is None
        row["is_delivered"] = is_answered and policy.is_delivered(row["status"])
        if row["is_delivered"]:
            delivery.state = "delivered"
        elif delivery.state == "cancelled":
            pass
        elif is_answered and policy.is_refused(row["status"]):
            delivery.state = "refused"
        elif len(delivery.rows) >= delivery.attempts:
            delivery.state = "exhausted"
        else:
            delivery.state = "waiting"
            delivery.next_delay = policy.delay(len(delivery.rows), self.jitter(delivery))

    def jitter(self, delivery):
        """The source of a retry's jitter, the same for the same seed, delivery and attempt."""
        if self.settings["jitter"] == "none":
            return None
        return Source(self.seed, "jitter", delivery.number, len(delivery.rows))

    # What tests read

    def find(self, number):
        with self.lock:
            return self.deliveries[number - 1] if 0 < number <= len(self.deliveries) else None

    def counts(self):
        """How many deliveries are in which state, and the attempts made."""
        with self.lock:
            counts = dict.fromkeys(STATES, 0)
            for delivery in self.deliveries:
                counts[delivery.state] += 1
            return {**counts, "deliveries": len(self.deliveries), "attempts": len(self.rows)}

    def list(self):
        with self.lock:
            return [delivery.describe() for delivery in self.deliveries]

    def log(self, after=0):
        """The attempts after a sequence number, in the order of their beginnings."""
        with self.lock:
            return [readable(row) for row in self.rows[after:]]


def readable(row):
    """A row of the log as JSON can hold it: the body as text if it is UTF-8, else as base64."""
    body = row["body"]
    try:
        text, encoding = body.decode(), "text"
    except UnicodeDecodeError:
        text, encoding = base64.b64encode(body).decode(), "base64"
    return {**row, "body": text, "body_encoding": encoding, "body_sha256": hashlib.sha256(body).hexdigest()}
