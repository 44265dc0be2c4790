"""Turns an object of JSON into arguments, one a line: python3 to_arguments.py inputs.json parameters

``{"gap": 0.01, "quiet": true, "weeks": null}`` gives ``--gap=0.01`` and ``--quiet``: true is an option without a value,
false and null are none.
"""

import json
import sys
from pathlib import Path


def argument(name: str, value: object) -> str | None:
    option = "--" + name.replace("_", "-")
    if value is None or value is False:
        return None
    if value is True:
        return option
    if isinstance(value, (dict, list)):
        sys.exit(f"parameters: {name} shall be a number, a text, true or false, and not {json.dumps(value)}")
    text = f"{option}={value}"
    return text if text.isprintable() else sys.exit(f"parameters: {name} holds a character that cannot be printed")


file, key = sys.argv[1:]
given = json.loads(Path(file).read_text(encoding="utf-8"))[key]
if not isinstance(given, dict):
    sys.exit(f'parameters: expected an object such as {{"gap": 0.01}}, and not {json.dumps(given)[:80]}')
for word in filter(None, (argument(name, value) for name, value in given.items())):
    print(word)
