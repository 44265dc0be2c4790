"""``sweep``: one job with a task for each combination of inputs' values."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from cyclopts import Parameter

from sirdar.cli.reply import Reply
from sirdar.cli.run import finish
from sirdar.cli.session import UsageError, current
from sirdar.cli.submit_options import SubmitOptions
from sirdar.cli.values import Schema, read_inputs, read_value, schema_of
from sirdar.domain.sweep import SweepError, read_texts


def sweep(
    app: str,
    /,
    *,
    input: Annotated[
        list[str],
        Parameter(
            name=["--input", "-i"],
            help="name=values: x,y or 1..10 or 0..1:0.1 or 0.001..10:*10, or @a.csv,@b.csv; one value is common to all tasks",
            consume_multiple=False,
            negative="",
        ),
    ],
    where: Annotated[
        list[str] | None,
        Parameter(help="only combinations that meet this; may be repeated", consume_multiple=False, negative=""),
    ] = None,
    zip: Annotated[
        bool,
        Parameter(
            name="--zip",
            negative="--product",
            help="the first values go together, then the second ones; --product: each with each",
        ),
    ] = False,
    options: SubmitOptions | None = None,
) -> Reply:
    """Submit a sweep.

    Parameters
    ----------
    app
        owner/alias, owner/alias@3 or an id; me/ is you
    """
    session = current()
    options = options or SubmitOptions()
    opened = session.client.app(app)
    common, axes = read_axes(input, opened.inputs)
    if not axes:
        raise UsageError("no input has several values", "-i a=1..10 or -i b=x,y; `sirdar run` takes one of each")
    job = opened.submit(
        common,
        sweep={"parameters": axes, "where": where or [], "mode": "zip" if zip else "product"},
        **options.given(session),
    )
    session.keep_last(job.id)
    return finish(job, session, wait=options.wait or options.download is not None, download=options.download)


def read_axes(given: Sequence[str], declared: Mapping[str, Schema]) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Inputs with one value, which all tasks have, and the values of the others. Raises UsageError."""
    common: dict[str, Any] = {}
    axes: dict[str, list[Any]] = {}
    texts: dict[str, list[str]] = {}
    for word in given:
        name, sign, text = word.partition("=")
        if not sign or not name:
            raise UsageError(f"-i {word!r} is not of the form name=values", "-i a=1..10 or -i b=x,y")
        texts.setdefault(name, []).append(text)
    for name, found in texts.items():
        spec = schema_of(name, declared)
        if spec.get("type") in ("array", "object"):  # their own texts hold commas: a value each time the input is named
            values = [_whole(name, text, spec) for text in found]
        else:
            values = list(_read(name, _split(name, found), spec))
        if len(values) == 1:
            common[name] = values[0]
        else:
            axes[name] = values
    return common, axes


def _split(name: str, texts: Sequence[str]) -> list[str]:
    try:
        return [value for text in texts for value in read_texts(text)]
    except SweepError as error:
        raise UsageError(f"{name}: {error}") from None


def _read(name: str, texts: Sequence[str], spec: Schema) -> Iterator[Any]:
    for number, text in enumerate(texts, 1):
        try:
            yield read_value(name, text, spec)
        except UsageError as error:
            which = f"value {number} of {name}: " if len(texts) > 1 else ""
            raise UsageError(f"{which}{error.message}", error.hint) from None


def _whole(name: str, text: str, spec: Schema) -> Any:
    return read_inputs([f"{name}={text}"], {name: spec})[name]
