"""Canopy's two TLS services: the API itself, and the downloads that its redirects point to."""

import hmac
import traceback

from canopy import behaviour
from canopy import sdk
from canopy import pull_answers  # registers its behaviours
from canopy import team_answers  # registers its behaviours
from canopy.call import ApiError, Call
from data import catalogue, files
from net import auth
from net.recorded import Recorded
from net.wire import Response


class Api(Recorded):
    """The operations of the catalogue."""

    name = "api"

    def __init__(self, state, effects, journal, armed):
        super().__init__(journal, armed)
        self.state = state
        self.effects = effects

    def describe(self, request, entry):
        operation, params, _ = catalogue.route(request.method, request.path)
        entry.update(operation=operation and operation.name, params=params)
        if operation and request.method != "GET":
            self.effects.count("requests", entry)

    def respond(self, request, entry):
        operation, params, known = catalogue.route(request.method, request.path)
        if operation is None:
            with self.state.lock:
                page = sdk.answer(self.state, request) or self.state.apps.answer(request)
            if page is not None:
                return page
            return Response.error(405, "METHOD_NOT_ALLOWED") if known else Response.error(404, "NOT_FOUND")
        with self.state.lock:
            if not auth.accepts(operation, request, params, self.state):
                return Response.error(operation.unauthorized_status, "UNAUTHORIZED")
            try:
                response = behaviour.answer(self.state, Call(operation, request, params))
            except ApiError as error:
                return Response.error(operation.error_status(error.code), error.code, **error.more)
            except Exception:
                traceback.print_exc()
                return Response.error(500, "INTERNAL_ERROR")
            if request.method != "GET":
                self.effects.count("effects", entry)
            return response


class Downloads(Recorded):
    """Signed URLs. A request that carries credentials is refused: they belong to the API only."""

    name = "download"

    def __init__(self, state, journal, armed):
        super().__init__(journal, armed)
        self.state = state

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
