"""The server's secret key: signatures, attempts' tokens, sealed secrets. It lies outside the database, mode 0600."""

import base64
import contextlib
import hashlib
import hmac
import os
import secrets
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from sirdar.domain.ids import AttemptKey

ATTEMPT_TOKEN_PREFIX = "t1."  # noqa: S105  (a prefix, not a secret)


class Keys:
    """Everything that is derived from the one key of 32 bytes."""

    def __init__(self, key: bytes) -> None:
        if len(key) != 32:
            raise ValueError("the server's key has 32 bytes")
        self._key = key
        self._purposes: dict[str, bytes] = {}
        self._fernet = Fernet(base64.urlsafe_b64encode(self._derive("seal")))

    @classmethod
    def load(cls, path: Path) -> "Keys":
        """Read the key file, or make it. Where several servers begin at once, the first one's key is everybody's."""
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_suffix(f".{secrets.token_hex(6)}.new")
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(secrets.token_bytes(32))
                    file.flush()
                    os.fsync(file.fileno())
                with contextlib.suppress(FileExistsError):
                    os.link(draft, path)
            finally:
                draft.unlink()
        return cls(path.read_bytes())

    def sign(self, purpose: str, text: str) -> str:
        """A signature (base64url) that only this server makes, different for each purpose."""
        digest = hmac.digest(self._derive(purpose), text.encode(), "sha256")
        return base64.urlsafe_b64encode(digest[:24]).decode()

    def checks(self, purpose: str, text: str, signature: str) -> bool:
        return hmac.compare_digest(self.sign(purpose, text).encode(), signature.encode(errors="replace"))

    def attempt_token(self, key: AttemptKey) -> str:
        """The bearer token of one attempt's program: no row, dead after the attempt."""
        return f"{ATTEMPT_TOKEN_PREFIX}{key.text}.{self.sign('attempt', key.text)}"

    def attempt_of_token(self, token: str) -> AttemptKey | None:
        """The attempt that a token was made for, or None where it is not one of ours. Whether it still runs: ask the store."""
        text, _, signature = token.removeprefix(ATTEMPT_TOKEN_PREFIX).partition(".")
        if not token.startswith(ATTEMPT_TOKEN_PREFIX) or not self.checks("attempt", text, signature):
            return None
        try:
            return AttemptKey.parse(text)
        except ValueError:
            return None

    def seal(self, text: str) -> str:
        return self._fernet.encrypt(text.encode()).decode()

    def unseal(self, sealed: str) -> str:
        """Inverse of ``seal``. Raises ValueError where it was sealed with another key."""
        try:
            return self._fernet.decrypt(sealed.encode()).decode()
        except InvalidToken as error:
            raise ValueError("sealed with another key: was the key file replaced?") from error

    def _derive(self, purpose: str) -> bytes:
        key = self._purposes.get(purpose)
        if key is None:
            key = self._purposes[purpose] = hmac.digest(self._key, purpose.encode(), hashlib.sha256)
        return key
