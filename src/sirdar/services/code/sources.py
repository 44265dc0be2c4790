"""What fetching code may do and use, and what a commit is, for git and GitLab alike."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sirdar.services.outbound.addresses import AddressPolicy

SHORT_SHA = 7


@dataclass(frozen=True, slots=True)
class Sources:
    """The server's rules for code: addresses, git's schemes, and limits of one application's code.

    ``ca_file``: certificate authorities besides the usual ones (PEM), for an institute's own servers.
    """

    policy: AddressPolicy
    git_schemes: tuple[str, ...] = ("https", "http", "ssh")
    max_bytes: int = 2 * 2**30
    max_files: int = 20_000
    timeout_s: float = 600.0
    ca_file: Path | None = None

    def tls(self) -> ssl.SSLContext | None:
        """The context that trusts ``ca_file``, or None for the usual one."""
        if self.ca_file is None:
            return None
        context = ssl.create_default_context()
        context.load_verify_locations(cafile=str(self.ca_file))
        return context


@dataclass(frozen=True, slots=True)
class Commit:
    """A ref, resolved. ``ref``: the branch or tag, empty where a commit was asked for. ``committed_at``: seconds since 1970."""

    sha: str
    ref: str = ""
    committed_at: float | None = None

    @property
    def version(self) -> str:
        """For people: ``main 3c1f9e2, 2026-11-20`` (the date in UTC)."""
        name = f"{self.ref} {self.sha[:SHORT_SHA]}".strip()
        if self.committed_at is None:
            return name
        return f"{name}, {datetime.fromtimestamp(self.committed_at, UTC):%Y-%m-%d}"
