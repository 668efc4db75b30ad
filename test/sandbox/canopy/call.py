"""One call of an operation: its validated input, and the errors it can end with."""

import email
import email.policy
import re

from data.catalogue import is_date_time, mismatch, scalar_fits

# The error code for a bad value of a body field, where the API has one of its own.
FIELD_CODES = {
    "device_identifier": "MISSING_DEVICE_IDENTIFIER", "consent_language": "INVALID_CONSENT_LANGUAGE",
    "public_alias": "INVALID_PUBLIC_ALIAS", "insurerName": "UNSUPPORTED_INSURER", "insurerUsername": "INVALID_USERNAME",
    "insurerPassword": "INVALID_PASSWORD", "insurerThirdField": "INVALID_THIRDFIELD", "agents": "INVALID_AGENT_ID",
    "servicing_actions": "INVALID_SERVICING_ACTIONS", "hookUrl": "INVALID_URL", "eventTypes": "INVALID_EVENT_TYPE",
    "isActive": "INVALID_IS_ACTIVE", "interval": "INVALID_INTERVAL", "stop_after_date": "INVALID_STOP_AFTER",
    "reconnect_token": "INVALID_RECONNECT_TOKEN", "searchData": "INVALID_POLICY_LOOKUP_DATA", "logo": "INVALID_IMAGE",
    "icon": "INVALID_IMAGE",
}


class ApiError(Exception):
    """An error answer: a code, and its status if not the documented one."""

    def __init__(self, code, **more):
        super().__init__(code)
        self.code = code
        self.more = more


class Call:
    """A request that has been routed and let in."""

    def __init__(self, operation, request, params):
        self.operation = operation
        self.request = request
        self.params = params
        self.query = self.read_query(request.query)
        self.body = self.read_body()

    def reject(self, *codes):
        """An error with the first of these codes that the operation documents."""
        return ApiError(self.operation.rejection(*codes))

    def read_query(self, given):
        """The declared query parameters, converted; parameters nobody declared are ignored."""
        values = {}
        for param in self.operation.params:
            if param["in"] != "query":
                continue
            name = param["name"]
            if name in given:
                values[name] = self.convert(param, given[name])
            elif param.get("required"):
                raise self.reject("VALIDATION_ERROR")
            else:
                values[name] = param.get("default")
        return values

    def convert(self, param, text):
        """A query value in its declared type. Ids are opaque: format uuid is not enforced."""
        kind, value = param["type"], text
        if kind in ("integer", "number"):
            if not re.fullmatch(r"-?\d{1,18}", text):
                raise self.reject("VALIDATION_ERROR")
            value = int(text)
        elif kind == "boolean":
            if text not in ("true", "false"):
                raise self.reject("VALIDATION_ERROR")
            value = text == "true"
        elif param.get("format") == "date-time" and not is_date_time(text):
            raise self.reject("VALIDATION_ERROR")
        if not scalar_fits(value, param):
            raise self.reject("VALIDATION_ERROR")
        return value

    def read_body(self):
        """The body as a dict, checked against its schema; {} where none is wanted or given."""
        facts = self.operation.body
        if facts is None:
            return {}
        if facts["content_type"] == "multipart/form-data":
            body = self.read_multipart()
        elif not self.request.body and not facts.get("required") and not facts["schema"].get("required"):
            return {}
        else:
            body = self.read_json()
        wrong = mismatch(body, facts["schema"])
        if wrong is not None:
            raise self.reject(*self.codes_for(wrong, body))
        return body

    def codes_for(self, path, body):
        if not path:
            return ()
        value = body.get(path[0]) if isinstance(body, dict) else None
        if path[0] == "consent_language" and isinstance(value, str) and len(value) > 1024:
            return ("CONSENT_LANGUAGE_TOO_LONG",)
        return tuple(filter(None, (FIELD_CODES.get(path[0]),)))

    def read_json(self):
        declared = (self.request.header("content-type") or "").partition(";")[0].strip().lower()
        try:
            if declared == "application/json":
                return self.request.json()
        except ValueError:
            pass
        raise self.reject("INVALID_INPUT")

    def read_multipart(self):
        """Form fields as strings, files as {name, type, data}; a field sent twice becomes a list."""
        content_type = self.request.header("content-type") or ""
        if not content_type.lower().startswith("multipart/form-data"):
            raise self.reject("INVALID_INPUT")
        message = email.message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + self.request.body,
                                           policy=email.policy.HTTP)
        fields = self.operation.body["schema"]["fields"]
        body = {}
        for part in message.iter_parts():
            name = part.get_param("name", header="content-disposition")
            self.add_part(body, name, part, fields.get(name, {}))
        return body

    def add_part(self, body, name, part, node):
        data = part.get_payload(decode=True) or b""
        if node.get("type") == "array":
            body.setdefault(name, []).append(data.decode("latin-1"))
        elif node.get("type") == "integer":
            body[name] = int(data) if data.isdigit() else data.decode("latin-1")
        elif name and "[" in name:
            outer, _, inner = name.partition("[")
            body.setdefault(outer, {})[inner.rstrip("]")] = data.decode(errors="replace")
        elif node.get("format") == "binary":
            body[name] = data.decode("latin-1") if part.get_content_maintype() == "image" else None
        else:
            body[name] = data.decode(errors="replace")
