"""The part of Markdown that descriptions need: headings, paragraphs, lists, tables (as on GitHub), code, emphasis, links.

Everything is escaped first, and only what is made here becomes markup: a description is written by whoever may publish, and
read by others.
"""

import re
from collections.abc import Iterator

from markupsafe import Markup, escape

LONGEST = 100_000
MOST_COLUMNS = 50  # of a table; what has more stays a paragraph
MOST_CELLS = 5_000  # of all tables of one text, with the empty ones that fill short rows
_HEADING = re.compile(r"(#{1,6})\s+(.*)")
_ITEM = re.compile(r"\s{0,3}(?:[-*+]|\d{1,3}[.)])\s+(.*)")
_RULE = re.compile(r":?-+:?")  # below a column
_BAR = re.compile(r"(?<!\\)\|")
_CODE = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"\[([^\]\[]{1,300})\]\((https?://[^\s()<>\"']{1,1000}|/[^\s()<>\"'/][^\s()<>\"']{0,1000})\)")
_STRONG = re.compile(r"\*\*(?=\S)(.{1,500}?)(?<=\S)\*\*")
_EMPHASIS = re.compile(r"(?<![\w*])\*(?=[^\s*])([^*]{1,500}?)(?<=\S)\*(?![\w*])")


def render(text: str, *, top: int = 2) -> Markup:
    """HTML of a description; its first level of headings becomes ``h<top>``."""
    return Markup("\n").join(_blocks(text[:LONGEST].splitlines(), top))


def _blocks(lines: list[str], top: int) -> Iterator[Markup]:
    place, cells_left = 0, MOST_CELLS
    while place < len(lines):
        line = lines[place]
        if not line.strip():
            place += 1
        elif line.lstrip().startswith("```"):
            place, block = _fenced(lines, place + 1)
            yield block
        elif found := _HEADING.match(line):
            level = min(6, len(found[1]) + top - 1)
            yield Markup("<h{0}>{1}</h{0}>").format(level, _inline(found[2].rstrip().rstrip("#").rstrip()))
            place += 1
        elif _ITEM.match(line):
            place, block = _list(lines, place)
            yield block
        elif _begins_table(lines, place):
            start, place = place, _table_end(lines, place)
            cells = len(_cells(line)) * (place - start - 1)
            yield _table(lines[start:place]) if cells <= cells_left else _verbatim(lines[start:place])
            cells_left -= cells if cells <= cells_left else 0
        else:
            place, block = _paragraph(lines, place)
            yield block


def _fenced(lines: list[str], place: int) -> tuple[int, Markup]:
    start = place
    while place < len(lines) and not lines[place].lstrip().startswith("```"):
        place += 1
    return place + 1, _verbatim(lines[start:place])


def _verbatim(lines: list[str]) -> Markup:
    return Markup("<pre><code>{}</code></pre>").format("\n".join(lines))


def _list(lines: list[str], place: int) -> tuple[int, Markup]:
    tag = "ol" if lines[place].lstrip()[0].isdigit() else "ul"
    items: list[list[str]] = []
    while place < len(lines) and lines[place].strip():
        found = _ITEM.match(lines[place])
        if found:
            items.append([found[1]])
        else:
            items[-1].append(lines[place].strip())
        place += 1
    inner = Markup("").join(Markup("<li>{}</li>").format(_inline(" ".join(item))) for item in items)
    return place, Markup("<{0}>{1}</{0}>").format(tag, inner)


def _begins_table(lines: list[str], place: int) -> bool:
    """A line with cells, and below it a rule with as many."""
    if place + 1 >= len(lines) or "|" not in lines[place] or not set(lines[place + 1]) <= set("|:- \t"):
        return False
    rules = _cells(lines[place + 1])
    fits = len(_cells(lines[place])) == len(rules) <= MOST_COLUMNS
    return fits and all(_RULE.fullmatch(rule) for rule in rules)


def _table_end(lines: list[str], place: int) -> int:
    """Rows go on to the first empty line, or the next block."""
    place += 2
    while place < len(lines) and lines[place].strip() and not _begins_block(lines[place], inside=True):
        place += 1
    return place


def _table(lines: list[str]) -> Markup:
    """What is missing in a row is empty, what is too much is left out."""
    header, kinds = _cells(lines[0]), [_alignment(cell) for cell in _cells(lines[1])]
    rows = ((_cells(line) + [""] * len(header))[: len(header)] for line in lines[2:])
    head, body = _row("th", header, kinds), Markup("").join(_row("td", row, kinds) for row in rows)
    table = Markup('<table class="written"><thead>{}</thead><tbody>{}</tbody></table>').format(head, body)
    return Markup('<div class="scroll" tabindex="0">{}</div>').format(table)


def _cells(line: str) -> list[str]:
    """A bar after a backslash is no border."""
    text = line.strip().removeprefix("|")
    if text.endswith("|") and not text.endswith("\\|"):
        text = text[:-1]
    return [cell.strip().replace("\\|", "|") for cell in _BAR.split(text)]


def _alignment(rule: str) -> str:
    if rule.endswith(":"):
        return "middle" if rule.startswith(":") else "number"
    return "text"


def _row(tag: str, cells: list[str], kinds: list[str]) -> Markup:
    inner = (
        Markup('<{0} class="{1}">{2}</{0}>').format(tag, kind, _inline(cell))
        for cell, kind in zip(cells, kinds, strict=True)
    )
    return Markup("<tr>{}</tr>").format(Markup("").join(inner))


def _paragraph(lines: list[str], place: int) -> tuple[int, Markup]:
    start = place
    while place < len(lines) and lines[place].strip() and not _begins_block(lines[place], place > start):
        if place > start and _begins_table(lines, place):
            break
        place += 1
    return place, Markup("<p>{}</p>").format(_inline(" ".join(line.strip() for line in lines[start:place])))


def _begins_block(line: str, inside: bool) -> bool:
    return inside and bool(line.lstrip().startswith("```") or _HEADING.match(line) or _ITEM.match(line))


def _inline(text: str) -> Markup:
    """Code is taken out first: what stands in it is no markup."""
    parts = _CODE.split(text)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if number % 2 else _words(part) for number, part in enumerate(parts)
    )


def _words(text: str) -> Markup:
    parts = _LINK.split(text)  # text, label, address, text, ...
    out = [_emphasised(parts[0])]
    for label, address, after in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        link = Markup('<a href="{}" rel="noopener nofollow">{}</a>').format(address, _emphasised(label))
        out += [link, _emphasised(after)]
    return Markup("").join(out)


def _emphasised(text: str) -> Markup:
    safe = str(escape(text))
    safe = _STRONG.sub(r"<strong>\1</strong>", safe)
    return Markup(_EMPHASIS.sub(r"<em>\1</em>", safe))  # noqa: S704  (escaped above)
