"""New ids from the system's source of chance."""

import secrets
from collections import deque

from sirdar.domain.ids import ID_BYTES, encode_id

AT_ONCE = 64  # asking the system costs more than all the rest of an id
_spare: deque[bytes] = deque()


def new_id() -> str:
    """16 characters, 80 bits of chance: cannot be guessed."""
    try:
        raw = _spare.pop()
    except IndexError:
        chance = secrets.token_bytes(AT_ONCE * ID_BYTES)
        raw, *more = (chance[first : first + ID_BYTES] for first in range(0, len(chance), ID_BYTES))
        _spare.extend(more)
    return encode_id(raw)
