"""Summit's token endpoint: OAuth 2.0 client credentials, and the access tokens that it has issued.

Errors are those of RFC 6749 section 5.2, since the guide names the standard and no bodies of its own.
"""

import hmac
import secrets
import threading
import time
import urllib.parse

from net import auth
from net.recorded import Recorded
from net.wire import Response

SCOPES = ("policies:write", "policies:read", "webhooks:read")
TOKEN_PATH = "/oauth2/token"
FORM = "application/x-www-form-urlencoded"
SETTINGS = {
    "expires_in": 3600,    # how long tokens issued from now on live, in seconds
    "announced": None,     # what their expires_in says, if not that; false leaves it out
}


class Tokens:
    """The access tokens in use: each with its scopes and its end."""

    def __init__(self):
        self.lock = threading.Lock()
        self.reset()

    def reset(self):
        with self.lock:
            self.settings = dict(SETTINGS)
            self.live = {}
            self.requests = self.issued = self.refused = self.revoked = 0

    def change_settings(self, changes):
        with self.lock:
            if unknown := changes.keys() - SETTINGS.keys():
                raise KeyError(", ".join(unknown))
            self.settings.update(changes)

    def issue(self, scopes):
        """The body of a token answer."""
        with self.lock:
            token = secrets.token_urlsafe(32)
            self.live[token] = frozenset(scopes), time.monotonic() + self.settings["expires_in"]
            self.issued += 1
            announced = self.settings["announced"]
            if announced is None:
                announced = self.settings["expires_in"]
            length = {} if announced is False else {"expires_in": announced}
            return {"access_token": token, "token_type": "Bearer", **length, "scope": " ".join(scopes)}

    def scopes(self, token):
        """The scopes of a token that is alive, else None."""
        with self.lock:
            scopes, end = self.live.get(token, (None, 0))
            return scopes if time.monotonic() < end else None

    def revoke_all(self):
        with self.lock:
            self.revoked += len(self.live)
            self.live.clear()

    def count(self, is_refused):
        with self.lock:
            self.requests += 1
            self.refused += is_refused

    def describe(self):
        with self.lock:
            now = time.monotonic()
            return {"requests": self.requests, "issued": self.issued, "refused": self.refused, "revoked": self.revoked,
                    "live": sum(now < end for _, end in self.live.values()), **self.settings}


class Refused(Exception):
    """An OAuth error: its code, and a sentence for people."""

    def __init__(self, code, description):
        super().__init__(description)
        self.code = code


class OAuth(Recorded):
    """POST /oauth2/token with a form that carries client_id and client_secret."""

    name = "summit_auth"

    def __init__(self, tokens, client_id, client_secret, journal, armed):
        super().__init__(journal, armed)
        self.tokens = tokens
        self.client = client_id, client_secret

    def error_body(self, status):
        return {"error": {401: "invalid_client", 429: "temporarily_unavailable"}.get(status, "server_error")}

    def describe(self, request, entry):
        if request.path == TOKEN_PATH:
            entry["operation"] = "create-token"

    def respond(self, request, entry):
        if request.path != TOKEN_PATH:
            return Response.error(404, "not_found")
        if request.method != "POST":
            return Response.error(405, "invalid_request", error_description="use POST")
        try:
            response = Response.of(self.tokens.issue(self.granted(request)))
        except Refused as refusal:
            response = Response.of({"error": refusal.code, "error_description": str(refusal)},
                                   401 if refusal.code == "invalid_client" else 400)
        response.headers += [("Cache-Control", "no-store"), ("Pragma", "no-cache")]
        self.tokens.count(is_refused=response.status != 200)
        return response

    def granted(self, request):
        """The scopes that the request asks for and may have."""
        form = self.read_form(request)
        if form.get("grant_type") is None:
            raise Refused("invalid_request", "grant_type is missing")
        if form["grant_type"] != "client_credentials":
            raise Refused("unsupported_grant_type", "only client_credentials is supported")
        given = form.get("client_id", ""), form.get("client_secret", "")
        if not all(hmac.compare_digest(*map(str.encode, pair)) for pair in zip(given, self.client)):
            raise Refused("invalid_client", "client_id or client_secret is wrong")
        scopes = form.get("scope", "").split()
        if not scopes:
            raise Refused("invalid_scope", "scope is missing")
        if unknown := [scope for scope in scopes if scope not in SCOPES]:
            raise Refused("invalid_scope", f"unknown scope {unknown[0]}")
        return list(dict.fromkeys(scopes))

    def read_form(self, request):
        """The form as a dict. The secret belongs there and nowhere else, and every field at most once."""
        if (request.header("content-type") or "").partition(";")[0].strip().lower() != FORM:
            raise Refused("invalid_request", f"the content type must be {FORM}")
        if request.query_string or auth.scheme(request) != "none":
            raise Refused("invalid_request", "credentials belong in the form")
        try:
            pairs = urllib.parse.parse_qsl(request.body.decode(), strict_parsing=True, errors="strict")
        except ValueError:
            raise Refused("invalid_request", "the body is no form") from None
        if len(dict(pairs)) < len(pairs):
            raise Refused("invalid_request", "a field is repeated")
        return dict(pairs)
