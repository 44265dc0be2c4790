"""Which server, which token; the profile on disk."""

import stat
import sys
from pathlib import Path

import pytest

from sirdar.client import profile
from sirdar.client.errors import NotConfigured
from sirdar.client.profile import Login


def env(tmp_path: Path, **more: str) -> dict[str, str]:
    return {"SIRDAR_CONFIG_DIR": str(tmp_path / "config"), **more}


def test_nothing_known_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotConfigured, match="sirdar up"):
        profile.resolve(environ=env(tmp_path))


def test_a_login_is_kept_private_and_found_again(tmp_path: Path) -> None:
    environ = env(tmp_path)
    path = profile.keep_login("https://Sirdar.Example.org/", Login("t1", "anna"), environ=environ)
    profile.keep_login("http://127.0.0.1:8200", Login("t2"), default=False, environ=environ)
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]
    assert profile.resolve(environ=environ) == profile.Target("https://sirdar.example.org", "t1", str(path))
    assert profile.resolve("127.0.0.1:8200", environ=environ).token == "t2"
    assert profile.forget_login("https://sirdar.example.org", environ=environ)
    assert profile.resolve(environ=environ).url == "http://127.0.0.1:8200"
    assert not profile.forget_login("https://sirdar.example.org", environ=environ)


def test_the_environment_comes_before_the_profile_and_arguments_before_both(tmp_path: Path) -> None:
    environ = env(tmp_path, SIRDAR_URL="https://env.example.org", SIRDAR_TOKEN="te")
    profile.keep_login("https://kept.example.org", Login("tk"), environ=environ)
    assert profile.resolve(environ=environ).url == "https://env.example.org"
    assert profile.resolve(environ=environ).token == "te"
    assert profile.resolve("https://other.example.org", "ta", environ=environ).token == "ta"


def test_a_token_is_not_sent_to_another_server(tmp_path: Path) -> None:
    environ = env(tmp_path, SIRDAR_URL="https://env.example.org", SIRDAR_TOKEN="te")
    assert profile.resolve("https://other.example.org", environ=environ).token is None


def test_in_a_task_the_task_token_is_used(tmp_path: Path) -> None:
    environ = env(tmp_path, SIRDAR_URL="http://10.0.0.1:8200", EVEREST_TASK_TOKEN="tt", EVEREST_AGENT_TASK_ID="j-0-0")
    assert profile.resolve(environ=environ) == profile.Target("http://10.0.0.1:8200", "tt", "SIRDAR_URL")


def test_a_token_does_not_travel_in_clear_unless_allowed(tmp_path: Path) -> None:
    url = "http://lab.example.org:8200"
    with pytest.raises(NotConfigured, match="unencrypted"):
        profile.resolve(url, "t", environ=env(tmp_path))
    assert profile.resolve(url, "t", insecure=True, environ=env(tmp_path)).token == "t"
    assert profile.resolve(url, "t", environ=env(tmp_path, SIRDAR_INSECURE="1")).token == "t"
    profile.keep_login(url, Login("t", insecure=True), environ=env(tmp_path))
    assert profile.resolve(environ=env(tmp_path)).token == "t"
    for here in ("http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1", "http://127.8.8.8:1"):
        assert profile.resolve(here, "t", environ=env(tmp_path)).token == "t"
    for elsewhere in ("http://127.example.org", "http://localhost.example.org", "http://2130706434.example"):
        with pytest.raises(NotConfigured, match="unencrypted"):
            profile.resolve(elsewhere, "t", environ=env(tmp_path))


@pytest.mark.parametrize("url", ["ftp://x", "http://", "https://user:pass@x", "http://x:port", "javascript:alert(1)"])
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(NotConfigured, match="no address"):
        profile.normal_url(url)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"servers": {"u": {}}}', '{"servers": 3}', "\0"])
def test_a_broken_profile_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "profile.json").write_text(content)
    with pytest.raises(NotConfigured, match="cannot be read"):
        profile.load(env(tmp_path))


def test_the_last_job_is_kept_for_each_server(tmp_path: Path) -> None:
    environ = env(tmp_path)
    profile.keep_last_job("http://127.0.0.1:1", "j1", environ)
    profile.keep_last_job("http://127.0.0.1:2/", "j2", environ)
    assert profile.last_job("http://127.0.0.1:1", environ) == "j1"
    assert profile.last_job("http://127.0.0.1:2", environ) == "j2"
    assert profile.last_job("http://127.0.0.1:3", environ) is None
    profile.forget_last_job("http://127.0.0.1:1", "j2", environ)
    assert profile.last_job("http://127.0.0.1:1", environ) == "j1", "another job was deleted"
    profile.forget_last_job("http://127.0.0.1:2", "j", environ)
    assert profile.last_job("http://127.0.0.1:2", environ) is None
    (tmp_path / "config" / "last.json").write_text("nonsense")
    assert profile.last_job("http://127.0.0.1:1", environ) is None
