"""The body of an upload to Summit: which fields it may and must have.

Stricter than the guide says that Summit is: what Summit has not asked for is refused, because
its users are to send no more than that.
"""

import base64
import binascii
import datetime
import re

POLICY_TYPES = ("CGL", "Property", "E&O", "D&O", "Cyber")
SIGNATURES = {"application/pdf": b"%PDF-", "image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff"}


class Invalid(Exception):
    """What is wrong with which field. The path grows on the way out of the objects that hold the field."""

    def __init__(self, what, field=""):
        super().__init__(what)
        self.what = what
        self.field = field

    def within(self, name):
        """The same complaint as the object that has this field sees it."""
        joint = "." if self.field and not self.field.startswith("[") else ""
        return Invalid(self.what, f"{name}{joint}{self.field}")

    def __str__(self):
        return f"{self.field.rpartition('.')[2] or 'body'} {self.what}"


def text(value):
    if not isinstance(value, str) or not value.strip():
        raise Invalid("must be a text that is not empty")


def boolean(value):
    if not isinstance(value, bool):
        raise Invalid("must be true or false")


def amount(value):
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
        raise Invalid("must be a number that is not negative")


def days(value):
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise Invalid("must be a whole number of days")


def date(value):
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII):
            datetime.date.fromisoformat(value)
            return
    except (TypeError, ValueError):
        pass
    raise Invalid("must be an ISO 8601 date")


def policy_type(value):
    if value not in POLICY_TYPES:
        raise Invalid("must be one of " + ", ".join(POLICY_TYPES))


def email(value):
    if not isinstance(value, str) or not re.fullmatch(r"[^@\s]+@[^@\s]+", value):
        raise Invalid("must be an email address")


def list_of(item):
    """A check of an array's members."""
    def check(value):
        if not isinstance(value, list):
            raise Invalid("must be an array")
        for number, member in enumerate(value):
            try:
                item(member)
            except Invalid as invalid:
                raise invalid.within(f"[{number}]") from None
    return check


def record(required, optional):
    """A check of an object's fields, in the order in which they are named here."""
    fields = {**required, **optional}

    def check(value):
        if not isinstance(value, dict):
            raise Invalid("must be an object")
        for name in value:
            if name not in fields:
                raise Invalid("is not a known field", name)
        for name, inner in fields.items():
            if name in value:
                try:
                    inner(value[name])
                except Invalid as invalid:
                    raise invalid.within(name) from None
            elif name in required:
                raise Invalid("is required", name)
    return check


def document(value):
    """A file: its bytes as base64 together with their type, or an https URL of it."""
    FILE(value)
    if ("base64" in value) == ("url" in value):
        raise Invalid("must have either base64 or url")
    if "url" in value and not value["url"].startswith("https://"):
        raise Invalid("must be an https URL", "url")
    if "content_type" in value and value["content_type"] not in SIGNATURES:
        raise Invalid("must be one of " + ", ".join(SIGNATURES), "content_type")
    if "base64" in value:
        check_bytes(value)


def check_bytes(value):
    if "content_type" not in value:
        raise Invalid("is required", "content_type")
    try:
        data = base64.b64decode(value["base64"], validate=True)
    except (binascii.Error, ValueError):
        raise Invalid("must be base64", "base64") from None
    if not data.startswith(SIGNATURES[value["content_type"]]):
        raise Invalid(f"must be a file of type {value['content_type']}", "base64")


FILE = record({}, {"content_type": text, "base64": text, "url": text})
SUBMISSION = record({
    "policy": record(
        {"policy_number": text, "insurer_name": text, "policy_type": policy_type, "effective_date": date, "expiry_date": date},
        {"limits": record({}, {"per_occurrence": amount, "aggregate": amount}), "cancellation_notice_days": days,
         "endorsements": list_of(text), "broker": record({}, {"name": text, "phone": text, "email": email})}),
    "certificate_holder": record(
        {"name": text, "additional_insured": boolean, "waiver_of_subrogation": boolean,
         "reference_ids": record({"property_id": text}, {"unit_id": text, "lease_id": text, "tenant_id": text})},
        {"address": text, "email": email, "contact_phone": text}),
}, {"documents": record({}, {"coi_pdf": document, "endorsements": list_of(document)})})


def check(submission):
    """Raises Invalid for the first thing that is wrong with an upload's JSON."""
    SUBMISSION(submission)
    policy = submission["policy"]
    if policy["expiry_date"] <= policy["effective_date"]:
        raise Invalid("must be after effective_date", "policy.expiry_date")
