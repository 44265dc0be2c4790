"""From a submission's inputs to what is stored: checked, files resolved to blobs, secrets sealed, addresses noted for fetching."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sirdar.domain.app import FILE_INPUTS, App, FileRef, InputSpec, InputType
from sirdar.domain.people import Caller
from sirdar.domain.problems import FieldError, Problem
from sirdar.domain.value_files import file_fault
from sirdar.domain.value_words import describe
from sirdar.domain.values import check
from sirdar.services.context import Services
from sirdar.services.files import find_temporary, resolve_uri
from sirdar.services.outbound.addresses import AddressPolicy

MAX_ERRORS = 50


@dataclass(slots=True)
class Prepared:
    """Inputs ready to be stored. ``urls``: addresses that the server has to fetch first; they stand as ``{"$url": ...}``."""

    common: dict[str, Any]
    items: list[dict[str, Any]] | None
    blobs: set[str] = field(default_factory=set)
    urls: set[str] = field(default_factory=set)


async def prepare(
    services: Services,
    caller: Caller,
    app: App,
    given: Mapping[str, Any],
    items: Sequence[Mapping[str, Any]] | None,
    *,
    trusted_files: bool = False,
) -> Prepared:
    """Check everything and resolve it. Raises Problem ``invalid_input`` with every error (the first fifty).

    ``trusted_files``: values may hold ``$file`` already (they come from the ledger, for a job that the caller may see).
    """
    specs = app.inputs
    if items is None:
        common, errors = check(specs, given, file_refs=trusted_files)
        checked = None
    else:
        common, errors = check(specs, given, partial=True, file_refs=trusted_files)
        checked = _check_items(specs, common, items, errors, trusted_files=trusted_files)
        common = {spec.name: spec.default for spec in specs if spec.has_default} | common
    refuse(errors)
    walk = Walk(services, caller)
    special = special_inputs(specs)
    prepared = Prepared(common, checked)
    if special:
        await walk.learn(_texts(special, [common, *(checked or [])]))
        prepared.common = await walk.values(special, common, "inputs")
        if checked is not None:
            prepared.items = [await walk.values(special, item, f"foreach[{no}]") for no, item in enumerate(checked)]
    refuse(walk.errors)
    prepared.blobs, prepared.urls = walk.blobs, walk.urls
    return prepared


async def prepare_more(
    services: Services, caller: Caller, app: App, common: Mapping[str, Any], items: Sequence[Mapping[str, Any]]
) -> Prepared:
    """Input sets that are added to a job whose ``common`` inputs are stored already. Raises Problem ``invalid_input``."""
    errors: list[FieldError] = []
    checked = []
    for no, item in enumerate(items):
        values, wrong = _check_more(app.inputs, common, item, f"foreach[{no}]")
        checked.append(values)
        errors += wrong
        if len(errors) >= MAX_ERRORS:
            break
    refuse(errors)
    special, walk = special_inputs(app.inputs), Walk(services, caller)
    if special:
        await walk.learn(_texts(special, checked))
        checked = [await walk.values(special, item, f"foreach[{no}]") for no, item in enumerate(checked)]
    refuse(walk.errors)
    return Prepared(dict(common), checked, walk.blobs, walk.urls)


def _check_more(
    specs: Sequence[InputSpec], common: Mapping[str, Any], item: Mapping[str, Any], where: str
) -> tuple[dict[str, Any], list[FieldError]]:
    """What the item itself gives; with the common inputs, whose values were checked before, it must be complete."""
    values, wrong = check(specs, item, partial=True, file_refs=False, where=where)
    for spec in specs:
        if item.get(spec.name, common.get(spec.name)) is not None:
            continue
        if spec.has_default and spec.name in item:
            values[spec.name] = spec.default
        elif spec.required and not spec.has_default:
            wrong.append(FieldError(f"{where}.{spec.name}", "is required", describe(spec)))
    return values, wrong


def _check_items(
    specs: Sequence[InputSpec],
    common: Mapping[str, Any],
    items: Sequence[Mapping[str, Any]],
    errors: list[FieldError],
    *,
    trusted_files: bool,
) -> list[dict[str, Any]]:
    """Each item merged over the common inputs must be complete; what is kept is what the item itself gives."""
    checked = []
    for no, item in enumerate(items):
        if not isinstance(item, Mapping):
            errors.append(FieldError(f"foreach[{no}]", "is not a set of inputs", "an object"))
            continue
        values, wrong = check(specs, {**common, **item}, file_refs=trusted_files, where=f"foreach[{no}]")
        if wrong:
            errors.extend(wrong)
            if len(errors) >= MAX_ERRORS:
                break
        checked.append({name: values[name] for name in item if name in values})
    return checked


def special_inputs(specs: Sequence[InputSpec]) -> list[InputSpec]:
    """Those whose values are not stored as they were given: files and secrets."""
    return [spec for spec in specs if spec.type in FILE_INPUTS or spec.type is InputType.SECRET or _holds_files(spec)]


def _holds_files(spec: InputSpec) -> bool:
    return spec.type is InputType.LIST and spec.items is not None and spec.items.type in FILE_INPUTS


class Walk:
    """Replaces files' URIs and secrets in values; each URI is resolved once."""

    def __init__(self, services: Services, caller: Caller) -> None:
        self._services = services
        self._caller = caller
        self._known: dict[str, FileRef] = {}
        self.blobs: set[str] = set()
        self.urls: set[str] = set()
        self.errors: list[FieldError] = []

    async def learn(self, texts: Collection[str]) -> None:
        """Looks the caller's temporary files among them up together; the others are looked up when they come."""
        uris = {uri for text in texts if (uri := self._local(text)) is not None}
        if len(uris) > 1:
            self._known |= await find_temporary(self._services, self._caller, uris)

    async def common(self, specs: Sequence[InputSpec], values: Mapping[str, Any]) -> dict[str, Any]:
        """The inputs that all tasks have."""
        return await self.values(special_inputs(specs), values, "inputs")

    async def one(self, spec: InputSpec, value: Any, place: str) -> Any:
        """One value of one input; ``place`` is where it stood, for errors."""
        if not special_inputs([spec]):
            return value
        return await self._value(spec, value, place)

    async def values(self, special: Sequence[InputSpec], values: Mapping[str, Any], where: str) -> dict[str, Any]:
        replaced = dict(values)
        for spec in special:
            value = replaced.get(spec.name)
            if value is None:
                continue
            replaced[spec.name] = await self._value(spec, value, f"{where}.{spec.name}")
        return replaced

    async def _value(self, spec: InputSpec, value: Any, place: str) -> Any:
        if spec.type is InputType.SECRET:
            return {"$secret": self._services.keys.seal(value)} if isinstance(value, str) else value
        one = spec.items if spec.items is not None else spec
        if isinstance(value, list):
            return [await self._file(one, item, f"{place}[{i}]") for i, item in enumerate(value)]
        return await self._file(one, value, place)

    async def _file(self, spec: InputSpec, value: Any, place: str) -> Any:
        ref = FileRef.from_json(value)
        if ref is None and isinstance(value, str):
            uri = self._local(value)
            if uri is None:
                self._check_address(value, place)
                self.urls.add(value)
                return {"$url": value}
            ref = await self._resolve(uri, place)
        if ref is None:
            return value
        fault = file_fault(spec, ref)
        if fault:
            self.errors.append(FieldError(place, fault))
        self.blobs.add(ref.sha256)
        return ref.to_json()

    def _check_address(self, url: str, place: str) -> None:
        """Refuse at once what the server would not fetch; what a name resolves to is seen when it is fetched."""
        if url in self.urls:
            return
        try:
            AddressPolicy.from_lines(self._services.settings.fetch_allow).check_now(url)
        except Problem as problem:
            raise Problem(
                problem.code, f"{place}: {problem.detail}", field=place, expected=problem.expected, hint=problem.hint
            ) from None

    def _local(self, uri: str) -> str | None:
        """The path of a URI of this server; None for an address elsewhere."""
        own = self._services.settings.url
        if uri.startswith(own + "/"):
            uri = uri[len(own) :]
        return uri if uri.startswith("/") else None

    async def _resolve(self, uri: str, place: str) -> FileRef | None:
        if uri not in self._known:
            try:
                self._known[uri] = await resolve_uri(self._services, self._caller, uri)
            except Problem as problem:
                self.errors.append(FieldError(place, problem.detail, problem.expected))
                return None
        return self._known[uri]


def _texts(special: Sequence[InputSpec], sets: Sequence[Mapping[str, Any]]) -> set[str]:
    """What stands in the sets where files may be named."""
    names = [spec.name for spec in special if spec.type is not InputType.SECRET]
    return {value for one in sets for name in names if isinstance(value := one.get(name), str)}


def refuse(errors: list[FieldError]) -> None:
    """Raises Problem ``invalid_input`` with the first fifty errors, if there are any."""
    if errors:
        first = errors[0]
        raise Problem(
            "invalid_input",
            f"{first.field}: {first.detail}" + (f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""),
            field=first.field,
            expected=first.expected,
            errors=errors[:MAX_ERRORS],
        )
