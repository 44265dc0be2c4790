"""New ids from the system's source of chance."""

import secrets

from sirdar.domain.ids import ID_BYTES, encode_id


def new_id() -> str:
    """16 characters, 80 bits of chance: cannot be guessed."""
    return encode_id(secrets.token_bytes(ID_BYTES))
