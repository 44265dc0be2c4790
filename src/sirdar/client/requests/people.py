"""Sign-in, tokens, users, groups, resources."""

from collections.abc import Sequence
from typing import Any

from sirdar.client.exchange import Request
from sirdar.client.requests.address import params, piece, without_none


def sign_in(username: str, password: str, label: str, lifetime_s: int | None = None, way: str | None = None) -> Request:
    body = {"username": username, "password": password, "label": label, "lifetime": lifetime_s, "way": way}
    return Request("POST", "/api/auth/access_token", json=without_none(body))


def ways() -> Request:
    return Request("GET", "/api/auth/ways")


def redeem_grant(code: str, secret: str) -> Request:
    return Request("POST", "/api/auth/grant", json={"code": code, "secret": secret})


def token_in_use() -> Request:
    return Request("GET", "/api/auth/access_token")


def sign_out() -> Request:
    return Request("DELETE", "/api/auth/access_token")


def me() -> Request:
    return Request("GET", "/api/me")


def tokens() -> Request:
    return Request("GET", "/api/tokens")


def create_token(label: str, lifetime_s: int | None = None, scopes: Sequence[str] | None = None) -> Request:
    body = {"label": label, "lifetime": lifetime_s, "scopes": list(scopes) if scopes else None}
    return Request("POST", "/api/tokens", json=without_none(body))


def revoke_token(token_id: str) -> Request:
    return Request("DELETE", f"/api/tokens/{piece(token_id)}")


def users(limit: int | None = None) -> Request:
    return Request("GET", "/api/users", params({"limit": limit}))


def user(name: str) -> Request:
    return Request("GET", f"/api/users/{piece(name)}")


def create_user(name: str, settings: dict[str, Any]) -> Request:
    return Request("POST", "/api/users", json={"name": name, **without_none(settings)})


def change_user(name: str, settings: dict[str, Any]) -> Request:
    """What is None stays as it is; but ``retentionS`` None means the server's setting again."""
    body = without_none(settings) | {key: None for key in ("retentionS",) if settings.get(key, 0) is None}
    return Request("PATCH", f"/api/users/{piece(name)}", json=body, repeatable=True)


def login_link(name: str) -> Request:
    return Request("POST", f"/api/users/{piece(name)}/login-link")


def groups() -> Request:
    return Request("GET", "/api/groups")


def group(name: str) -> Request:
    return Request("GET", f"/api/groups/{piece(name)}")


def create_group(name: str) -> Request:
    return Request("POST", "/api/groups", json={"name": name})


def delete_group(name: str) -> Request:
    return Request("DELETE", f"/api/groups/{piece(name)}")


def add_member(group_name: str, user_name: str) -> Request:
    return Request("PUT", f"/api/groups/{piece(group_name)}/members/{piece(user_name)}", json={})


def remove_member(group_name: str, user_name: str) -> Request:
    return Request("DELETE", f"/api/groups/{piece(group_name)}/members/{piece(user_name)}")


def resources() -> Request:
    return Request("GET", "/api/resources")


def resource(ref: str) -> Request:
    return Request("GET", f"/api/resources/{piece(ref)}")


def create_resource(name: str, lost_after_s: float | None = None) -> Request:
    return Request("POST", "/api/resources", json=without_none({"name": name, "lostAfterS": lost_after_s}))


def change_resource(ref: str, changes: dict[str, Any]) -> Request:
    return Request("PATCH", f"/api/resources/{piece(ref)}", json=without_none(changes), repeatable=True)


def join_resource(ref: str) -> Request:
    return Request("POST", f"/api/resources/{piece(ref)}/join")


def revoke_resource(ref: str) -> Request:
    return Request("POST", f"/api/resources/{piece(ref)}/revoke")


def delete_resource(ref: str) -> Request:
    return Request("DELETE", f"/api/resources/{piece(ref)}")


def resource_tokens(ref: str) -> Request:
    return Request("GET", f"/api/resources/{piece(ref)}/tokens")


def create_resource_token(ref: str, label: str | None = None, lifetime_s: float | None = None) -> Request:
    body = without_none({"label": label, "lifetime": lifetime_s})
    return Request("POST", f"/api/resources/{piece(ref)}/tokens", json=body)


def revoke_resource_token(ref: str, token_id: str) -> Request:
    return Request("DELETE", f"/api/resources/{piece(ref)}/tokens/{piece(token_id)}")


def resource_shares(ref: str) -> Request:
    return Request("GET", f"/api/resources/{piece(ref)}/share")


def share_resource(ref: str, subject: str) -> Request:
    return Request("PUT", f"/api/resources/{piece(ref)}/share/{piece(subject)}", json={})


def unshare_resource(ref: str, subject: str) -> Request:
    return Request("DELETE", f"/api/resources/{piece(ref)}/share/{piece(subject)}")


def health() -> Request:
    return Request("GET", "/healthz", timeout_s=10.0)
