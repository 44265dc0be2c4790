"""File names that foreign servers give."""

import pytest

from sirdar.services.outbound.names import name_of, safe_name


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('attachment; filename="a b.csv"', "a b.csv"),
        ("attachment; filename*=UTF-8''%D0%B4.csv", "д.csv"),
        ("attachment; filename=\"x.csv\"; filename*=UTF-8''%e2%82%ac.csv", "€.csv"),
        ('attachment; filename="../../etc/passwd"', "passwd"),
        ('attachment; filename="C:\\\\dir\\\\y.txt"', "y.txt"),
        ('attachment; filename="..\\\\..\\\\z"', "z"),
        ('attachment; filename=".bashrc"', "bashrc"),
        ('attachment; filename=".."', "q.txt"),
        ('attachment; filename=""', "q.txt"),
        ('attachment; filename="a\u202ecod.exe"', "acod.exe"),
        ('attachment; filename="a:b?.csv"', "a_b_.csv"),
        ("attachment; filename*=UTF-8''%2e%2e%2fx", "x"),
        ("attachment; filename*=nonsense''%ff", "\ufffd"),
        ("inline", "q.txt"),
        (None, "q.txt"),
    ],
)
def test_the_name_is_the_last_part_and_safe(disposition: str | None, name: str) -> None:
    assert name_of(disposition, "/p/q.txt") == name


@pytest.mark.parametrize(("path", "name"), [("/", "file"), ("", "file"), ("/a/", "a"), ("/..", "file")])
def test_the_path_names_it_otherwise(path: str, name: str) -> None:
    assert name_of(None, path) == name


def test_long_names_keep_their_suffix() -> None:
    name = safe_name("я" * 300 + ".csv")
    assert len(name.encode()) <= 200
    assert name.endswith("я.csv")
