"""Values made from a schema: one walker, and a leaf that invents plausible scalars."""

from data.catalogue import resolve


def walk(node, leaf, length=1, schema="", field="", path=()):
    """A value that fits a schema node.

    `leaf(node, schema, field, path)` gives scalars and free-form objects, `leaf.choose` picks one of
    several allowed forms. Schema and field name the innermost named schema and the field in it.
    """
    if "ref" in node:
        return walk(resolve(node), leaf, length, node["ref"], "", path)
    if "any" in node:
        return walk(leaf.choose(node["any"], schema, field), leaf, length, schema, field, path)
    if node.get("type") == "array":
        return [walk(node["items"], leaf, length, schema, field, (*path, index)) for index in range(length)]
    if node.get("fields"):
        return {name: walk(inner, leaf, length, schema, f"{field}.{name}" if field else name, (*path, name))
                for name, inner in node["fields"].items()}
    return leaf(node, schema, field, path)


class Plausible:
    """Scalars drawn from a source, by format and type."""

    def __init__(self, source):
        self.source = source

    def choose(self, nodes, schema, field):
        return nodes[0]

    def __call__(self, node, schema, field, path):
        if "default" in node or "enum" in node:
            return node.get("default", node.get("enum", [None])[0])
        kind = node.get("type", "object")
        if kind == "string":
            return self.text(node.get("format"), field)
        if kind == "integer":
            return self.source.randint(1, 90) * 100
        return {"number": 12.5, "boolean": True, "object": {}, "null": None}[kind]

    def text(self, form, field):
        if form == "uuid":
            return self.source.uuid()
        return {"date-time": "2026-01-01T05:00:00.000Z", "date": "2026-01-01", "us-date": "01/31/1980",
                "decimal": "2.500", "duration": "P30D", "ISO-8601-duration": "P1M", "uri": "https://canopy.test/sample",
                "email": "sample@example.com"}.get(form, f"Sample {field.rpartition('.')[2].replace('_', ' ')}")


def sample(schema, source):
    """A plausible instance of a named schema."""
    return walk({"ref": schema}, Plausible(source))
