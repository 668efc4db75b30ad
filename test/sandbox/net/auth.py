"""Credentials: which scheme a request carries, and whether an operation accepts it.

Stricter than the real service on purpose: a request must carry exactly the one scheme that its
operation wants, so that a client which sends a secret too often is found out.
"""

import base64
import binascii
import hmac


def scheme(request):
    """basic, header_pair, pull_jwt, bearer, other, none, or mixed if there is more than one."""
    found = []
    for name, value in request.headers:
        name = name.lower()
        if name == "authorization":
            kind = value.partition(" ")[0].lower()
            found.append(kind if kind in ("basic", "bearer") else "other")
        elif name == "pull-jwt":
            found.append("pull_jwt")
        elif name == "x-canopy-client-id":
            found.append("header_pair")
        elif name.startswith("x-canopy-") and "header_pair" not in found and request.header("x-canopy-client-id") is None:
            found.append("other")
    if len(found) > 1:
        return "mixed"
    return found[0] if found else "none"


def key_of(request, kind):
    """The (client id, client secret) that a request carries, or None."""
    if kind == "header_pair":
        return request.header("x-canopy-client-id"), request.header("x-canopy-client-secret") or ""
    try:
        text = base64.b64decode(request.header("authorization").partition(" ")[2], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    client_id, colon, secret = text.partition(":")
    return (client_id, secret) if colon else None


def accepts(operation, request, params, state):
    """Whether the request's credentials are those that the operation wants."""
    kind = scheme(request)
    if operation.security == "none":
        return kind == "none"
    if operation.security == "pull_jwt":
        expected = state.pull_jwt(params["pullId"])
        return kind == "pull_jwt" and hmac.compare_digest(request.header("pull-jwt").encode(), expected.encode())
    if kind == "bearer":
        return state.apps.accepts(request, params)
    if kind not in ("basic", "header_pair"):
        return False
    team_id = state.team_of(key_of(request, kind))
    return team_id is not None and (not operation.is_team_scoped or params["teamId"] == team_id)
