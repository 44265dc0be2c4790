"""Which addresses the server may reach on a user's behalf.

A user who names a URL makes the server open a connection from inside its own network. So the check is made on the
addresses that a name resolves to, not on the name, it is made again at each redirect, and the connection goes to
exactly the addresses that were checked (see ``transport``): a name that resolves otherwise a moment later gains nothing.
"""

import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

import anyio
import httpx

from sirdar.domain.problems import Problem

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]

DEFAULT_PORTS = {"http": 80, "https": 443}
RESOLVE_TIMEOUT_S = 10.0
MAX_URL_LENGTH = 8192

_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*")
_HOST_RULE = re.compile(r"(\*\.)?(?P<name>[a-z0-9_.-]+)")
_LOCAL_NAME = re.compile(r"(.*\.)?localhost(\.localdomain)?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_FORBIDDEN_IN_URL = re.compile(r"[\x00-\x20\x7f-\xa0\\]")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_IPV6_UNICAST = ipaddress.IPv6Network("2000::/3")
# What ``ipaddress`` calls global in some releases, or what carries another address inside it.
_NOT_PUBLIC: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of an administrator's list: a network or a host name (``*.`` for all below it), and maybe one port."""

    network: Network | None
    host: str | None
    port: int | None

    def covers_address(self, address: Address, port: int) -> bool:
        if self.network is None or self.port not in {None, port}:
            return False
        return address.version == self.network.version and address in self.network

    def covers_host(self, host: str, port: int) -> bool:
        if self.host is None or self.port not in {None, port}:
            return False
        return host.endswith(self.host[1:]) if self.host.startswith("*.") else host == self.host


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that may be fetched, and the addresses, all checked, that its host had at that moment."""

    url: httpx.URL
    host: str  # as the certificate names it: ASCII, without a final dot
    port: int
    addresses: tuple[str, ...]


async def resolve_by_system(host: str, port: int) -> Sequence[str]:
    """Addresses of a host by the system's resolver, in its order, without repetition. OSError if there are none."""
    found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_own_address(address: Address) -> bool:
    """Whether this machine has the address on one of its interfaces: only then can a socket be bound to it."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


@dataclass(frozen=True)
class AddressPolicy:
    """What may be reached. ``deny`` comes before ``allow``, ``allow`` before the default.

    Rules are networks (``10.1.0.0/16``), addresses, or host names (``gitlab.lab.example``, ``*.lab.example``), each with
    a port after a colon or without (``[::1]:8080`` for IPv6). A host name in ``allow`` opens private addresses, but the
    machine's own, loopback, link-local and multicast ones only a network or an address opens. With ``public_default``
    all public addresses are open at ports 80, 443 and from 1024 up.
    """

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    public_default: bool = True
    resolve: Resolver = resolve_by_system
    is_own: Callable[[Address], bool] = is_own_address
    _allow: tuple[Rule, ...] = field(init=False, repr=False)
    _deny: tuple[Rule, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_allow", tuple(rule for text in self.allow for rule in parse_rules(text)))
        object.__setattr__(self, "_deny", tuple(rule for text in self.deny for rule in parse_rules(text)))

    @classmethod
    def from_lines(cls, lines: Iterable[str]) -> "AddressPolicy":
        """A policy from a setting: each line allows, ``!`` before it denies, ``!public`` closes the public addresses."""
        kept = [line.strip() for line in lines if line.strip()]
        return cls(
            allow=tuple(line for line in kept if not line.startswith("!")),
            deny=tuple(line[1:] for line in kept if line.startswith("!") and line != "!public"),
            public_default="!public" not in kept,
        )

    async def check(self, url: str | httpx.URL) -> Target:
        """The target of a URL. Problem ``address_not_allowed``, or ``fetch_failed`` where the host cannot be found."""
        parsed = parse_url(url)
        host = _ascii_host(parsed)
        port = _port(parsed)
        return Target(parsed, host, port, await self.check_host(host, port))

    def check_now(self, url: str | httpx.URL) -> None:
        """Refuse what needs no look at the name service: no address at all, a forbidden one, or a name of this machine.

        The rest is told by ``check``, when a connection is made. Problem ``address_not_allowed``.
        """
        parsed = parse_url(url)
        host, port = _ascii_host(parsed), _port(parsed)
        address = _parse_address(host)
        if address is None and _LOCAL_NAME.fullmatch(host):
            address = ipaddress.IPv4Address("127.0.0.1")
        if address is not None and not self.permits(address, port, host):
            raise _refused(host, port)

    async def check_host(self, host: str, port: int) -> tuple[str, ...]:
        """The addresses of a host, if all of them may be reached at that port; Problem as in ``check``."""
        if any(rule.covers_host(host, port) for rule in self._deny):
            raise _refused(host, port)
        addresses = [_parse_address(text) for text in await self._resolve(host, port)]
        # A name with one forbidden address among its own is refused as a whole: it is either a mistake or an attack.
        if not all(address is not None and self.permits(address, port, host) for address in addresses):
            raise _refused(host, port)
        return tuple(str(address) for address in addresses)

    def permits(self, address: Address, port: int, host: str = "") -> bool:
        """Whether a connection to this address may be made, for a URL that names ``host``."""
        address = _unwrap(address)
        if any(rule.covers_address(address, port) or rule.covers_host(host, port) for rule in self._deny):
            return False
        if any(rule.covers_address(address, port) for rule in self._allow):
            return True
        if _never_by_name(address) or self.is_own(address):
            return False
        if any(rule.covers_host(host, port) for rule in self._allow):
            return True
        return self.public_default and is_public(address) and (port in {80, 443} or port >= 1024)

    async def _resolve(self, host: str, port: int) -> Sequence[str]:
        if _parse_address(host) is not None:
            return [host]
        try:
            with anyio.fail_after(RESOLVE_TIMEOUT_S):
                found = await self.resolve(host, port)
        except (OSError, UnicodeError) as error:  # TimeoutError is an OSError
            raise Problem("fetch_failed", f"The host {host} cannot be found.", hint="Check the address.") from error
        if not found:
            raise Problem("fetch_failed", f"The host {host} has no address.", hint="Check the address.")
        return found


def parse_rules(text: str) -> tuple[Rule, ...]:
    """The rules that one line of a list stands for (``localhost`` is two). ValueError if it cannot be read."""
    subject, port = _split_port(text.strip().lower())
    try:
        return (Rule(ipaddress.ip_network(subject.strip("[]"), strict=False), None, port),)
    except ValueError:
        pass
    if subject == "localhost":
        return tuple(Rule(ipaddress.ip_network(loopback), None, port) for loopback in ("127.0.0.0/8", "::1/128"))
    subject = subject.rstrip(".")
    if not (match := _HOST_RULE.fullmatch(subject)) or _ends_in_number(match["name"]):
        raise ValueError(f"{text!r} is neither a network, an address nor a host name")
    return (Rule(None, subject, port),)


def parse_url(url: str | httpx.URL) -> httpx.URL:
    """A URL of http or https with a host and without a user name; its fragment is dropped."""
    text = str(url)
    if len(text) > MAX_URL_LENGTH or _FORBIDDEN_IN_URL.search(text):
        raise _bad_url(text, "It holds a space, a control character or a backslash, or is too long.")
    try:
        parsed = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise _bad_url(text, f"{error}.") from error
    if parsed.scheme not in DEFAULT_PORTS:
        raise _bad_url(text, "Only http and https addresses are fetched.")
    if parsed.userinfo:
        raise Problem(
            "address_not_allowed",
            "A user name or password in an address is not accepted.",
            expected="an address without user:password@",
            hint="Keep the password or token in a secret.",
        )
    if not 0 < _port(parsed) < 65536:
        raise _bad_url(text, "There is no such port.")
    _ascii_host(parsed)
    return parsed.copy_with(fragment=None)


def is_public(address: Address) -> bool:
    """Whether the address belongs to the public Internet, by IANA's special-purpose registries."""
    if isinstance(address, ipaddress.IPv6Address) and address not in _IPV6_UNICAST:
        return False
    if address.is_multicast or not address.is_global:
        return False
    return not any(address.version == net.version and address in net for net in _NOT_PUBLIC)


def _ascii_host(url: httpx.URL) -> str:
    host = url.raw_host.decode("ascii").lower().rstrip(".")
    if _parse_address(host) is not None:
        return host
    if _ends_in_number(host):
        # 2130706433, 0x7f.1 and 0177.0.0.1 are spellings of 127.0.0.1 that some resolvers accept and others do not.
        raise _bad_url(str(url), "Write a numeric address as four decimal numbers, such as 192.0.2.7.")
    if not _HOST.fullmatch(host):
        raise _bad_url(str(url), "It does not name a host.")
    return host


def _port(url: httpx.URL) -> int:
    return DEFAULT_PORTS[url.scheme] if url.port is None else url.port


def _ends_in_number(host: str) -> bool:
    return _NUMBER.fullmatch(host.rpartition(".")[2]) is not None


def _split_port(text: str) -> tuple[str, int | None]:
    subject, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or (":" in subject and not subject.endswith("]")):
        return text, None
    if not 0 < int(port) < 65536:
        raise ValueError(f"{text!r} names no port between 1 and 65535")
    return subject, int(port)


def _parse_address(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        return ipaddress.IPv6Address("fe80::")  # a scope means link-local, whatever the rest says
    return address


def _unwrap(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, so that rules about IPv4 hold for it too."""
    if not isinstance(address, ipaddress.IPv6Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _never_by_name(address: Address) -> bool:
    return address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified


def _refused(host: str, port: int) -> Problem:
    # The address itself is not told: it would map the inner network for whoever asks.
    return Problem(
        "address_not_allowed",
        f"The server may not reach {host} at port {port}: only public addresses are open, "
        "and those that its administrator allows.",
        expected="a public http or https address",
        hint="Ask the administrator to allow the host; a file can be uploaded instead.",
    )


def _bad_url(url: str, why: str) -> Problem:
    return Problem(
        "address_not_allowed",
        f"The address {url[:200]!r} cannot be used. {why}",
        expected="an http or https address, such as https://data.example.org/a.csv",
    )
