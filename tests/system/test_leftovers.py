"""The promises of tests/conftest.py: leftovers are seen, missing components are named, PostgreSQL is the test's own."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

CONFTEST = Path(__file__).parents[1] / "conftest.py"
INI = f"""
[pytest]
pythonpath = {CONFTEST.parents[1]}
addopts = --import-mode=importlib -p no:cacheprovider
markers =
    needs
    postgres
"""


@pytest.fixture
def session(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Callable[..., pytest.RunResult]:
    """Runs one test module in a session of its own, under our conftest."""

    def run(code: str, *, ci: bool = False, edit: Callable[[str], str] = str) -> pytest.RunResult:
        monkeypatch.setenv("CI", "true" if ci else "")
        pytester.makefile(".ini", pytest=INI)
        pytester.makeconftest(edit(CONFTEST.read_text()).replace("GRACE_S = 5.0", "GRACE_S = 0.2"))
        pytester.makepyfile(test_it=code)
        return pytester.runpytest_subprocess("-rA")

    return run


LEAVERS = """
    import subprocess, sys, tempfile

    def test_leaves_a_process():
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)

    def test_leaves_a_program_that_knows_nothing_of_us(tmp_path):
        subprocess.Popen(["/bin/sleep", "60"], cwd=tmp_path, env={})

    def test_leaves_a_file():
        tempfile.mkdtemp(prefix="forgotten")

    def test_leaves_nothing():
        pass
"""


def test_what_a_test_leaves_behind_fails_it(session: Callable[..., pytest.RunResult]) -> None:
    result = session(LEAVERS)
    result.assert_outcomes(passed=4, errors=3)
    result.stdout.fnmatch_lines(["*the test left processes behind*time.sleep(60)*"])
    result.stdout.fnmatch_lines(["*the test left processes behind*sleep 60*"])
    result.stdout.fnmatch_lines(["*left files behind in TMPDIR*forgotten*"])


NEEDS = """
    import pytest

    @pytest.mark.needs("wrk")
    def test_loads():
        pass
"""


def without_wrk(conftest: str) -> str:
    return conftest.replace('"wrk": "wrk"', '"wrk": "there-is-no-such-command"')


def test_a_missing_component_skips_and_the_summary_says_why(session: Callable[..., pytest.RunResult]) -> None:
    result = session(NEEDS, edit=without_wrk)
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*skipped, and why*", "*1  needs wrk, which is missing here*"])


def test_a_missing_component_fails_in_ci(session: Callable[..., pytest.RunResult]) -> None:
    result = session(NEEDS, ci=True, edit=without_wrk)
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*needs wrk, which is missing here*"])


def test_a_free_port_can_be_listened_on(free_port: Callable[[], int]) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as listener:
        assert listener.getsockname()[1] > 0


@pytest.mark.postgres
@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_has_an_empty_database(postgres_url: str, turn: int) -> None:
    import sqlalchemy

    engine = sqlalchemy.create_engine(postgres_url)
    with engine.begin() as connection:
        assert sqlalchemy.inspect(connection).get_table_names() == []
        connection.execute(sqlalchemy.text("CREATE TABLE loads (kg integer)"))
    engine.dispose()
