"""The browser SDK's stand-in: its script, and the login behind it."""

import json
import pathlib

from net.wire import Response, compact

SCRIPT = pathlib.Path(__file__).with_name("canopy-connect.js").read_bytes()
ANYWHERE = [("Access-Control-Allow-Origin", "*")]


def answer(state, request):
    """The Response to a request of a page or of the script; None to any other. Called under the state's lock."""
    if (request.method, request.path) == ("GET", "/v2/canopy-connect.js"):
        return Response(200, SCRIPT, "text/javascript")
    if (request.method, request.path) == ("POST", "/v2/login"):
        status, answered = login(state, json.loads(request.body))
        return Response.of(answered, status, ANYWHERE)
    return None


def login(state, asked):
    """A pull of whoever logs in, as a widget makes one: its status, and what the script is told."""
    if not state.has_alias(asked["public_alias"]):
        return 400, {"error": "INVALID_PUBLIC_ALIAS"}
    pull = state.new_pull()
    state.login(pull, asked["username"], asked["password"])
    pull.change(public_alias=asked["public_alias"],
                meta_data=compact(asked["meta_data"]).decode() if asked.get("meta_data") else None)
    if pull.document["status"] == "NOT_AUTHENTICATED":
        return 401, {"error": "NOT_AUTHENTICATED"}
    return 200, {"pull_id": pull.pull_id}
