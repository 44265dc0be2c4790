"""What outside names and groups become here, and settings that cannot be."""

from pathlib import Path
from typing import Any

import pytest

from sirdar.services.outside.identity import GroupRules, Identity, derive_name, is_name
from sirdar.services.outside.ways import Ways
from sirdar.services.settings import InvalidSettings, Settings


def identity(name: str, subject: str = "s") -> Identity:
    return Identity("https://p.example.org", subject, name, None, frozenset())


@pytest.mark.parametrize(
    ("outside", "name"),
    [
        ("anna", "anna"),
        ("Anna Berg", "anna-berg"),
        ("Zoë.Müller@example.org", "zoe.muller"),
        ("DOMAIN\\anna", "domain-anna"),
        ("--_.a", "a"),
        ("a.-", "a"),
        ("y" * 99, "y" * 60),
        ("ﬁne", "fine"),
    ],
)
def test_names(outside: str, name: str) -> None:
    assert derive_name(identity(outside)) == name


@pytest.mark.parametrize("outside", ["", "@", "山", "\u0000", "...", "@example.org", "\ud800"])
def test_where_nothing_is_left_the_subject_names(outside: str) -> None:
    one, other = derive_name(identity(outside, "1")), derive_name(identity(outside, "2"))
    assert is_name(one) and one.startswith("user-") and one != other
    assert one == derive_name(identity(outside, "1"))


def test_group_rules() -> None:
    rules = GroupRules.parse("oidc", "a = b = lab; Lab=lab\n x=x;", " chiefs ;", "")
    assert rules.inside({"a = b", "x", "lab"}) == {"lab", "x"}
    assert rules.inside({"a", "b", "X"}) == frozenset()
    assert rules.makes_admin({"chiefs"}) and rules.makes_admin({"Chiefs"}) is False
    assert rules.admits(set())


def test_a_directory_does_not_tell_case_apart() -> None:
    rules = GroupRules.parse("ldap", "CN=Lab,DC=x = lab", "Chiefs", "cn=LAB,dc=x", folds=True)
    assert rules.inside({"cn=lab,dc=x"}) == {"lab"}
    assert rules.makes_admin({"chiefs"}) and not rules.admits({"lab"}) and rules.admits({"cn=lab,dc=x"})


def test_a_star_takes_only_what_a_group_can_be_called() -> None:
    rules = GroupRules.parse("oidc", "*", "", "")
    assert rules.inside({"lab", "Lab", "everyone", "a b", "", "a" * 65, "ü", "\u0000"}) == {"lab"}
    assert rules.makes_admin({"lab"}) is None


OIDC = {"oidc_issuer": "https://p.example.org", "oidc_client_id": "x"}
LDAP = {"ldap_url": "ldaps://d.example.org", "ldap_base": "dc=x"}


@pytest.mark.filterwarnings("ignore:.*(tagMap|typeMap).*:DeprecationWarning")
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (OIDC | {"oidc_issuer": "http://p.example.org"}, "no address of https"),
        (OIDC | {"oidc_issuer": "p.example.org"}, "no address of https"),
        (OIDC | {"oidc_client_id": ""}, "SIRDAR_OIDC_CLIENT_ID is missing"),
        (OIDC | {"oidc_groups": "lab"}, "SIRDAR_OIDC_GROUPS: 'lab'"),
        (OIDC | {"oidc_groups": "a = B c"}, "SIRDAR_OIDC_GROUPS: 'a = B c'"),
        (OIDC | {"oidc_groups": "a = everyone"}, "SIRDAR_OIDC_GROUPS"),
        (LDAP | {"ldap_url": "http://d.example.org"}, "SIRDAR_LDAP_URL"),
        (LDAP | {"ldap_url": "ldap://u:p@d.example.org"}, "SIRDAR_LDAP_URL"),
        (LDAP | {"ldap_base": ""}, "SIRDAR_LDAP_BASE is missing"),
        (LDAP | {"ldap_filter": "(uid=anna)"}, "SIRDAR_LDAP_FILTER"),
        (LDAP | {"ldap_groups": "= lab"}, "SIRDAR_LDAP_GROUPS"),
    ],
    ids=str,
)
def test_settings_that_cannot_be(tmp_path: Path, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidSettings, match=words.replace("'", ".")):
        Ways.of(Settings(home=tmp_path, **settings))


@pytest.mark.filterwarnings("ignore:.*(tagMap|typeMap).*:DeprecationWarning")
def test_both_beside_each_other(tmp_path: Path) -> None:
    ways = Ways.of(Settings(home=tmp_path, **OIDC, **LDAP))
    assert ways.oidc and ways.ldap
    assert Ways.of(Settings(home=tmp_path)) == Ways()
