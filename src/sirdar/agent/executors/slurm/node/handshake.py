"""How a pilot and its agent know each other: both prove that they can read the token on the shared disk; it is never sent."""

import hashlib
import hmac
import secrets


def nonce() -> str:
    return secrets.token_hex(16)


def proof(token: str, side: str, challenge: str, pilot: str) -> str:
    """``side``: ``agent`` or ``pilot``, so that neither can send the other's own words back."""
    return hmac.new(token.encode(), f"{side}:{challenge}:{pilot}".encode(), hashlib.sha256).hexdigest()


def proves(given: object, token: str, side: str, challenge: str, pilot: str) -> bool:
    return isinstance(given, str) and hmac.compare_digest(given, proof(token, side, challenge, pilot))
