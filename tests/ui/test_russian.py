"""No English is left on pages in Russian: a walk over all pages, as each kind of user, which looks at every word that is shown.

What is no page's word stands in an element that says so (``code``, ``pre``, ``kbd``), or is a name, a unit, or what people and
programs wrote: listed below.
"""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import parse_qsl, urldefrag, urlencode, urljoin, urlsplit

import httpx
import pytest
import sqlalchemy as sa
from tests.ui.conftest import Site, fill, serve

from sirdar.store import tables as t

RUSSIAN = {"accept-language": "ru"}
SHOWN_ATTRIBUTES = ("title", "aria-label", "placeholder", "alt", "data-away", "data-label")
NO_WORDS = frozenset({"code", "pre", "kbd", "script", "style", "textarea", "svg"})
WALKED = frozenset({"tab", "way", "whose", "verb", "stream", "task", "standing"})  # others only choose or order rows
MOST_PAGES = 400
LATIN = re.compile(r"(?<![\w@./])[A-Za-z]+(?:['-][A-Za-z]+)*")
# Names of things that have no other in Russian, and units of computers.
NAMES = re.compile(
    r"Sirdar|Slurm|English|Python|JSON|YAML|CSV|Parquet|CPU|GPU|URL|URI|API|REST|HTTPS?|POST|GET|PUT|DELETE|OpenAPI|Markdown|Jupyter|curl|CLI"
    r"|SMTP|OIDC|LDAP|cookie|Bearer|TOKEN|Authorization|UTC|UTF|stdout|stderr|SIG(TERM|KILL|SEGV|BUS|ABRT)|PATH|zip|tar|umask"
    r"|NaN|localhost|Caps|Lock|Prometheus|SQLite|Linux|Schema|writable|uri|https|me|id|owner|alias"
)
# What people and programs wrote in the site of tests/ui/conftest.py; of a piece, and alone.
WRITTEN = re.compile(
    r"oscillator, \w+|Simplicity versus fitting|Fits a model by cross-validation|fold 3 of 7, CV error|Exit code 2: <no such file>"
    r"|main 3c1f9e2|data & more|(outputs\.)?cv_error(, mm)?|^, mm$"
    r"|\b(data|folds|beta|fit) (вверх|вниз)|Удалить (data|folds|beta|fit)"
    r"|\b(anna|boris|admin|svf|lab1|laptop|key|who|API)\b"
    r"|What it does|Reads a|and data, and finds the|with the least error|one fold at a time|\bsee\b|the paper|alert\(\d\)"
    r"|https?://\S+|\S+\.(yaml|csv|png|json)\b|SIRDAR_\w+|/(api|metrics)\S*|\$\{name\}|a-z\b|x86_64|<\w+>|</\w+>"
)
ALONE = frozenset(
    {"no", "state", "resource", "waitS", "runS"}  # columns, as a table in CSV names them
    | {
        "mm",
        "Data",
        "Folds",
        "task",
        "many",
        "name",
        "cv",
        "folds",
        "beta",
        "data",
        "fit",
        "512 MiB",
        "10 min",
        "10 GiB",
    }
)


class Shown(HTMLParser):
    """What of a page is shown, piece by piece; and where its links lead."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self.links: list[str] = []
        self._inside: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in NO_WORDS or given.get("lang") == "en":
            self._inside.append(tag)
        if not self._inside:
            self.pieces += [text for name in SHOWN_ATTRIBUTES if (text := given.get(name))]
        if tag == "a" and (to := given.get("href")):
            self.links.append(to)

    def handle_endtag(self, tag: str) -> None:
        if self._inside and self._inside[-1] == tag:
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        if not self._inside and data.strip():
            self.pieces.append(" ".join(data.split()))


def walk(browser: httpx.Client, starts: tuple[str, ...]) -> Iterator[tuple[str, Shown]]:
    """Every page that a link leads to, once."""
    waiting, seen = list(starts), {(start,) for start in starts}
    while waiting:
        path = waiting.pop(0)
        reply = browser.get(path, headers=RUSSIAN, follow_redirects=True)
        if not reply.headers.get("content-type", "").startswith("text/html"):
            continue
        assert reply.status_code == 200, f"{path}: {reply.status_code}"
        shown = Shown(reply.text)
        yield path, shown
        for link in shown.links:
            to = urlsplit(urldefrag(urljoin(path, link)).url)
            query = [pair for pair in parse_qsl(to.query) if pair[0] in WALKED]
            kind = (to.path, *(f"{name}={value}" if name != "task" else name for name, value in query))
            if not to.netloc and not to.path.startswith(("/api", "/assets")) and kind not in seen:
                assert len(seen) < MOST_PAGES, "more pages than there should be"
                seen.add(kind)
                waiting.append(f"{to.path}?{urlencode(query)}")


def english(piece: str) -> list[str]:
    if piece in ALONE:
        return []
    return [word for word in LATIN.findall(WRITTEN.sub(" ", piece)) if not NAMES.fullmatch(word)]


@pytest.fixture(scope="module")
def own_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """With nothing but what is listed above: other tests share theirs, and write into it."""
    with serve(tmp_path_factory.mktemp("russian")) as running:
        fill(running)
        share(running)
        yield running


def share(site: Site) -> None:
    """With everyone, a group and a user: each of what can be shared."""
    admin, anna = ({"authorization": f"Bearer {site.tokens[name]}"} for name in ("admin", "anna"))
    assert httpx.post(f"{site.url}/api/groups", json={"name": "svf"}, headers=admin).status_code == 201
    for subject in ("everyone", "group:svf", "user:boris"):
        address = f"{site.url}/api/apps/anna/svf/share/{subject}"
        whose = admin if subject == "everyone" else anna
        assert httpx.put(address, json={"permission": "run"}, headers=whose).status_code == 200
        row = {"resource_id": "r1", "subject": subject}
        site.write(lambda tx, row=row: tx.conn.execute(sa.insert(t.resource_shares).values(**row)))
    job = site.jobs["failed"]
    assert httpx.put(f"{site.url}/api/jobs/{job}/share/user:boris", headers=anna).status_code == 200


@pytest.mark.parametrize("who", ["admin", "anna", "boris", None])
def test_no_english_is_left(own_site: Site, who: str | None) -> None:
    starts = (
        ("/jobs", "/apps", "/resources", "/account", "/docs/errors", "/docs/reasons", "/login")
        if who
        else ("/login", "/docs/errors")
    )
    left: dict[str, str] = {}
    count = 0
    with own_site.browser(who) as browser:
        for path, shown in walk(browser, starts):
            count += 1
            for piece in shown.pieces:
                if english(piece):
                    left.setdefault(piece, path)
    assert count > (50 if who else 30)
    assert not left, "\n".join(f"{path}: {piece}" for piece, path in left.items())
