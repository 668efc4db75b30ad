"""The two TLS services: the API itself, and the downloads that its redirects point to."""

import hmac
import traceback

import auth
import behaviour
import catalogue
import faults
import files
import pull_answers  # registers its behaviours
import team_answers  # registers its behaviours
from call import ApiError, Call
from wire import BadRequest, Response, Service


class Recorded(Service):
    """A service whose requests are kept in the journal and can be struck by faults."""

    name = None

    def __init__(self, state, journal, armed):
        self.state = state
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
                channel.pause(fault.get("seconds", faults.SLOW_READ_SECONDS))
            request.body = channel.read_body(request)
            self.journal.add_body(entry, request.body)
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
        if kind in faults.REPLACEMENTS:
            response = faults.REPLACEMENTS[kind](fault)
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


class Api(Recorded):
    """The operations of the catalogue."""

    name = "api"

    def describe(self, request, entry):
        operation, params, _ = catalogue.route(request.method, request.path)
        entry.update(operation=operation and operation.name, params=params)

    def respond(self, request, entry):
        operation, params, known = catalogue.route(request.method, request.path)
        if operation is None:
            return Response.error(405, "METHOD_NOT_ALLOWED") if known else Response.error(404, "NOT_FOUND")
        with self.state.lock:
            if not auth.accepts(operation, request, params, self.state):
                return Response.error(operation.unauthorized_status, "UNAUTHORIZED")
            try:
                return behaviour.answer(self.state, Call(operation, request, params))
            except ApiError as error:
                return Response.error(operation.error_status(error.code), error.code, **error.more)
            except Exception:
                traceback.print_exc()
                return Response.error(500, "INTERNAL_ERROR")


class Downloads(Recorded):
    """Signed URLs. A request that carries credentials is refused: they belong to the API only."""

    name = "download"

    def respond(self, request, entry):
        for header, _ in request.headers:
            if header.lower() in ("authorization", "pull-jwt", "cookie") or header.lower().startswith("x-canopy-"):
                return Response.error(400, "CREDENTIALS_FORWARDED")
        if request.method != "GET":
            return Response.error(405, "METHOD_NOT_ALLOWED")
        if not hmac.compare_digest(request.query.get("signature", "").encode(), self.state.sign(request.path).encode()):
            return Response.error(403, "FORBIDDEN")
        _, kind, name = request.path.split("/", 2)
        if kind == "jpg":
            return Response(200, files.JPEG, "image/jpeg")
        return Response(200, files.pdf(f"Document {name}"), "application/pdf")
