"""Forgets what this server remembers of users, tokens and applications when another server of the database changes them.

Where a notification is lost, what is remembered runs out by itself within seconds (``signin.REMEMBERED_S``, ``app_cache.HEAD_S``).
"""

from sirdar.services import quotas
from sirdar.services.app_cache import cache_of
from sirdar.services.context import Services
from sirdar.store.hints import Hints


def forget_changed(services: Services, hints: Hints) -> None:
    """Called on the event loop with what another server has committed."""
    apps = cache_of(services.store)
    if hints.everything:
        services.auth.forget()
        apps.forget_all()
    for what in hints.rights:
        kind, _, id = what.partition(":")
        if kind == "user":
            services.auth.forget(user_id=id)
            quotas.forget(id)
        elif kind == "token":
            services.auth.forget(token_id=id)
        elif kind == "app":
            apps.forget(id)
        else:
            services.auth.forget()
