"""An application's secrets: sealed by the server's key before they reach the database, and never shown again."""

from collections.abc import Collection, Mapping

from sirdar.domain.names import ENV_NAME, is_platform_env, is_text
from sirdar.domain.people import Caller
from sirdar.domain.problems import Problem
from sirdar.services import audit
from sirdar.services.apps import change
from sirdar.services.context import Services
from sirdar.store import app_rights
from sirdar.store.apps import AppRecord
from sirdar.store.engine import Tx
from sirdar.store.people import Conn

MAX_SECRET_BYTES = 64 * 1024
MAX_SECRETS = 100


async def put_secret(services: Services, caller: Caller, reference: str, name: str, value: str) -> None:
    """Keep a secret under a name; one that stands there is replaced."""
    cipher = seal(services, name, value)

    def put(tx: Tx, app: AppRecord) -> None:
        put_sealed(tx, caller, app, {name: cipher})

    await change(services, caller, reference, put)


async def remove_secret(services: Services, caller: Caller, reference: str, name: str) -> None:
    """Raises Problem ``not_found`` where there is none of that name."""

    def remove(tx: Tx, app: AppRecord) -> None:
        if not app_rights.remove_secret(tx, app.id, name):
            raise Problem("not_found", f"{app.reference} has no secret {name[:80]!r}.", field="name")
        audit.record(tx, caller, "app.unset_secret", f"app:{app.reference}", name=name)

    await change(services, caller, reference, remove)


def open_secrets(services: Services, conn: Conn, app_id: str, names: Collection[str] | None = None) -> dict[str, str]:
    """The secrets in clear, for an agent's offer or a git server; ``names`` None: all. Missing ones are left out."""
    sealed = app_rights.get_secrets(conn, app_id)
    return {name: services.keys.unseal(text) for name, text in sealed.items() if names is None or name in names}


def seal(services: Services, name: str, value: str) -> str:
    """The cipher of a value that may be kept under that name. No error names the value."""
    check_name(name)
    if "\0" in value or not is_text(value):
        raise Problem("invalid_field", f"The value of {name} is not text.", field="value", expected="text without NUL")
    if len(value.encode()) > MAX_SECRET_BYTES:
        limit = f"at most {MAX_SECRET_BYTES} bytes"
        raise Problem("too_large", f"The value of {name} is too long.", field="value", expected=limit)
    return services.keys.seal(value)


def check_name(name: str) -> None:
    """A secret reaches the program as an environment variable, so its name is one, and none that the platform sets."""
    if not ENV_NAME.fullmatch(name) or is_platform_env(name):
        raise Problem(
            "invalid_field",
            f"{name[:80]!a} cannot be the name of a secret.",
            field="name",
            expected="the name of an environment variable, as in API_KEY, that Sirdar does not set itself",
        )


def put_sealed(tx: Tx, caller: Caller, app: AppRecord, ciphers: Mapping[str, str]) -> None:
    """Write sealed secrets in a transaction that may do more, as publishing does."""
    for name, cipher in ciphers.items():
        app_rights.put_secret(tx, app.id, name, cipher)
        audit.record(tx, caller, "app.set_secret", f"app:{app.reference}", name=name)
    if len(app_rights.secret_names(tx.conn, app.id)) > MAX_SECRETS:
        raise Problem("too_large", f"{app.reference} would have more than {MAX_SECRETS} secrets.")
