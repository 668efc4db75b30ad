"""The control routes for webhooks: sending them, their log, receivers, settings."""

from webhook.sender import readable


class WebhookControl:
    """Handlers in the form of those of Control, which owns the table of routes."""

    def __init__(self, lifecycle):
        self.lifecycle = lifecycle
        self.webhooks = lifecycle.webhooks
        self.sender = lifecycle.sender
        self.routes = {
            ("POST", "webhook"): self.post, ("GET", "webhook"): self.get, ("PUT", "webhook"): self.put,
            ("DELETE", "webhook"): self.delete,
        }

    def reset(self):
        self.lifecycle.reset()

    def post(self, request, name):
        return {"deliveries": self.webhooks.post(request.json())}

    def get(self, request, name):
        """Everything, the counts, the attempts, the receivers, or one delivery."""
        if name.isdigit():
            return self.one(int(name))
        return {"": self.everything, "counts": lambda query: self.sender.counts(), "attempts": self.attempts,
                "receiver": lambda query: {"receivers": self.webhooks.list_receivers()}}[name](request.query)

    def one(self, number):
        """One delivery with its attempts."""
        delivery = self.sender.find(number)
        if delivery is None:
            raise KeyError(number)
        return {**delivery.describe(), "log": [readable(row) for row in list(delivery.rows)]}

    def everything(self, query):
        return {"settings": self.sender.settings, "counts": self.sender.counts(),
                "deliveries": chosen(self.sender.list(), query)}

    def attempts(self, query):
        return {"attempts": chosen(self.sender.log(int(query.get("after", 0))), query)}

    def put(self, request, name):
        {"": self.sender.change_settings, "receiver": self.webhooks.register}[name](request.json())
        return {}

    def delete(self, request, name):
        {"": self.sender.clear, "receiver": self.webhooks.forget_receivers}[name]()
        return {}


def chosen(rows, query):
    """The rows that have the values which the query names, whole or only the fields that it lists."""
    wanted = {name: value for name, value in query.items() if name not in ("after", "fields")}
    fields = query["fields"].split(",") if "fields" in query else None
    return [{name: row[name] for name in fields or row} for row in rows
            if all(str(row[name]) == value for name, value in wanted.items())]
