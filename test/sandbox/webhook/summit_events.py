"""The bodies of Summit's webhooks: the envelope, and the data of the four events."""

import copy
import datetime

# The guide's examples, letter by letter.
EXAMPLES = {
    "policy.submitted": """{
 "policy": {"policy_number": "ABC123456", "policy_type": "CGL", "effective_date": "2025-01-01", "expiry_date": "2026-01-01"},
 "certificate_holder": {"name": "ABC Apartments", "reference_ids": {"property_id": "KEL-001","unit_id": "Unit-204","lease_id": "L-7788","tenant_id": "RES-9981"}},
 "documents": {"coi_pdf_id": "doc_01H..."}
}""",
    "policy.verified": """{
 "policy": {"policy_number": "ABC123456", "verified_at": "2025-10-30T17:35:00Z", "verifier": "carrier-api"},
 "checks": [{"name": "limits", "result": "pass"}, {"name": "endorsements", "result": "pass"}],
 "certificate_holder": {"reference_ids": {"property_id": "KEL-001","unit_id": "Unit-204"}}
}""",
    "policy.lapsed": """{
 "policy": {"policy_number": "ABC123456", "lapsed_at": "2026-01-02T00:00:00Z"},
 "reason": {"code": "expiry", "detail": "No renewal received by expiry"},
 "last_known_coverage": {"effective_date": "2025-01-01","expiry_date": "2026-01-01"},
 "certificate_holder": {"reference_ids": {"property_id": "KEL-001","tenant_id": "RES-9981"}}
}""",
    "policy.reinstated": """{
 "policy": {"policy_number": "ABC123456", "reinstated_at": "2026-01-05T15:12:00Z", "new_expiry_date": "2027-01-01"},
 "reason": {"code": "late_renewal", "detail": "Carrier accepted late renewal"},
 "certificate_holder": {"reference_ids": {"property_id": "KEL-001","tenant_id": "RES-9981"}}
}""",
}
EXAMPLE_ENVELOPE = """{
 "delivery_id": "dwk_01HFX...",
 "event": "%s",
 "occurred_at": "2025-10-30T17:35:12Z",
 "attempt": 1,
 "data": %s
}"""
# Which of a holder's ids each event carries, beside that of the property.
REFERENCES = {"policy.submitted": ("property_id", "unit_id", "lease_id", "tenant_id"),
              "policy.verified": ("property_id", "unit_id"), "policy.lapsed": ("property_id", "tenant_id"),
              "policy.reinstated": ("property_id", "tenant_id")}


class Example:
    """The guide's envelope around one of its examples, in the guide's own layout; only `attempt` rises."""

    def __init__(self, name):
        self.text = EXAMPLE_ENVELOPE % (name, EXAMPLES[name])

    def render(self, attempt):
        return self.text.replace('"attempt": 1', f'"attempt": {attempt}').encode()


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def remembered(submission):
    """Of an upload only what events tell of it."""
    policy, holder = submission["policy"], submission["certificate_holder"]
    return {"policy": {name: policy[name] for name in ("policy_number", "policy_type", "effective_date", "expiry_date")},
            "certificate_holder": {"name": holder["name"], "reference_ids": dict(holder["reference_ids"])},
            "has_document": "coi_pdf" in submission.get("documents", {})}


EXAMPLE_UPLOAD = {
    "policy": {"policy_number": "ABC123456", "policy_type": "CGL", "effective_date": "2025-01-01", "expiry_date": "2026-01-01"},
    "certificate_holder": {"name": "ABC Apartments", "reference_ids": {
        "property_id": "KEL-001", "unit_id": "Unit-204", "lease_id": "L-7788", "tenant_id": "RES-9981"}},
    "has_document": True,
}


def upload_of(policy_number):
    """The upload of the guide's examples under another number, for policies that were never uploaded."""
    upload = copy.deepcopy(EXAMPLE_UPLOAD)
    upload["policy"]["policy_number"] = policy_number
    return upload


def submitted(upload, moment, ids):
    document = {"documents": {"coi_pdf_id": new_id("doc", ids)}} if upload["has_document"] else {}
    return {"policy": upload["policy"], "certificate_holder": holder("policy.submitted", upload), **document}


def verified(upload, moment, ids):
    return {"policy": {"policy_number": upload["policy"]["policy_number"], "verified_at": moment, "verifier": "carrier-api"},
            "checks": [{"name": "limits", "result": "pass"}, {"name": "endorsements", "result": "pass"}],
            "certificate_holder": holder("policy.verified", upload)}


def lapsed(upload, moment, ids):
    policy = upload["policy"]
    return {"policy": {"policy_number": policy["policy_number"], "lapsed_at": moment},
            "reason": {"code": "expiry", "detail": "No renewal received by expiry"},
            "last_known_coverage": {name: policy[name] for name in ("effective_date", "expiry_date")},
            "certificate_holder": holder("policy.lapsed", upload)}


def reinstated(upload, moment, ids):
    until = upload["policy"]["expiry_date"]
    return {"policy": {"policy_number": upload["policy"]["policy_number"], "reinstated_at": moment,
                       "new_expiry_date": f"{int(until[:4]) + 1:04d}{until[4:]}".replace("-02-29", "-02-28")},
            "reason": {"code": "late_renewal", "detail": "Carrier accepted late renewal"},
            "certificate_holder": holder("policy.reinstated", upload)}


EVENTS = {"policy.submitted": submitted, "policy.verified": verified, "policy.lapsed": lapsed,
          "policy.reinstated": reinstated}


def holder(name, upload):
    """The holder as an event tells of it: by name only once, by some of its ids always."""
    known = upload["certificate_holder"]
    names = {"name": known["name"]} if name == "policy.submitted" else {}
    return {**names, "reference_ids": {key: known["reference_ids"][key] for key in REFERENCES[name]
                                       if key in known["reference_ids"]}}


def new_id(kind, ids):
    """An id in the shape of the guide's."""
    return f"{kind}_01{ids.getrandbits(96):024X}"


def envelope(name, data, ids, moment=None):
    """The document around the data of an event, with an id of its own."""
    return {"delivery_id": new_id("dwk", ids), "event": name, "occurred_at": moment or now(), "attempt": 1, "data": data}


def document(name, upload, ids):
    """The whole of a first delivery about an upload."""
    moment = now()
    return envelope(name, EVENTS[name](upload, moment, ids), ids, moment)
