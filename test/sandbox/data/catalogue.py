"""The API's facts: operations and schemas, read from canopy-api.json.

A schema node is a dict: {"ref": name}, {"any": [nodes]}, {"type": "array", "items": node},
{"type": "object", "fields": {...}} or a scalar with type, format and enum. Everything that can be
derived from the facts (routes, authentication, error statuses) is derived here and nowhere else.
"""

import json
import pathlib
import re
import urllib.parse

FACTS = json.loads((pathlib.Path(__file__).parent / "canopy-api.json").read_text(encoding="utf-8"))
SCHEMAS = FACTS["schemas"]
BASE_PATH = FACTS["base_path"]


class Operation:
    """One API endpoint: its route, credentials, parameters and documented answers."""

    def __init__(self, name, facts):
        self.name = name
        self.method = facts["method"]
        self.path = facts["path"]
        self.security = facts["security"]
        self.params = facts.get("params", [])
        self.body = facts.get("body")
        self.responses = facts["responses"]
        self.segments = self.path.strip("/").split("/")

    @property
    def is_team_scoped(self):
        return "{teamId}" in self.segments

    @property
    def success(self):
        """The documented success answer, as (status, facts)."""
        return next((int(code), facts) for code, facts in self.responses.items() if code < "400")

    def match(self, segments):
        """The decoded path parameters if the decoded segments fit this route, else None."""
        if len(segments) != len(self.segments):
            return None
        found = {}
        for pattern, segment in zip(self.segments, segments):
            if pattern.startswith("{"):
                found[pattern[1:-1]] = segment
            elif pattern != segment:
                return None
        return found

    def documents(self, code):
        """Whether any documented answer carries this error code."""
        return any(code in facts.get("errors", ()) for facts in self.responses.values())

    def error_status(self, code):
        """The status documented for an error code, or a customary one."""
        for status, facts in self.responses.items():
            if code in facts.get("errors", ()):
                return int(status)
        return {"UNAUTHORIZED": 401, "FORBIDDEN": 403, "NOT_FOUND": 404, "INTERNAL_ERROR": 500}.get(code, 400)

    @property
    def unauthorized_status(self):
        """403 where the API documents 403 for wrong credentials alone, else 401."""
        return 403 if self.responses.get("403", {}).get("errors") == ["UNAUTHORIZED"] else 401

    def rejection(self, *codes):
        """The first of the codes that this operation documents, else its general input error."""
        for code in (*codes, "VALIDATION_ERROR", "INVALID_INPUT"):
            if self.documents(code):
                return code
        return "VALIDATION_ERROR"


OPERATIONS = {name: Operation(name, facts) for name, facts in FACTS["operations"].items()}

# Literal segments win over parameters, so /widget/pull/reconnectToken is never read as a pull id.
ROUTES = sorted(OPERATIONS.values(), key=lambda operation: operation.path.count("{"))


def route(method, path):
    """The operation and parameters of a raw request path: (operation, params, path_is_known)."""
    if not path.startswith(BASE_PATH + "/"):
        return None, {}, False
    segments = [urllib.parse.unquote(part) for part in path[len(BASE_PATH) + 1:].split("/")]
    known = False
    for operation in ROUTES:
        params = operation.match(segments)
        if params is None:
            continue
        if operation.method == method:
            return operation, params, True
        known = True
    return None, {}, known


def resolve(node):
    """The node itself with references followed; nullability declared beside a reference is kept."""
    while "ref" in node:
        nullable = node.get("nullable", False)
        node = SCHEMAS[node["ref"]]
        if nullable and not node.get("nullable"):
            node = {**node, "nullable": True}
    return node


def is_type(value, kind):
    """Whether a JSON value has a declared type."""
    if kind == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, {"string": str, "boolean": bool, "object": dict, "array": list}[kind])


def mismatch(value, node, path=()):
    """The path of the first place where a value breaks its schema, or None if it fits."""
    node = resolve(node)
    if value is None:
        return None if node.get("nullable") else path
    if "any" in node:
        fits = any(mismatch(value, choice, path) is None for choice in node["any"])
        return None if fits else path
    if not is_type(value, node.get("type", "object")):
        return path
    if node.get("type") == "object":
        for name in node.get("required", ()):
            if name not in value:
                return (*path, name)
        for name, field in node.get("fields", {}).items():
            if name in value and (found := mismatch(value[name], field, (*path, name))) is not None:
                return found
        return None
    if node["type"] == "array":
        if not node.get("minItems", 0) <= len(value) <= node.get("maxItems", len(value)):
            return path
        for index, item in enumerate(value):
            if (found := mismatch(item, node["items"], (*path, index))) is not None:
                return found
        return None
    return None if scalar_fits(value, node) else path


def scalar_fits(value, node):
    """Whether a scalar of the right type keeps to the declared enum, range, length and format."""
    if "enum" in node and value not in node["enum"]:
        return False
    if isinstance(value, str):
        if not node.get("minLength", 0) <= len(value) <= node.get("maxLength", len(value)):
            return False
        if "pattern" in node and not re.search(node["pattern"], value):
            return False
        return node.get("format") != "date-time" or is_date_time(value)
    return node.get("minimum", value) <= value <= node.get("maximum", value)


def is_date_time(text):
    """Whether a text is an ISO date with a time."""
    return re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?", text) is not None
