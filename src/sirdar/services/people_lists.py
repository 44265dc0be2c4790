"""What administrators see of users and groups: pages of them, and one with what they are in, own and use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sirdar.domain.people import Caller
from sirdar.services import access, groups, quotas
from sirdar.services.context import Services
from sirdar.services.people import USER_NAME, named
from sirdar.services.quotas import Quotas, Usage
from sirdar.store import people as store
from sirdar.store import people_lists as lists
from sirdar.store.people import Conn, User
from sirdar.store.people_lists import GroupSize, Member, Standing, UserCounts


@dataclass(frozen=True, slots=True)
class UserPage:
    """Some users by name, how many jobs each has in flight, and how many users there are in all."""

    users: Sequence[User]
    in_flight: Mapping[str, int]  # by user id
    counts: UserCounts


@dataclass(frozen=True, slots=True)
class UserDetails:
    """One user, and what keeps them: ``owns`` by kind, kinds with none left out."""

    user: User
    groups: Sequence[str]
    limits: Quotas
    usage: Usage
    owns: Mapping[str, int]
    is_last_admin: bool


@dataclass(frozen=True, slots=True)
class GroupDetails:
    """One group, some of its members by name, and how many things of each kind are shared with it."""

    group: GroupSize
    members: Sequence[Member]
    shared: Mapping[str, int]


async def search_users(
    services: Services, caller: Caller, *, text: str = "", standing: Standing | None = None, limit: int, after: str = ""
) -> UserPage:
    access.require_admin(caller)

    def read(conn: Conn) -> UserPage:
        found = lists.search_users(conn, text=_word(text), standing=standing, limit=limit, after=_name(after))
        in_flight = lists.jobs_in_flight_of(conn, [user.id for user in found])
        return UserPage(found, in_flight, lists.count_users(conn))

    return await services.store.read(read)


async def describe_user(services: Services, caller: Caller, name: str) -> UserDetails:
    """Raises Problem ``not_found``."""
    access.require_admin(caller)

    def read(conn: Conn) -> UserDetails:
        user = named(conn, name)
        works = user.is_admin and user.disabled_at is None
        return UserDetails(
            user=user,
            groups=sorted(store.groups_of(conn, user.id)),
            limits=quotas.limits_of(user, services.settings),
            usage=quotas.usage_of(conn, user, now=services.store.clock()),
            owns=store.owns(conn, user.id),
            is_last_admin=works and store.count_admins(conn) <= 1,
        )

    return await services.store.read(read)


async def search_groups(
    services: Services, caller: Caller, *, text: str = "", limit: int, after: str = ""
) -> list[GroupSize]:
    access.require_admin(caller)
    return await services.store.read(
        lambda conn: lists.group_sizes(conn, text=_word(text), limit=limit, after=_name(after))
    )


async def describe_group(services: Services, caller: Caller, name: str, *, limit: int, after: str = "") -> GroupDetails:
    """Raises Problem ``not_found``."""
    access.require_admin(caller)

    def read(conn: Conn) -> GroupDetails:
        group = groups.sized(conn, name)
        members = lists.members_of(conn, name, limit=limit, after=_name(after))
        return GroupDetails(group, members, lists.shares_naming(conn, f"group:{name}"))

    return await services.store.read(read)


def _name(after: str) -> str:
    return after if USER_NAME.fullmatch(after) else ""


def _word(text: str) -> str:
    """Without what no database can hold: nothing there contains it."""
    return text.replace("\0", "").encode(errors="ignore").decode().strip()
