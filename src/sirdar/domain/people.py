"""Who calls, and what they may do."""

from dataclasses import dataclass
from enum import StrEnum

from sirdar.domain.ids import AttemptKey, UserId

# The owner of applications that come with Sirdar: a user who cannot sign in, stands in no list, and has a name for himself.
SYSTEM_USER = UserId("sirdar")
SYSTEM_NAME = "sirdar"


class Scope(StrEnum):
    """What a token may be used for.

    READ: look at what its owner may see. RUN: submit, cancel and delete jobs, upload files (implies READ). PUBLISH: publish
    and change applications (implies READ). ADMIN: administer, if its owner may. ALL: whatever its owner may.
    """

    READ = "read"
    RUN = "run"
    PUBLISH = "publish"
    ADMIN = "admin"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Caller:
    """The authenticated origin of a request: a user, through a token of some scopes, or one of their running tasks."""

    user_id: UserId
    name: str
    groups: frozenset[str] = frozenset()
    is_admin: bool = False
    can_publish: bool = False
    scopes: frozenset[Scope] = frozenset({Scope.ALL})
    token_id: str | None = None
    attempt: AttemptKey | None = None  # the request comes from this attempt's program; its jobs become children
    notify: str | None = None  # targets of notices by default, as JSON
    retention_s: float | None = None  # how long the user's ended jobs are kept; None: the server's setting
    apps: frozenset[str] | None = None  # ids of the only applications that the token is for; None: no such limit

    def has(self, scope: Scope) -> bool:
        if Scope.ALL in self.scopes or scope in self.scopes:
            return True
        return scope is Scope.READ and bool(self.scopes & {Scope.RUN, Scope.PUBLISH, Scope.ADMIN})

    @property
    def administers(self) -> bool:
        return self.is_admin and self.has(Scope.ADMIN)

    @property
    def publishes(self) -> bool:
        return (self.can_publish or self.is_admin) and self.has(Scope.PUBLISH)

    @property
    def subjects(self) -> frozenset[str]:
        """What a share may name to mean this caller."""
        return frozenset({f"user:{self.name}", "everyone", *(f"group:{group}" for group in self.groups)})
