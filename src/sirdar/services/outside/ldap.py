"""Names and passwords of an LDAP directory: look the name up, then bind as whoever was found.

The connection is secured (ldaps, else StartTLS) and the directory's certificate and name are checked, unless the setting
``ldap_plain`` says otherwise. ldap3 blocks, so all of it runs in threads.
"""

import contextlib
import ssl
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import unquote, urlsplit

import anyio
import anyio.to_thread
import ldap3
import structlog
from ldap3.core.exceptions import LDAPException, LDAPSASLPrepError
from ldap3.utils.conv import escape_filter_chars

from sirdar.domain.problems import Problem
from sirdar.services.outside.identity import LONGEST_SUBJECT, GroupRules, Identity
from sirdar.services.settings import Settings

AT_ONCE = 8
LONGEST_NAME = 256
PUNCTUATION = frozenset("!#$%&'()*+,-./:;<=>?@[\\]^_`{|}~\"")
# Answers to a bind that are about the directory, not about the name and password.
NOT_THE_USERS = {1: "operationsError", 8: "strongerAuthRequired", 51: "busy", 52: "unavailable", 80: "other"}
GROUPS_MAX = 1000

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Entry:
    dn: str
    values: dict[str, list[bytes]]  # by attribute's name in lower case

    def first(self, attribute: str) -> bytes | None:
        return next(iter(self.values.get(attribute.lower(), ())), None)

    def text(self, attribute: str) -> str:
        return (self.first(attribute) or b"").decode(errors="replace")


class Directory:
    """One directory. Raises ValueError where its settings cannot be."""

    def __init__(self, settings: Settings) -> None:
        self.title = settings.ldap_title
        self.rules = GroupRules.parse(
            "ldap", settings.ldap_groups, settings.ldap_admins, settings.ldap_allow, folds=True
        )
        self._settings = settings
        self._limiter: anyio.CapacityLimiter | None = None
        parts = urlsplit(settings.ldap_url)
        if parts.scheme not in {"ldap", "ldaps"} or not parts.hostname or parts.path.strip("/") or parts.username:
            raise ValueError(f"SIRDAR_LDAP_URL={settings.ldap_url!r} does not read ldaps://host or ldap://host")
        if not settings.ldap_base:
            raise ValueError("SIRDAR_LDAP_BASE is missing: where people are searched")
        if "{name}" not in settings.ldap_filter:
            raise ValueError("SIRDAR_LDAP_FILTER holds no {name}")
        self._ssl = parts.scheme == "ldaps"
        self._host = unquote(parts.hostname)
        self._port = parts.port or (636 if self._ssl else 389)
        self.provider = f"{parts.scheme}://{self._host}:{self._port}/{settings.ldap_base}"

    async def identify(self, name: str, password: str) -> Identity | None:
        """Who that is, None where name or password is wrong. Raises ``unavailable`` where the directory does not answer."""
        if not is_login_name(name) or not password or "\0" in password or not _encodes(password):
            return None  # an empty password would be an anonymous bind, which always succeeds
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(AT_ONCE)
        try:
            return await anyio.to_thread.run_sync(partial(self._identify, name, password), limiter=self._limiter)
        except Exception as error:  # what a directory sends can make ldap3 raise anything
            log.error("ldap_unavailable", url=self._settings.ldap_url, error=f"{type(error).__name__}: {error}"[:500])
            hint = "Try again in a minute. Accounts of this server work meanwhile."
            raise Problem(
                "unavailable", f"{self.title} does not answer as it should.", hint=hint, retry_after_s=30
            ) from None

    # ------------------------------------------------------------ in a thread

    def _identify(self, name: str, password: str) -> Identity | None:
        settings = self._settings
        with self._bound(settings.ldap_bind_dn, settings.ldap_bind_password) as searcher:
            if searcher is None:
                raise LDAPException(f"it does not let {settings.ldap_bind_dn or 'anonymous'} in to search")
            entry = self._find(searcher, name)
            if entry is None or not self._proves(entry.dn, password):
                return None
            return self._identity(entry, self._groups(searcher, entry, name))

    def _find(self, searcher: ldap3.Connection, name: str) -> _Entry | None:
        settings = self._settings
        wanted = (settings.ldap_id_attribute, settings.ldap_name_attribute, settings.ldap_email_attribute)
        text = settings.ldap_filter.replace("{name}", escape_filter_chars(name))
        found = self._search(searcher, settings.ldap_base, text, wanted, most=2)
        if len(found) > 1:
            log.warning("ldap_name_is_ambiguous", base=settings.ldap_base, entries=[entry.dn for entry in found])
        return found[0] if len(found) == 1 else None

    def _proves(self, dn: str, password: str) -> bool:
        """Whether that password opens that entry. A locked or expired one does not."""
        if not dn:
            return False
        with self._bound(dn, password) as connection:
            return connection is not None

    def _groups(self, searcher: ldap3.Connection, entry: _Entry, name: str) -> frozenset[str]:
        """Names of the groups, and their DNs: settings may use either."""
        settings = self._settings
        if not settings.ldap_group_base:
            return frozenset()
        name = entry.text(settings.ldap_name_attribute) or name
        text = settings.ldap_group_filter.replace("{dn}", escape_filter_chars(entry.dn))
        text = text.replace("{name}", escape_filter_chars(name))
        attribute = settings.ldap_group_attribute
        found = self._search(searcher, settings.ldap_group_base, text, [attribute], most=GROUPS_MAX)
        named = {value.decode(errors="replace") for group in found for value in group.values.get(attribute.lower(), ())}
        return frozenset(named | {group.dn for group in found})

    def _identity(self, entry: _Entry, groups: frozenset[str]) -> Identity:
        settings = self._settings
        subject = _as_text(entry.first(settings.ldap_id_attribute) or b"")
        if not 0 < len(subject) <= LONGEST_SUBJECT:
            raise LDAPException(f"{entry.dn} has no {settings.ldap_id_attribute} that tells people apart")
        return Identity(
            provider=self.provider,
            subject=subject,
            name=entry.text(settings.ldap_name_attribute),
            email=entry.text(settings.ldap_email_attribute) or None,
            groups=groups,
        )

    # ------------------------------------------------------------ LDAP

    @contextlib.contextmanager
    def _bound(self, dn: str, password: str) -> Iterator[ldap3.Connection | None]:
        """A connection as that entry (empty: as nobody), None where the directory does not take the password."""
        settings = self._settings
        tls = _VerifiedTls(self._host, settings.ldap_ca_file)
        server = ldap3.Server(
            self._host,
            self._port,
            use_ssl=self._ssl,
            tls=tls,
            get_info=ldap3.NONE,
            connect_timeout=settings.outside_call_s,
        )
        connection = ldap3.Connection(
            server,
            user=dn or None,
            password=password or None,
            authentication=ldap3.SIMPLE if dn else ldap3.ANONYMOUS,
            auto_referrals=False,
            check_names=False,
            read_only=True,
            receive_timeout=max(1, round(settings.outside_call_s)),  # ldap3 takes whole seconds only
        )
        try:
            connection.open()
            if not self._ssl and not settings.ldap_plain and not connection.start_tls():
                raise LDAPException("it does not secure the connection (StartTLS)")
            accepted, code = self._bind(connection)
            if not accepted and code in NOT_THE_USERS:
                raise LDAPException(f"it answers the bind with {NOT_THE_USERS[code]}")
            yield connection if accepted else None
        finally:
            with contextlib.suppress(LDAPException, OSError):
                connection.unbind()
            if connection.socket is not None:  # ldap3 forgets one that it could not finish opening
                connection.socket.close()

    @staticmethod
    def _bind(connection: ldap3.Connection) -> tuple[bool, int]:
        """Whether the password was taken, and the directory's result code."""
        try:
            accepted = connection.bind()
        except LDAPSASLPrepError:  # nothing that anybody could have as a password
            return False, 0
        return bool(accepted), int(connection.result["result"])

    def _search(
        self, connection: ldap3.Connection, base: str, text: str, attributes: Sequence[str], *, most: int
    ) -> list[_Entry]:
        connection.search(
            base,
            text,
            attributes=list(attributes),
            size_limit=most,
            time_limit=max(1, round(self._settings.outside_call_s)),
        )
        code = int(connection.result["result"])
        if code not in {0, 4}:  # 4: there are more, which the caller judges
            raise LDAPException(f"it answers the search below {base} with {connection.result['description']}")
        if code == 4 and most == GROUPS_MAX:
            raise LDAPException(f"somebody is in more than {GROUPS_MAX} groups below {base}")
        return [
            _Entry(item["dn"], {key.lower(): list(found) for key, found in item["raw_attributes"].items()})
            for item in connection.response or ()
            if item["type"] == "searchResEntry"
        ]


class _VerifiedTls(ldap3.Tls):
    """TLS by Python's own rules. ldap3 compares names by functions of its own, which Python has long given up."""

    def __init__(self, host: str, ca_file: str) -> None:
        super().__init__(validate=ssl.CERT_REQUIRED)
        self._host = host
        self._context = ssl.create_default_context(cafile=ca_file or None)

    def wrap_socket(self, connection: ldap3.Connection, do_handshake: bool = False) -> None:
        """What ldap3 calls for ldaps, and after StartTLS was agreed. The handshake is always made here."""
        connection.socket = self._context.wrap_socket(connection.socket, server_hostname=self._host)


def is_login_name(name: str) -> bool:
    """Whether somebody can sign in under this name at a directory.

    Directories take different texts for one (by width, by marks that show nothing); such texts are not let through, so that the
    brake on guessing sees one name as one.
    """
    if not 0 < len(name) <= LONGEST_NAME or unicodedata.normalize("NFKC", name) != name:
        return False
    return all(char.isalnum() or char in PUNCTUATION for char in name)


def _encodes(text: str) -> bool:
    try:
        return bool(text.encode())
    except UnicodeEncodeError:
        return False


def _as_text(value: bytes) -> str:
    """An identifier as text: what is no text (Active Directory's objectGUID) in hexadecimal."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return value.hex()
    return text if text.isprintable() else value.hex()
