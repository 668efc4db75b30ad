"""Apps: OAuth 2.0 with PKCE, and refresh tokens that are good for once (guide, section 1.3).

The browser's part, in which a customer agrees, is `agree`, which the control port calls.
"""

import base64
import hashlib
import secrets
import time
import urllib.parse

from net.wire import Response

TOKEN_PATH = "/oauth2/token"
FORM = "application/x-www-form-urlencoded"
SCOPES = ("read:pulls", "read:policy_checks", "write:policy_checks", "read:webhooks", "write:webhooks", "read:widgets",
          "write:widgets", "read:driver_license_lookup", "read:driving_record_iq_lookup", "read:household_lookup",
          "read:property_lookup", "write:whitelabel")


class Refused(Exception):
    """An error of RFC 6749."""


class Apps:
    """What has been granted. Everything is called under the state's lock."""

    def __init__(self, client_id, client_secret, team_id):
        self.client = client_id, client_secret
        self.team_id = team_id
        self.settings = {"expires_in": 3600, "without": [], "scope": None}
        self.codes = {}
        self.access = {}
        self.refresh = {}
        self.counts = {"exchanges": 0, "refreshes": 0, "replays": 0, "refused": 0}

    def agree(self, address):
        """What a browser comes back with from an authorize address: {code, state}."""
        asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(address).query, strict_parsing=True))
        if asked["client_id"] != self.client[0] or asked["response_type"] != "code" or asked["code_challenge_method"] != "S256":
            raise ValueError("no address of this App")
        scopes = asked["scope"].split(" ")
        if not set(scopes) <= set(SCOPES):
            raise ValueError("unknown scope")
        code = secrets.token_urlsafe(24)
        self.codes[code] = {"challenge": asked["code_challenge"], "redirect_uri": asked["redirect_uri"], "scopes": scopes}
        return {"code": code, "state": asked["state"]}

    def revoke(self):
        """Forgets all tokens, as after a replay."""
        self.access.clear()
        self.refresh.clear()

    def expire(self):
        """Ends the life of the access tokens, of which whoever has them does not know."""
        self.access.clear()

    def answer(self, request):
        """The Response to a request of the token endpoint; None to any other."""
        if request.path != TOKEN_PATH or request.method != "POST":
            return None
        try:
            if (request.header("content-type") or "").partition(";")[0] != FORM:
                raise Refused("invalid_request")
            form = dict(urllib.parse.parse_qsl(request.body.decode(), strict_parsing=True))
            if (form.get("client_id"), form.get("client_secret")) != self.client:
                raise Refused("invalid_client")
            tokens = self.grant(form)
            return Response.of({name: value for name, value in tokens.items() if name not in self.settings["without"]})
        except Refused as refused:
            self.counts["refused"] += 1
            return Response.of({"error": str(refused)}, 400)

    def grant(self, form):
        if form.get("grant_type") == "authorization_code":
            return self.issue(self.exchange(form))
        if form.get("grant_type") == "refresh_token":
            return self.issue(self.renew(form.get("refresh_token")))
        raise Refused("unsupported_grant_type")

    def exchange(self, form):
        """The scopes of a code, which is good for once."""
        known = self.codes.pop(form.get("code"), None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest()).rstrip(b"=")
        if known is None or known["challenge"] != challenge.decode() or known["redirect_uri"] != form.get("redirect_uri"):
            raise Refused("invalid_grant")
        self.counts["exchanges"] += 1
        return known["scopes"]

    def renew(self, token):
        """The scopes of a refresh token; one that was used is a breach, and revokes all."""
        known = self.refresh.get(token)
        if known is None:
            raise Refused("invalid_grant")
        if known["used"]:
            self.counts["replays"] += 1
            self.revoke()
            raise Refused("invalid_grant")
        known["used"] = True
        self.counts["refreshes"] += 1
        return known["scopes"]

    def issue(self, scopes):
        access, refresh = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        if self.settings["scope"] is not None:
            scopes = self.settings["scope"].split(" ")
        self.access[access] = {"scopes": scopes, "until": time.monotonic() + self.settings["expires_in"]}
        self.refresh[refresh] = {"scopes": scopes, "used": False}
        said = {"scope": " ".join(scopes)} if self.settings["scope"] is not None else {}
        return {"access_token": access, "expires_in": self.settings["expires_in"], "refresh_token": refresh,
                "team_id": self.team_id, "token_type": "bearer", **said}

    def accepts(self, request, params):
        """Whether a request's Bearer token is alive, and of the team in its path."""
        known = self.access.get((request.header("authorization") or "").partition(" ")[2])
        return known is not None and time.monotonic() < known["until"] and params.get("teamId", self.team_id) == self.team_id
