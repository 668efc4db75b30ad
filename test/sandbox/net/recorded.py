"""What the TLS services have in common: a journal of their requests, and faults that strike them."""

from net import auth, faults
from net.wire import BadRequest, Service


class Recorded(Service):
    """A service whose requests are kept in the journal and can be struck by faults."""

    name = None

    def __init__(self, journal, armed):
        self.journal = journal
        self.faults = armed

    def exchange(self, channel, request):
        entry = self.journal.open(self.name, request)
        entry["auth"] = auth.scheme(request)
        fault = self.faults.strike(self.name, request)
        entry["fault"] = fault and fault["kind"]
        outcome = "client_gone"
        try:
            if entry["fault"] == "slow_read":
                faults.pause(channel, fault)
            request.body = channel.read_body(request)
            self.journal.add_body(entry, request.body)
            fault = fault or self.faults.strike(self.name, request, has_body=True)
            entry["fault"] = fault and fault["kind"]
            keep = self.deliver(channel, request, entry, fault)
            outcome = "answered"
        except BadRequest:
            outcome = "bad_request"
            raise
        finally:
            self.journal.close(entry, outcome)
        return keep and not request.wants_close

    def deliver(self, channel, request, entry, fault):
        """Answers and says whether the connection may stay open."""
        self.describe(request, entry)
        kind = fault and fault["kind"]
        if kind in faults.VANISHINGS:
            return faults.VANISHINGS[kind](channel)
        if kind in faults.REPLACEMENTS:
            response = faults.REPLACEMENTS[kind]({"body": self.error_body(fault.get("status")), **fault})
        else:
            response = self.respond(request, entry)
        entry["status"] = response.status
        if kind in faults.DELIVERIES:
            return faults.DELIVERIES[kind](channel, response, fault)
        channel.send(response.encode())
        return True

    def describe(self, request, entry):
        """Adds to the entry what the service knows of the request's meaning."""

    def respond(self, request, entry):
        raise NotImplementedError

    def error_body(self, status):
        """What a fault that only names a status answers."""
        return {"error": "INTERNAL_ERROR"}
