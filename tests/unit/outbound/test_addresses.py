"""Which addresses the server may reach: spellings, networks, rules, ports."""

import asyncio
import ipaddress
import socket
from collections.abc import Sequence

import pytest

from sirdar.domain.problems import Problem
from sirdar.services.outbound.addresses import AddressPolicy, is_own_address, parse_rules, parse_url


def policy_with(names: dict[str, list[str]], **changes: object) -> AddressPolicy:
    """A policy whose resolver knows only these names: no test asks a real one."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        if host not in names:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return names[host]

    return AddressPolicy(resolve=resolve, is_own=lambda _: False, **changes)  # type: ignore[arg-type]


def code_of(policy: AddressPolicy, url: str) -> str:
    try:
        asyncio.run(policy.check(url))
    except Problem as problem:
        return problem.code
    return "ok"


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "192.0.0.8",
        "192.0.2.1",
        "198.18.0.1",
        "192.88.99.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "[::]",
        "[::1]",
        "[fe80::1]",
        "[fe80::1%25eth0]",
        "[fc00::1]",
        "[fec0::1]",
        "[ff02::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:10.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b::a00:1]",
        "[64:ff9b:1::1]",
        "[2002:7f00:1::1]",
        "[2001::1]",
        "[2001:db8::1]",
    ],
)
def test_addresses_that_are_not_public_are_refused_written_out_or_behind_a_name(host: str) -> None:
    assert code_of(policy_with({}), f"http://{host}/") == "address_not_allowed"
    policy = policy_with({"name.example": [host.strip("[]").replace("%25", "%")]})
    assert code_of(policy, "https://name.example/") == "address_not_allowed"


@pytest.mark.parametrize("host", ["8.8.8.8", "[2a00:1450:4001::1]", "[::ffff:8.8.8.8]", "[64:ff9b::808:808]"])
def test_public_addresses_are_open(host: str) -> None:
    assert code_of(policy_with({}), f"https://{host}/") == "ok"
    assert code_of(policy_with({}, public_default=False), f"https://{host}/") == "address_not_allowed"


@pytest.mark.parametrize(
    "url",
    [
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.1/",
        "http://0177.0.0.1/",
        "http://0300.0250.1.1/",
        "http://127.1/",
        "http://127.0.1/",
        "http://127.0.0.0x1/",
        "http://①②⑦.0.0.1/",
        "http://127。0。0。1/",
        "http://127.0.0.1./",
        "http://localhost/",
        "http://LOCALHOST./",
        "http://localhost.:80/",
    ],
)
def test_other_spellings_of_this_machine_are_refused(url: str) -> None:
    policy = policy_with({"localhost": ["127.0.0.1", "::1"]})
    assert code_of(policy, url) == "address_not_allowed"


@pytest.mark.parametrize(
    "url",
    [
        "ftp://8.8.8.8/a",
        "file:///etc/passwd",
        "gopher://8.8.8.8/",
        "//8.8.8.8/",
        "8.8.8.8",
        "",
        "http://",
        "http:///path",
        "http://user@8.8.8.8/",
        "http://user:word@8.8.8.8/",
        "http://8.8.8.8\\@127.0.0.1/",
        "http://8.8.8.8 /",
        "http://8.8.8.8/\r\nHost: x",
        "http://8.8.8.8:0/",
        "http://8.8.8.8:99999/",
        "http://8.8.8.8:abc/",
        "http://a..b/",
        "http://-a.example/",
        "http://[::1/",
        "https://" + "a" * 9000 + ".example/",
        "http://exa%6dple.com%00/",
    ],
)
def test_a_url_that_is_not_plain_http_with_a_host_is_refused(url: str) -> None:
    assert code_of(policy_with({}), url) == "address_not_allowed"


def test_one_forbidden_address_among_several_forbids_the_name() -> None:
    policy = policy_with({"both.example": ["8.8.8.8", "127.0.0.1"]})
    assert code_of(policy, "http://both.example/") == "address_not_allowed"


def test_a_name_that_cannot_be_found_is_said_so() -> None:
    assert code_of(policy_with({"none.example": []}), "http://none.example/") == "fetch_failed"
    assert code_of(policy_with({}), "http://unknown.example/") == "fetch_failed"


def test_the_refusal_does_not_tell_the_inner_address() -> None:
    with pytest.raises(Problem) as caught:
        asyncio.run(policy_with({"wiki.example": ["10.9.8.7"]}).check("http://wiki.example/"))
    assert "10.9.8.7" not in str(caught.value.to_json())
    assert "wiki.example" in caught.value.detail


@pytest.mark.parametrize(("port", "code"), [(80, "ok"), (443, "ok"), (8080, "ok"), (25, "address_not_allowed")])
def test_ports_of_public_addresses(port: int, code: str) -> None:
    assert code_of(policy_with({}), f"http://8.8.8.8:{port}/") == code


def test_rules_deny_before_allow_before_the_default() -> None:
    names = {
        "git.lab.example": ["10.0.0.5"],
        "deep.git.lab.example": ["10.0.0.6"],
        "lab.example": ["10.0.0.7"],
        "meta.lab.example": ["169.254.169.254"],
        "loop.lab.example": ["127.0.0.1"],
        "bad.lab.example": ["10.0.0.9"],
        "evil.example": ["8.8.8.8"],
    }
    policy = policy_with(names, allow=("*.lab.example", "192.168.7.0/24:8080"), deny=("10.0.0.9", "evil.example"))
    verdicts = {
        "http://git.lab.example/": "ok",
        "http://git.lab.example.:2222/": "ok",
        "http://deep.git.lab.example/": "ok",
        "http://lab.example/": "address_not_allowed",
        "http://meta.lab.example/": "address_not_allowed",
        "http://loop.lab.example/": "address_not_allowed",
        "http://bad.lab.example/": "address_not_allowed",
        "http://evil.example/": "address_not_allowed",
        "http://192.168.7.9:8080/": "ok",
        "http://192.168.7.9/": "address_not_allowed",
    }
    assert {url: code_of(policy, url) for url in verdicts} == verdicts


def test_loopback_opens_by_address_only_and_reaches_mapped_spellings_too() -> None:
    policy = policy_with({"localhost": ["127.0.0.1", "::1"]}, allow=("localhost",))
    for url in ("http://127.0.0.1/", "http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://localhost:9/"):
        assert code_of(policy, url) == "ok"
    assert code_of(policy, "http://10.0.0.1/") == "address_not_allowed"


@pytest.mark.parametrize("text", ["", "a b", "http://x/", "10.0.0.0/40", "1.2.3", "host:0", "host:99999", "*", "a.*.b"])
def test_a_rule_that_cannot_be_read_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        AddressPolicy(allow=(text,))


def test_rules_take_ports_of_ipv6_in_brackets() -> None:
    (rule,) = parse_rules("[fd00::/8]:8080")
    assert rule.covers_address(ipaddress.ip_address("fd00::1"), 8080)
    assert not rule.covers_address(ipaddress.ip_address("fd00::1"), 80)
    (rule,) = parse_rules("fd00::/8")
    assert rule.port is None


def test_the_servers_own_addresses_are_known_by_binding() -> None:
    assert is_own_address(ipaddress.ip_address("127.0.0.1"))
    assert not is_own_address(ipaddress.ip_address("192.0.2.77"))
    own = AddressPolicy(is_own=lambda address: str(address) == "8.8.8.8")
    assert code_of(own, "http://8.8.8.8/") == "address_not_allowed"


def test_a_url_loses_its_fragment_and_keeps_the_rest() -> None:
    assert str(parse_url("https://пример.рф/a?x=1#y")) == "https://xn--e1afmkfd.xn--p1ai/a?x=1"


def test_a_policy_is_read_from_lines_of_a_setting() -> None:
    policy = AddressPolicy.from_lines(["10.0.0.0/8", " !10.0.0.9 ", "", "!public"])
    assert (policy.allow, policy.deny, policy.public_default) == (("10.0.0.0/8",), ("10.0.0.9",), False)
    assert code_of(policy, "http://10.0.0.8/") == "ok"
    assert {code_of(policy, f"http://{host}/") for host in ("10.0.0.9", "8.8.8.8")} == {"address_not_allowed"}
