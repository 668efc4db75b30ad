"""Signatures of webhooks: HMAC-SHA256 over the time, a full stop and the raw body."""

import hashlib
import hmac

# The header of each provider, and the name of a signature in it.
SCHEMES = {"canopy": ("canopy-signature", "s"), "summit": ("X-Summit-Signature", "v1")}


def as_bytes(text):
    return text if isinstance(text, bytes) else str(text).encode("utf-8", "surrogatepass")


def signature(secret, moment, body):
    """The lower-case hex digest. Secrets are used as the text that they are, never decoded."""
    return hmac.new(as_bytes(secret), as_bytes(moment) + b"." + body, hashlib.sha256).hexdigest()


def header(provider, secrets, moment, body):
    """Name and value of the header, with one signature for each secret.

    The moment is seconds since 1970, or any text that a test wants to stand there.
    """
    name, key = SCHEMES[provider]
    return name, ",".join((f"t={moment}", *(f"{key}={signature(secret, moment, body)}" for secret in secrets)))
