"""One pull in which every declared field holds a value that occurs nowhere else.

A mapping is complete and right if each sentinel turns up in the column of its own field. Enums and
booleans cannot be unique: enum fields go through their legal members, booleans are true.
"""

import datetime
import itertools

from data import sample
from data.source import named_uuid

FIRST_INTEGER = 1_000_001
FIRST_DAY = datetime.date(1900, 1, 1)
# The forms of AnswerField.value, by the field's type; the walker asks for the type first.
ANSWER_FORMS = {"TEXT": "string", "DATE": "string", "NUMBER": "number", "BOOLEAN": "boolean", "FILE_UPLOAD": "array"}
ANSWER_TYPES = ("NUMBER", "FILE_UPLOAD", "TEXT", "BOOLEAN")
# A finished pull of the usual kind, so that nothing hides it.
FIXED = {("Pull", "status"): "SUCCESS", ("Pull", "type"): "PULLING_DATA"}


class Sentinels:
    """The leaf that hands out sentinels and writes down where each one went."""

    def __init__(self):
        self.integers = itertools.count(FIRST_INTEGER)
        self.days = itertools.count()
        self.members = {("AnswerField", "type"): itertools.cycle(ANSWER_TYPES)}
        self.occurrences = {}
        self.answer_type = None
        self.found = []

    def choose(self, nodes, schema, field):
        wanted = ANSWER_FORMS.get(self.answer_type, "string")
        return next((node for node in nodes if node.get("type") == wanted), nodes[0])

    def __call__(self, node, schema, field, path):
        value = self.value(node, schema, field)
        if (schema, field) == ("AnswerField", "type"):
            self.answer_type = value
        self.found.append({"path": list(path), "schema": schema, "field": field, "value": value})
        return value

    def value(self, node, schema, field):
        kind = node.get("type", "object")
        if "enum" in node:
            members = self.members.setdefault((schema, field), itertools.cycle(node["enum"]))
            return FIXED.get((schema, field)) or next(members)
        if kind == "integer":
            return next(self.integers)
        if kind == "number":
            return next(self.integers) + 0.25
        if kind == "boolean":
            return True
        if kind == "object":
            return {"sentinel": self.label(schema, field)}
        return self.text(node.get("format"), schema, field)

    def text(self, form, schema, field):
        if form == "uuid":
            return named_uuid("sentinel", self.label(schema, field))
        if form == "decimal":
            return f"{next(self.integers)}.500"
        if form == "duration":
            return f"P{next(self.integers)}D"
        if form in ("date-time", "date", "us-date"):
            day = FIRST_DAY + datetime.timedelta(days=next(self.days))
            return {"date-time": f"{day}T05:00:00.000Z", "date": f"{day}", "us-date": f"{day:%m/%d/%Y}"}[form]
        return self.label(schema, field)

    def label(self, schema, field):
        """s:Schema.field, numbered from the second occurrence on."""
        number = self.occurrences[schema, field] = self.occurrences.get((schema, field), 0) + 1
        return f"s:{schema}.{field}" if number == 1 else f"s:{schema}.{field}:{number}"


def build():
    """{"pull": the pull, "sentinels": [{path, schema, field, value}, …]}."""
    leaf = Sentinels()
    pull = sample.walk({"ref": "Pull"}, leaf, length=2)
    return {"pull": pull, "sentinels": leaf.found}
