"""Somebody reads the log of a job: one that fails, one that is longer than is kept while it runs, two streams and their times."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from tests.journeys.conftest import Reader
from tests.system.product import Product

pytestmark = pytest.mark.needs("chromium")
AWAIT = """\
import pathlib, sys, time

def await_word(word):
    while not (pathlib.Path(sys.argv[1]) / word).exists():
        time.sleep(0.02)

"""
FAILS = (
    AWAIT
    + """\
print("reading wells.csv, 1600 rows")
await_word("warn")
print("error: well W7 has no depth", file=sys.stderr)
await_word("fail")
print("fold 1 of 7")
raise ValueError("the matrix is nearly singular")
"""
)
LINES = 1_000_000
LONG = (
    AWAIT
    + f"""\
for number in range({LINES}):
    print(f"step {{number}} of a long run")
sys.stdout.flush()
await_word("end")
print("all is well", flush=True)
"""
)
BOTH = (
    AWAIT
    + """\
print("to stdout", flush=True)
await_word("second")
print("to stderr", file=sys.stderr, flush=True)
await_word("end")
"""
)


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """One that keeps little of a stream while it runs."""
    running = Product(tmp_path_factory.mktemp("logs"), settings={"log_bytes": 500_000})
    running.start()
    yield running
    running.close()


def submit(product: Product, words: Path, name: str, program: str) -> str:
    app = product.publish(
        name, f"python3 -u {name}.py ${{go}}", files={f"{name}.py": program}, inputs={"go": {"type": "string"}}
    )
    return str(product.submit(app, {"go": str(words)})["id"])


def rows(page: Page, stream: str = "") -> object:
    return page.locator(f"sirdar-log[stream={stream}] .log-row" if stream else "sirdar-log .log-row")


def test_read_what_a_job_said(product: Product, reader: Callable[..., Reader], tmp_path: Path) -> None:
    for scene in (_why_it_failed, _two_streams_and_their_times):
        place = tmp_path / scene.__name__
        place.mkdir()
        scene(product, reader, place)


def _why_it_failed(product: Product, reader: Callable[..., Reader], tmp_path: Path) -> None:
    """Who only looks on is shown the error; who reads on in stdout is told where it stands, and keeps what they chose."""
    job = submit(product, tmp_path, "fails", FAILS)
    anna, boris = reader(), reader(width=360, color_scheme="dark")
    for one, address in ((anna, f"/jobs/{job}"), (boris, f"/jobs/{job}?tab=log&stream=stdout")):
        one.carry(product.token())
        one.go(address)
        expect(one.page.locator(".log-row", has_text="reading wells.csv")).to_be_visible()
    stderr = boris.page.locator(".streams a", has_text="stderr")
    assert "Errors" not in stderr.inner_text()
    (tmp_path / "warn").touch()
    expect(stderr).to_contain_text("Errors: 1")  # while they look at stdout
    boris.shot("error-elsewhere")
    (tmp_path / "fail").touch()
    expect(anna.page.locator(".answer .state")).to_have_text("Failed")
    expect(anna.page.locator("sirdar-log[stream=stderr] .log-row", has_text="ValueError: the matrix")).to_be_visible()
    expect(anna.page.locator(".streams a[aria-current]")).to_contain_text("stderr")
    anna.shot("why")
    expect(stderr).to_contain_text("may say why it failed")
    expect(boris.page.locator(".log-row", has_text="fold 1 of 7")).to_be_visible()
    boris.fits()
    boris.shot("marked")
    boris.page.get_by_role("link", name="What the program wrote").click()
    expect(boris.page.locator(".log-row", has_text="ValueError: the matrix")).to_be_visible()


def test_a_log_of_a_million_lines(product: Product, reader: Callable[..., Reader], tmp_path: Path) -> None:
    """While it runs the middle is left out, which is said, with true numbers behind it; at the end all of it is there."""
    job = submit(product, tmp_path, "long", LONG)
    anna = reader()
    anna.carry(product.token())
    anna.go(f"/jobs/{job}?tab=log&stream=stdout")
    log = anna.page.locator("sirdar-log")
    last = log.locator(".log-row", has_text=f"step {LINES - 1} of")
    expect(last).to_be_visible()  # it follows
    expect(last.locator(".no")).to_have_text(str(LINES))
    expect(log.locator(".logbar")).to_contain_text("Lines: 1\u202f000\u202f000 · left out in the middle: ")
    anna.shot("end-of-million", whole=False)
    log.get_by_role("searchbox").fill("left out here")
    gap = log.locator(".log-row.gap")
    expect(gap).to_contain_text("Left out in the middle while it runs")
    before = log.locator(".log-row:has(+ .log-row.gap)")
    known = log.locator(".log-row.gap + .log-row")
    number = int(known.locator(".no").inner_text())
    expect(known).to_contain_text(f"{number}step {number - 1} of a long run")  # whole, under its true number
    assert before.count() == 1
    after = log.locator(".log-row.gap + .log-row + .log-row")
    expect(after.locator(".no")).to_have_text(str(number + 1))
    expect(after).to_contain_text(f"step {number} of a long run")
    anna.shot("gap", whole=False)
    log.get_by_role("searchbox").fill("")
    log.get_by_label("Follow").check()
    (tmp_path / "end").touch()
    expect(log.locator(".log-row", has_text="all is well").locator(".no")).to_have_text(str(LINES + 1))
    expect(log.locator(".logbar")).not_to_contain_text("left out")
    log.get_by_role("searchbox").fill("step 500000 ")
    expect(log.locator(".log-row.at")).to_contain_text("step 500000 of a long run")
    expect(log.locator(".log-row.at .no")).to_have_text("500001")
    with anna.page.expect_download() as saved:
        log.get_by_role("link", name="download").click()
    content = Path(saved.value.path()).read_bytes()
    assert content == b"".join(b"step %d of a long run\n" % at for at in range(LINES)) + b"all is well\n"


def _two_streams_and_their_times(product: Product, reader: Callable[..., Reader], tmp_path: Path) -> None:
    """No time is invented: what is shown while it runs is what is shown after its end."""
    job = submit(product, tmp_path, "both", BOTH)
    anna = reader()
    anna.carry(product.token())
    anna.go(f"/jobs/{job}?tab=log&stream=both")
    out = anna.page.locator("sirdar-log[stream=stdout]")
    err = anna.page.locator("sirdar-log[stream=stderr]")
    expect(out.locator(".log-row", has_text="to stdout")).to_be_visible()
    out.get_by_label("Times").check()
    expect(out.locator(".when")).not_to_be_empty()
    shown = out.locator(".when").get_attribute("datetime")
    (tmp_path / "second").touch()
    err.get_by_label("Times").check()
    expect(err.locator(".log-row", has_text="to stderr").locator(".when")).not_to_be_empty()
    later = err.locator(".when").get_attribute("datetime")
    assert shown and later and shown <= later
    (tmp_path / "end").touch()
    expect(anna.page.locator(".answer .state")).to_have_text("Done")
    anna.shot("both")
    anna.page.reload()
    assert anna.page.get_by_text("Side by side, each in its own order").is_visible()
    expect(out.locator(".when")).to_have_attribute("datetime", shown)
    expect(err.locator(".when")).to_have_attribute("datetime", later)
