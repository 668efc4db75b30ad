"""The webhooks that tests ask for: what to send, to whom, how often, in which order, signed how."""

import collections
import copy
import threading

from canopy.state import EVENT_TYPES
from data.source import Source
from net.faults import as_bytes
from net.wire import compact
from webhook import canopy_events, retries, summit_events
from webhook.sender import Delivery, Envelope, Fixed, Stamp, Target

# What a request may say of each webhook, and what it means not to say it.
SPEC = {
    "provider": None, "url": None, "secret": None, "secrets": None, "ca_file": None,
    "event": None, "body": None, "replay_of": None,
    "pull_id": None, "policy_number": None, "fields": {}, "without": (), "sequence_in": "top",
    "copies": 1, "attempt": 1, "rising": False, "attempts": None, "delay": 0,
    "resign": "fresh", "time_offset": 0, "at": None, "forged": False, "signature": None, "headers": {},
}
FORGERS_SECRET = "not the secret that the receiver knows"


class Receiver:
    """A registered target, and the events about which it hears without a test asking."""

    def __init__(self, target, event_types):
        self.target = target
        self.event_types = event_types

    def describe(self):
        return {"url": self.target.url, "secrets": self.target.secrets, "event_types": self.event_types}


class Webhooks:
    """Makes deliveries of requests and hands them to the sender.

    `memory` knows the pulls, monitorings, uploads and API-registered webhooks that they are about.
    """

    def __init__(self, seed, sender, memory, loopback_only=True):
        self.seed = seed
        self.sender = sender
        self.memory = memory
        self.loopback_only = loopback_only
        self.lock = threading.Lock()
        self.reset()

    def reset(self):
        self.receivers = {provider: {} for provider in retries.POLICIES}
        self.sequences = collections.Counter()
        self.ids = Source(self.seed, "webhooks")
        self.batches = 0

    # Receivers

    def target(self, url, secrets, ca_file=None):
        target = Target(url, secrets, ca_file)
        if self.loopback_only and not target.address.is_loopback:
            raise ValueError(f"not on this machine: {url}")
        return target

    def register(self, document):
        """A receiver for a provider's events; the same URL again changes the secrets that it has."""
        provider, url = document["provider"], document["url"]
        if unknown := document.keys() - {"provider", "url", "secret", "secrets", "ca_file", "event_types"}:
            raise KeyError(", ".join(unknown))
        default = EVENT_TYPES if provider == "canopy" else list(summit_events.EVENTS)
        target = self.target(url, secrets_of(document), document.get("ca_file"))
        receivers = self.receivers[provider]
        if url in receivers:
            receivers[url].target.secrets = target.secrets
            receivers[url].target.address = target.address
            target = receivers[url].target
        receivers[url] = Receiver(target, document.get("event_types", default))

    def forget_receivers(self):
        for receivers in self.receivers.values():
            receivers.clear()

    def list_receivers(self):
        return [{"provider": provider, **receiver.describe()}
                for provider, receivers in self.receivers.items() for receiver in receivers.values()]

    def hooks(self, event):
        """The targets that were registered through Canopy's API for this event, None standing for every event."""
        return [Target(hook["url"], [hook["signing_secret"]]) for hook in self.memory.hooks()
                if hook["is_active"] and (event is None or event in hook["event_types"]) and is_local(hook["url"])]

    def listeners(self, provider, event):
        """Who hears about an event when it happens in the sandbox."""
        listed = [receiver.target for receiver in self.receivers[provider].values()
                  if event in receiver.event_types]
        return listed + (self.hooks(event) if provider == "canopy" else [])

    def is_anyone_listening(self, provider):
        return bool(self.receivers[provider]) or (provider == "canopy" and bool(self.memory.hooks()))

    # Sending

    def post(self, document):
        """The numbers of the deliveries of one request: one webhook, a list of them, or a batch with its defaults."""
        batch = {"webhooks": document} if isinstance(document, list) else dict(document)
        specs = batch.pop("webhooks", [{}])
        order, seed = one_of(batch.pop("order", "given"), "given", "shuffled"), batch.pop("seed", self.seed)
        with self.lock:
            deliveries = [delivery for spec in specs for delivery in self.deliveries({**batch, **spec})]
            if order == "shuffled":
                self.batches += 1
                Source(seed, "order", self.batches).shuffle(deliveries)
            return self.sender.send(deliveries)

    def tell(self, provider, event, make):
        """Sends what `make` makes of an event to everybody who is to hear of it by itself."""
        if targets := self.listeners(provider, event):
            body = make()
            self.sender.send([Delivery(provider, target, body, event) for target in targets])

    def deliveries(self, given):
        """All copies of one webhook to all its targets."""
        if unknown := given.keys() - SPEC.keys():
            raise KeyError(", ".join(unknown))
        spec = {**SPEC, **given}
        if spec["replay_of"] is not None:
            return self.replays(spec)
        event, _, variant = (spec["event"] or "").partition(":")
        provider = spec["provider"] or ("summit" if event.startswith("policy.") else "canopy")
        body = self.body(provider, event, variant or None, spec)
        stamp = Stamp(spec["at"], spec["time_offset"], is_kept=one_of(spec["resign"], "fresh", "original") == "original")
        return [Delivery(provider, target, body, event or None, stamp, spec["attempt"] + spec["rising"] * copy,
                         self.attempts(provider, spec), spec["headers"], spec["signature"], spec["delay"])
                for copy in range(spec["copies"]) for target in self.targets(provider, event, spec)]

    def attempts(self, provider, spec):
        """How often a delivery is sent at most: a copy that somebody else sends only once, unless the request says more."""
        is_foreign = spec["forged"] or spec["replay_of"] is not None
        wanted = spec["attempts"] or (1 if is_foreign else retries.attempts(provider))
        if not 1 <= wanted <= retries.attempts(provider):
            raise ValueError(f"attempts is 1 to {retries.attempts(provider)}")
        return wanted

    def replays(self, spec):
        """The bytes and headers of a delivery's first attempt again, just as somebody who listened would send them."""
        original = self.sender.find(spec["replay_of"])
        if original is None or not original.rows:
            raise ValueError("no such delivery, or not sent yet")
        row = original.rows[0]
        target = self.target(spec["url"], [], spec["ca_file"]) if spec["url"] else original.target
        headers = {**row["headers"], **spec["headers"]}
        return [Delivery(original.provider, target, Fixed(row["body"]), original.event, headers=headers,
                         attempts=self.attempts(original.provider, spec), delay=spec["delay"]) for _ in range(spec["copies"])]

    def targets(self, provider, event, spec):
        """Where a webhook goes: to its own URL, or to all that are registered."""
        if spec["url"]:
            targets = [self.target(spec["url"], [FORGERS_SECRET] if spec["forged"] else secrets_of(spec), spec["ca_file"])]
        else:
            targets = [receiver.target for receiver in self.receivers[provider].values()]
            targets += self.hooks(event or None) if provider == "canopy" else []
            if own := [FORGERS_SECRET] if spec["forged"] else secrets_of(spec, required=False):
                targets = [Target(target.url, own, target.address.ca_file) for target in targets]
        if not targets:
            raise ValueError("no url, and nobody is registered")
        return targets

    # Bodies

    def body(self, provider, event, variant, spec):
        """What to send, in the form that the sender wants it."""
        if spec["body"] is not None:
            return Fixed(as_bytes(spec["body"]))
        if provider == "summit" and variant == "example":
            return summit_events.Example(event)
        make = self.canopy if provider == "canopy" else self.summit
        document = copy.deepcopy(make(event, variant, spec))  # parts of it belong to pulls and uploads
        merge(document, spec["fields"])
        for path in spec["without"]:
            remove(document, path)
        return Envelope(document) if provider == "summit" else Fixed(compact(document))

    def canopy(self, event, variant, spec):
        subject = self.subject(spec["pull_id"], spec["sequence_in"], is_counted=event == "AUTH_STATUS")
        if event in canopy_events.EVENTS:
            return canopy_events.body(event, subject, variant)
        require_data(event, spec)
        return canopy_events.envelope(event, subject, None, {})

    def subject(self, pull_id=None, sequence_in="top", is_counted=False):
        """What an event tells about; counts AUTH_STATUS of each pull."""
        pull = self.memory.pull(pull_id)
        self.sequences[pull["pull_id"]] += is_counted
        return canopy_events.Subject(pull, self.ids, self.memory.monitoring(pull["pull_id"]),
                                     self.sequences[pull["pull_id"]], sequence_in,
                                     begun=self.memory.monitoring(pull["pull_id"], first=0))

    def summit(self, event, variant, spec):
        if variant is not None:
            raise ValueError("Summit's events have the variant example only")
        if event in summit_events.EVENTS:
            return summit_events.document(event, self.memory.upload(spec["policy_number"] or "ABC123456"), self.ids)
        require_data(event, spec)
        return summit_events.envelope(event, {}, self.ids)


def is_local(url):
    """Whether a webhook that was registered through the API leads to this machine: to others the sandbox never speaks."""
    try:
        return Target(url, []).address.is_loopback
    except ValueError:
        return False


def require_data(event, spec):
    """An event that nobody has heard of must bring its data, so that typing errors are found."""
    if not event or "data" not in spec["fields"]:
        raise ValueError(f"unknown event {event}, and no data in fields")


def one_of(value, *allowed):
    if value not in allowed:
        raise ValueError(f"{value} is none of {', '.join(allowed)}")
    return value


def secrets_of(document, required=True):
    """The secrets, of which there may be several while they are being changed."""
    secrets = document.get("secrets") or ([document["secret"]] if document.get("secret") is not None else [])
    if required and not secrets:
        raise KeyError("secret")
    return list(secrets)


def merge(document, changes):
    """Puts changes into a document, object by object."""
    for name, value in changes.items():
        if isinstance(value, dict) and isinstance(document.get(name), dict):
            merge(document[name], value)
        else:
            document[name] = value


def remove(document, path):
    """Takes a field out, which a path of names with full stops leads to."""
    name, _, rest = path.partition(".")
    if rest:
        remove(document[name], rest)
    else:
        del document[name]
