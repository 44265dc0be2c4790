"""Another release of Sirdar: a copy of this one that says so, has a newer schema, or speaks a newer protocol."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import sirdar

# What a later release might add to everything that is said and written down: (file, text, what stands there then).
NEWER = (
    ("wire/agent.py", "PROTOCOL_VERSIONS = (1,)", "PROTOCOL_VERSIONS = (1, 2)"),
    ("agent/link.py", "raw = request.model_dump_json(exclude_defaults=True).encode()",
     "raw = request.model_dump_json(exclude_defaults=True).encode().replace(b'{', b'{\"novelty\":[1],', 1)"),
    ("api/agent.py", 'Response(to_json(value), media_type="application/json")',
     'Response(to_json(value).replace(b\'{"\', b\'{"novelty":{},"\', 1), media_type="application/json")'),
    ("agent/journal.py", "raw = encode(records)", 'raw = encode([{"t": "novelty", "d": 1}, *records])'),
    ("agent/executors/process.py", "self._writer.write(_to_json(message).encode()",
     'self._writer.write(b\'{"op":"novelty"}\\n\' + _to_json({"novelty": 1, **message}).encode()'),
    ("agent/porter/server.py", '"ev": "state",\n', '"ev": "state", "novelty": 1,\n'),
    ("agent/porter/facts_log.py", "self._write(_lines(records))",
     'self._write(_lines([{"r": "novelty", "ids": []}, *records]))'),
)  # fmt: skip
MIGRATION = '''"""A table and a column that this release does not know."""

import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "{revision}", "{before}", None, None


def upgrade() -> None:
    op.create_table("novelty_{revision}", sa.Column("id", sa.Text(), primary_key=True))
    op.add_column("tasks", sa.Column("novelty_{revision}", sa.Text(), nullable=True))
    op.add_column("attempts", sa.Column("novelty_{revision}", sa.Integer(), nullable=False, server_default="1"))
'''


@dataclass(slots=True)
class Release:
    """The tree from which processes with this environment import Sirdar."""

    root: Path
    version: str

    @classmethod
    def copy(cls, root: Path, version: str, *, newer: bool = False) -> "Release":
        """``newer``: with fields, records and a protocol that this release does not know."""
        skipped = shutil.ignore_patterns("__pycache__")
        shutil.copytree(Path(sirdar.__file__).parent, root / "sirdar", ignore=skipped)
        made = cls(root, version)
        made._change("__init__.py", f'__version__ = "{sirdar.__version__}"', f'__version__ = "{version}"')
        for path, before, after in NEWER if newer else ():
            made._change(path, before, after)
        return made

    @property
    def environment(self) -> dict[str, str]:
        return {"PYTHONPATH": str(self.root), "PYTHONDONTWRITEBYTECODE": "1"}

    def speak(self, protocols: tuple[int, ...]) -> None:
        """The protocols that it knows."""
        self._change("wire/agent.py", "PROTOCOL_VERSIONS = (1,)", f"PROTOCOL_VERSIONS = {protocols}")

    def add_migration(self) -> str:
        """One more revision of the schema, on top of the last one; its name."""
        schema = (self.root / "sirdar/store/schema.py").read_text()
        found = re.search(r'^HEAD = "(\d+)"', schema, re.MULTILINE)
        assert found is not None
        before, revision = found[1], f"{int(found[1]) + 1:04}"
        versions = self.root / "sirdar/store/migrations/versions"
        (versions / f"{revision}_novelty.py").write_text(MIGRATION.format(revision=revision, before=before))
        self._change("store/schema.py", f'HEAD = "{before}"', f'HEAD = "{revision}"')
        return revision

    def _change(self, path: str, before: str, after: str) -> None:
        file = self.root / "sirdar" / path
        text = file.read_text()
        assert text.count(before) == 1, f"{path} does not have {before!r} once"
        file.write_text(text.replace(before, after))
