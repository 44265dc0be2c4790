"""The ways to sign in beside local accounts, as the settings have them."""

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sirdar.services.settings import InvalidSettings, Settings

if TYPE_CHECKING:
    from sirdar.services.outside.ldap import Directory
    from sirdar.services.outside.oidc import OidcProvider


@dataclass(frozen=True, slots=True)
class Ways:
    """None: not configured."""

    oidc: "OidcProvider | None" = None
    ldap: "Directory | None" = None

    @classmethod
    def of(cls, settings: Settings) -> "Ways":
        """Raises InvalidSettings where a setting is wrong, or the extra with the libraries is missing."""
        return cls(
            oidc=_made("oidc", "OidcProvider", settings) if settings.oidc_issuer else None,
            ldap=_made("ldap", "Directory", settings) if settings.ldap_url else None,
        )


def _made(module: str, name: str, settings: Settings) -> Any:
    """Loaded only where it is configured, for its libraries stand in an extra."""
    try:
        loaded = importlib.import_module(f"sirdar.services.outside.{module}")
    except ModuleNotFoundError as error:
        raise InvalidSettings(
            f"SIRDAR_{module.upper()}_* are set, and {error.name} is missing: pip install 'sirdar[sso]'"
        ) from error
    try:
        return getattr(loaded, name)(settings)
    except ValueError as error:
        raise InvalidSettings(str(error)) from error
