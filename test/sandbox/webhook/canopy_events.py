"""The bodies of Canopy's webhooks: the envelope, and the data of every type of event.

An event may have variants, of which the first is what one gets without asking. The guide leaves
open where `sequence` and `mfa_options` stand; `sequence_in` chooses the former's place.
"""

import json

from data.entities import entity
from data.sample import sample
from data.source import named_uuid

EVENTS = {}
SEQUENCE_PLACES = ("top", "data", "both", "none")
RECONNECT_URL = "https://app.usecanopy.com/c/{}/reconnect?reconnectToken={}"


class Subject:
    """What an event is about. Lists that the pull lacks are empty, ids that it lacks are made."""

    def __init__(self, pull, ids, monitoring=None, sequence=1, sequence_in="top", action=None, begun=None):
        if sequence_in not in SEQUENCE_PLACES:
            raise ValueError("sequence_in is one of " + ", ".join(SEQUENCE_PLACES))
        self.pull = pull
        self.ids = ids
        self.pull_id = pull["pull_id"]
        self.monitoring = monitoring
        self.begun = begun
        self.sequence = sequence
        self.sequence_in = sequence_in
        self.action = action or {}

    def items(self, name):
        return things(self.pull, name)

    def id_of(self, name, key):
        """The id of the first such thing on the pull, or a new one."""
        return next((item[key] for item in self.items(name) if key in item), None) or self.ids.uuid()

    def invented_monitoring(self):
        """For events that only monitored pulls have: always the same for the same pull."""
        return {"initial_pull_id": named_uuid("initial", self.pull_id),
                "monitoring_id": named_uuid("monitoring", self.pull_id)}


def things(pull, name):
    """The objects in a list of the pull, whatever else a test has put there."""
    found = pull.get(name)
    return [thing for thing in found if isinstance(thing, dict)] if isinstance(found, list) else []


class Event:
    """A type of event: what makes its part of the body, its variants, and whether only monitored pulls have it."""

    def __init__(self, make, variants, is_of_monitoring):
        self.make = make
        self.variants = variants
        self.is_of_monitoring = is_of_monitoring


def event(name, variants=(), is_of_monitoring=False):
    """Registers a function (subject, variant) that returns status and data."""
    def register(function):
        EVENTS[name] = Event(function, variants, is_of_monitoring)
        return function
    return register


def body(name, subject, variant=None):
    """The whole body of an event."""
    kind = EVENTS[name]
    if variant is None and kind.variants:
        variant = kind.variants[0]
    if variant is not None and variant not in kind.variants:
        raise ValueError(f"{name} has the variants {', '.join(kind.variants) or 'none'}")
    if kind.is_of_monitoring and not subject.monitoring:
        subject.monitoring = subject.begun or subject.invented_monitoring()
    status, data = kind.make(subject, variant)
    made = envelope(name, subject, status, data)
    if name == "AUTH_STATUS":
        add_sequence(made, subject)
    return made


def envelope(name, subject, status, data):
    """What all events have in common."""
    pull = subject.pull
    monitoring = {"monitoring": subject.monitoring} if subject.monitoring else {}
    return {"widget_id": pull.get("widget_id"), "team_id": pull.get("team_id"), "pull_id": subject.pull_id,
            "pull_type": pull.get("type"), "status": status or pull.get("status"), "meta_data": meta_data(pull),
            "event_type": name, "account_identifier": pull.get("account_identifier"),
            "is_monitored": bool(subject.monitoring), **monitoring, "data": data}


def meta_data(pull):
    """An object here, although a pull has it as text."""
    found = pull.get("meta_data")
    if isinstance(found, str):
        try:
            found = json.loads(found)
        except ValueError:
            found = None
    return found if isinstance(found, dict) else {}


def add_sequence(made, subject):
    """The samples of this event lack is_monitored, and have the counter that tells late ones."""
    if not subject.monitoring:
        del made["is_monitored"]
    if subject.sequence_in in ("top", "both"):
        made["sequence"] = subject.sequence
    if subject.sequence_in in ("data", "both"):
        made["data"]["sequence"] = subject.sequence


# Pulls

@event("AUTH_STATUS", ("NOT_AUTHENTICATED", "IDENTITY_VERIFICATION_OPTIONS", "IDENTITY_VERIFICATION", "SUCCESS"))
def auth_status(subject, status):
    data = {"auth_status": status}
    if status == "NOT_AUTHENTICATED":
        data["login_error_message"] = subject.pull.get("login_error_message")
    if status == "IDENTITY_VERIFICATION_OPTIONS":
        data["mfa_options"] = {"sms": "Text message to ***-***-0199", "email": "Email to m***@example.com"}
    return status, data


@event("POLICY_AVAILABLE")
def policy_available(subject, variant):
    """The pull's first policy."""
    policy = (subject.items("policies") or [{}])[0]
    return "PULLING_DATA", {"policy_id": policy.get("policy_id") or subject.ids.uuid(),
                            "policy_type": policy.get("policy_type", "AUTO")}


@event("POLICIES_AVAILABLE")
def policies_available(subject, variant):
    return "PULLING_DATA", {}


@event("COMPLETE")
def complete(subject, variant):
    return "SUCCESS", {}


@event("ERROR", ("PROVIDER_ERROR", "INTERNAL_ERROR"))
def error(subject, kind):
    return kind, {"type": kind}


@event("VALIDATION_COMPLETE", ("VERIFIED", "POLICY_INACTIVE", "POLICY_NOT_FOUND", "CARRIER_UNSUPPORTED",
                               "MISSING_REQUIRED_INFORMATION", "UNABLE_TO_VALIDATE"))
def validation_complete(subject, status):
    return "SUCCESS", {"document_validation_id": subject.ids.uuid(), "status": status,
                       "completed_at": "2026-03-01T17:20:00.000Z"}


# What consumers edit

UPDATES = {
    "DRIVER_ADDED": lambda subject: {"driver": sample("Driver", subject.ids)},
    "DRIVER_UPDATED": lambda subject: {"driver": (subject.items("drivers") or [sample("Driver", subject.ids)])[0]},
    "CONTACT_UPDATED": lambda subject: {"data": {
        "first_name": subject.pull.get("first_name"), "last_name": subject.pull.get("last_name"),
        "mobile_phone": "2065550142", "email": None}},
    "DEMOGRAPHICS_UPDATED": lambda subject: {"data": {
        "gender": "NONBINARY", "marital_status": "DOMESTIC_PARTNERSHIP", "education": "GRADUATE_WORK",
        "occupation": None}},
    "ANSWERS_UPDATED": lambda subject: {"data": entity(
        "AnswerSection", consumer_flow_section_id=subject.ids.uuid(), fields=[answer(subject)])},
}


def answer(subject):
    return entity("AnswerField", consumer_flow_section_field_id=subject.ids.uuid(), label="Household size",
                  meta={"position": 0}, type="NUMBER", value=3)


@event("DATA_UPDATED", ("ALL", *UPDATES))
def data_updated(subject, kind):
    """All five kinds of update together, or one of them."""
    kinds = UPDATES if kind == "ALL" else [kind]
    return None, {"updates": [{"type": name, **UPDATES[name](subject)} for name in kinds]}


# Monitoring

@event("MONITORING_RECONNECT", ("NOT_AUTHENTICATED", "IDENTITY_VERIFICATION_OPTIONS", "IDENTITY_VERIFICATION"),
       is_of_monitoring=True)
def monitoring_reconnect(subject, status):
    token = f"{subject.ids.getrandbits(256):064x}"
    alias = subject.pull.get("public_alias") or "sandbox-link"
    return status, {"auth_status": status, "reconnect_url": RECONNECT_URL.format(alias, token), "reconnect_token": token}


# Of every type of change: the schema that changed, how, and its fields before and after.
CHANGES = {
    "RENEWAL": ("POLICY", "UPDATE", {"expiry_date": "2026-03-01T05:00:00.000Z"}, {"expiry_date": "2027-03-01T05:00:00.000Z"}),
    "EXPIRED": ("POLICY", "UPDATE", {"status": "ACTIVE"}, {"status": "EXPIRED"}),
    "CANCELED": ("POLICY", "UPDATE", {"status": "ACTIVE"}, {"status": "CANCELLED"}),
    "NEW_BUSINESS": ("POLICY", "CREATE", None, {}),
    "REINSTATED": ("POLICY", "UPDATE", {"status": "CANCELLED"}, {"status": "ACTIVE"}),
    "ENDORSEMENT": ("POLICY", "UPDATE", {"total_premium_cents": 120000}, {"total_premium_cents": 131500}),
    "CLAIM_OPENED": ("CLAIM", "CREATE", None, {}),
    "CLAIM_CLOSED": ("CLAIM", "UPDATE", {"status": "OPEN"}, {"status": "CLOSED"}),
    "CLAIM_REMOVED": ("CLAIM", "DELETE", {}, None),
    "DRIVINGRECORD_ADDED": ("DRIVINGRECORD", "CREATE", None, {}),
    "DRIVINGRECORD_REMOVED": ("DRIVINGRECORD", "DELETE", {}, None),
}
IDS = {"POLICY": ("policies", "policy_id"), "CLAIM": ("claims", "claim_id"),
       "DRIVINGRECORD": ("driving_records", "driving_record_id")}


@event("MONITORING_EVENTS", tuple(CHANGES), is_of_monitoring=True)
def monitoring_events(subject, kind):
    """One event, not a list of them. What a change creates or deletes shows its id only."""
    schema, how, before, after = CHANGES[kind]
    items, key = IDS[schema]
    known = {key: subject.id_of(items, key)}
    changed = {when: None if fields is None else {**known, **fields}
               for when, fields in (("before", before), ("after", after))}
    return "SUCCESS", {"type": kind, "changes": [{"schema": schema, "type": how, **changed}],
                       "documents": [{"document_id": subject.id_of("documents", "document_id")}]}


# Servicing

PREVIOUS = {"SUBMITTED": "PROCESSING", "VERIFYING": "SUBMITTED", "VERIFIED": "VERIFYING",
            "VERIFIED_WITHOUT_DOCUMENT": "VERIFYING", "VERIFICATION_FAILED": "VERIFYING",
            "VALIDATION_ERROR": "PROCESSING", "UNCONFIRMED": "PROCESSING", "PROCESSING": "PROCESSING",
            "INTERNAL_ERROR": "PROCESSING", "PROVIDER_ERROR": "PROCESSING"}
MANUAL = ("PROCESSING", "INTERNAL_ERROR", "PROVIDER_ERROR")


@event("SERVICING_STATUS_UPDATED", tuple(PREVIOUS))
def servicing_status_updated(subject, status):
    """Some states are told only when people of Canopy's have taken over."""
    return "SERVICING", {
        "servicing_action_id": subject.action.get("servicing_action_id") or subject.ids.uuid(),
        "original_pull_id": subject.action.get("original_pull_id") or named_uuid("original", subject.pull_id),
        "status": status, "previous_status": PREVIOUS[status], "is_manual": status in MANUAL,
        "validation_error_type": "INVALID_POLICY_NUMBER" if status == "VALIDATION_ERROR" else None,
        "document_id": subject.id_of("documents", "document_id") if status == "VERIFIED" else None}


@event("SERVICING_WAITING_FOR_CONSUMER_CONFIRMATION")
def servicing_waiting(subject, variant):
    return "WAITING_FOR_CONSUMER_CONFIRMATION", {
        "servicing_action_id": subject.action.get("servicing_action_id") or subject.ids.uuid()}
