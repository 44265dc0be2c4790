"""How a pilot and its agent know each other: both prove that they can read a token on the shared disk; it is never sent."""

import hashlib
import hmac
import secrets
import socket


def nonce() -> str:
    return secrets.token_hex(16)


def proof(token: str, side: str, challenge: str, pilot: str) -> str:
    """``side``: ``agent`` or ``pilot``, so that neither can send the other's own words back."""
    return hmac.new(token.encode(), f"{side}:{challenge}:{pilot}".encode(), hashlib.sha256).hexdigest()


def proves(given: object, token: str, side: str, challenge: str, pilot: str) -> bool:
    return isinstance(given, str) and hmac.compare_digest(given, proof(token, side, challenge, pilot))


def keep_alive(connection: socket.socket) -> None:
    """So that a machine that went away without a word is noticed in a minute."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if (option := getattr(socket, name, None)) is not None:
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
