"""Whom to tell of a job's end: targets are checked when they are given, so that the giver learns at once what cannot work."""

from collections.abc import Mapping, Sequence
from typing import Any

from sirdar.domain.problems import Problem
from sirdar.services.context import Services
from sirdar.services.notify.mail import check_address
from sirdar.services.outbound.addresses import AddressPolicy


def checked_targets(services: Services, targets: Sequence[Mapping[str, str | None]]) -> list[dict[str, Any]]:
    """Targets as they are stored: ``{webhook, secret?}`` with the secret sealed, or ``{email}``.

    Raises Problem ``invalid_field`` or ``address_not_allowed``. What a host name resolves to is checked at each delivery.
    """
    policy = AddressPolicy.from_lines(services.settings.fetch_allow)
    return [_checked(services, policy, target, f"notify[{number}]") for number, target in enumerate(targets)]


def _checked(services: Services, policy: AddressPolicy, target: Mapping[str, str | None], place: str) -> dict[str, Any]:
    webhook, email, secret = target.get("webhook"), target.get("email"), target.get("secret")
    if (webhook is None) == (email is None):
        raise Problem(
            "invalid_field",
            "A notification goes to a webhook or to an e-mail address.",
            field=place,
            expected="{webhook: URL} or {email: ADDRESS}",
        )
    try:
        if webhook is None:
            address = check_address(email or "")
            if not services.settings.smtp_host:
                detail = "This server sends no e-mail."
                raise Problem("invalid_field", detail, hint="Ask its administrator to set SIRDAR_SMTP_HOST.")
            return {"email": address}
        policy.check_now(webhook)
    except Problem as problem:
        field = f"{place}.{'webhook' if email is None else 'email'}"
        raise Problem(problem.code, problem.detail, field=field, expected=problem.expected, hint=problem.hint) from None
    return {"webhook": webhook, **({"secret": services.keys.seal(secret)} if secret else {})}
