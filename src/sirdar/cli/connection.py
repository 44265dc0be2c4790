"""The client, imported quickly.

httpx imports the libraries of its own command line (click, rich, pygments) where they happen to be installed: a quarter
of a second that every command would pay. They are hidden from it while it is imported.
"""

import sys
from typing import Any, cast


def _import_httpx() -> None:
    if "httpx" in sys.modules:
        return
    modules = cast("dict[str, Any]", sys.modules)
    hidden = modules.pop("click", None)
    modules["click"] = None  # then `import click` raises ImportError, which httpx expects
    try:
        import httpx  # noqa: F401
    finally:
        del modules["click"]
        if hidden is not None:
            modules["click"] = hidden


_import_httpx()

from sirdar.client.client import Client, connect  # noqa: E402  (after httpx)

__all__ = ["Client", "connect"]
