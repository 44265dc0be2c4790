"""What a provider or directory says of somebody, and how its names and groups become ours. Pure."""

import hashlib
import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
RESERVED = frozenset({"sirdar", "me", "everyone", "system"})
LONGEST_DERIVED = 60  # leaves room for the number that tells namesakes apart
LONGEST_SUBJECT = 1000


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody who has just proved who they are. ``provider`` and ``subject`` together name them for good.

    ``name`` is what they are called there, and may be anything or nothing. ``groups`` are the names that settings may use.
    """

    provider: str
    subject: str
    name: str
    email: str | None
    groups: frozenset[str]


@dataclass(frozen=True, slots=True)
class Attempt:
    """A sign-in at a provider that is under way in a browser: what the answer must fit."""

    state: str
    nonce: str
    verifier: str


@dataclass(frozen=True, slots=True)
class GroupRules:
    """What outside groups mean here, as the settings ``*_groups``, ``*_admins`` and ``*_allow`` say.

    ``admins`` None: the right to administer is given by hand. ``allow`` None: everybody may sign in. ``folds``: the names
    of outside groups are compared without regard to case, as directories do.
    """

    named: tuple[tuple[str, str], ...]
    as_named: bool
    admins: frozenset[str] | None
    allow: frozenset[str] | None
    folds: bool = False

    @classmethod
    def parse(cls, way: str, groups: str, admins: str, allow: str, *, folds: bool = False) -> "GroupRules":
        """Reads the settings of a way (``oidc``, ``ldap``). Raises ValueError with the variable's name."""
        named = []
        entries = _entries(groups)
        for entry in entries:
            if entry == "*":
                continue
            outside, equals, inside = (part.strip() for part in entry.rpartition("="))
            if not equals or not outside or not is_name(inside):
                raise ValueError(
                    f"SIRDAR_{way.upper()}_GROUPS: {entry!r} does not read 'outside group = group here'; "
                    "groups here have 1 to 64 of a-z 0-9 . _ -"
                )
            named.append((_folded(outside, folds), inside))
        return cls(tuple(named), "*" in entries, _set_of(admins, folds), _set_of(allow, folds), folds)

    def inside(self, groups: Collection[str]) -> frozenset[str]:
        """The groups here of somebody who is in those outside. What has no name that a group can have is left out."""
        folded = {_folded(group, self.folds) for group in groups}
        found = {inside for outside, inside in self.named if outside in folded}
        if self.as_named:
            found |= {group for group in groups if is_name(group)}
        return frozenset(found)

    def admits(self, groups: Collection[str]) -> bool:
        return self.allow is None or self._any(self.allow, groups)

    def makes_admin(self, groups: Collection[str]) -> bool | None:
        """None: outside says nothing about it."""
        return None if self.admins is None else self._any(self.admins, groups)

    def _any(self, wanted: frozenset[str], groups: Collection[str]) -> bool:
        return any(_folded(group, self.folds) in wanted for group in groups)


def is_name(text: str) -> bool:
    """Whether a user or group could have this name."""
    return NAME.fullmatch(text) is not None and text not in RESERVED


def derive_name(identity: Identity) -> str:
    """The name of a new account: what they are called outside, in the letters that names here have.

    ``Zoë.Müller@example.org`` gives ``zoe.muller``. Where nothing is left, it is made of the subject: ``user-1f3a9c2e``.
    """
    text = unicodedata.normalize("NFKD", identity.name.partition("@")[0]).casefold()
    plain = "".join(char for char in text if not unicodedata.combining(char))
    name = re.sub(r"[^a-z0-9._-]+", "-", plain)
    name = re.sub(r"^[^a-z0-9]+|[^a-z0-9]+$", "", name)[:LONGEST_DERIVED]
    if not name:
        name = "user-" + hashlib.sha256(f"{identity.provider} {identity.subject}".encode()).hexdigest()[:8]
    return name


def _entries(text: str) -> list[str]:
    return [entry.strip() for entry in re.split(r"[;\n]", text) if entry.strip()]


def _set_of(text: str, folds: bool) -> frozenset[str] | None:
    entries = _entries(text)
    return frozenset(_folded(entry, folds) for entry in entries) if entries else None


def _folded(text: str, folds: bool) -> str:
    return text.casefold() if folds else text
