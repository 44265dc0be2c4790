"""Settings of the server. Every period is one, so that tests scale them down; each can be set as ``SIRDAR_<NAME>``."""

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sirdar.store.opening import driver_url

DATABASE_FILE = "database.url"  # in a home: the address of the database that holds its rows, where that is not SQLite


class InvalidSettings(ValueError):
    """A setting is wrong; the text names its variable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Names end in their unit: ``_s`` seconds, ``_bytes`` bytes."""

    home: Path  # the directory that holds everything: database, blobs, keys, agent
    database: str = ""  # URL; empty: SQLite in the home
    blobs: str = ""  # s3://BUCKET/PREFIX; empty: the directory blobs in the home
    s3_endpoint: str = ""  # URL of an S3 service that is not Amazon's; credentials come from AWS_* variables
    s3_region: str = ""
    s3_agent_endpoint: str = ""  # the same service as agents reach it; empty: s3_endpoint
    s3_direct: bool = True  # agents transfer large blobs to and from the S3 service itself, by signed addresses
    s3_address_s: float = 3600.0  # for how long such an address holds
    host: str = "127.0.0.1"
    port: int = 8200
    public_url: str = ""  # as users see it; empty: http://host:port
    insecure: bool = False  # allow bearer tokens over plain HTTP beyond loopback

    heartbeat_s: float = 15.0
    lease_s: float = 60.0
    accept_s: float = 30.0  # an offer that is not accepted by then returns to the queue
    lost_after_s: float = 600.0  # an unreachable agent's attempts are replaced after this
    claim_wait_s: float = 50.0  # the longest that an agent's call is held
    open_s: float = 60.0  # an open job to which nobody adds tasks for so long is closed
    expire_every_s: float = 5.0  # how often leases and offers are looked at
    move_every_s: float = 2.0  # how often it is looked whether accepted work should move to a free slot elsewhere
    move_after_s: float = 2.0  # what was accepted more recently does not move: it may be about to start
    retry_base_s: float = 2.0  # a task's second try after a fault of the platform waits this, doubled each time
    retry_max_s: float = 300.0

    attempt_token_grace_s: float = 30.0  # an ended attempt's token may still read its job
    login_link_s: float = 900.0
    join_token_s: float = 900.0
    session_s: float = 7 * 86400.0  # a sign-in in the browser
    token_s: float = 7 * 86400.0  # default lifetime of a token
    agent_token_s: float = 3600.0
    agent_restart_s: float = 0.5  # the embedded agent is started again this long after its death, doubled each time
    agent_restart_max_s: float = 30.0
    agent_evict_s: float = 10.0  # an agent that outlived its ``sirdar up`` has this long to leave the home
    stream_look_s: float = 15.0  # how often an event stream or held call looks whether its watcher may still see it
    idempotency_s: float = 86400.0
    temp_file_s: float = 7 * 86400.0  # temporary uploads
    upload_s: float = 2 * 86400.0  # unfinished uploads
    blob_grace_s: float = 3600.0  # an unnamed blob is collected after this
    retention_s: float | None = None  # ended jobs are removed after this; None: kept
    sweep_every_s: float = 300.0  # how often what has expired is removed

    body_bytes: int = 16 * 2**20  # largest JSON body
    file_bytes: int = 100 * 2**30  # largest single file
    publish_bytes: int = 2 * 2**30  # largest application, all files together
    publish_files: int = 20_000
    foreach_items: int = 1_000_000
    # OTHER=OWNER/ALIAS: names, or Everest's ids, by which programs know an application
    app_aliases: tuple[str, ...] = (
        "vladimirv/SSOP=sirdar/solve-set-opt-probs",
        "vladimirv/solve-set-opt-probs=sirdar/solve-set-opt-probs",
        "530f36d73d00002d04548b0e=sirdar/parameter-sweep",
    )
    log_bytes: int = 32 * 2**20  # of the beginning of one stream while it runs; besides, its newest 4 to 8 MiB
    quota_jobs: int = 10_000  # jobs in flight per user
    quota_bytes: int = 500 * 2**30
    user_streams: int = 256  # event streams that a user has open at one server: pages, programs that follow jobs
    fetch_bytes: int = 10 * 2**30  # a file given by address
    fetch_s: float = 600.0
    fetch_allow: tuple[str, ...] = ()  # networks and hosts beyond the public ones that inputs and webhooks may reach
    git_schemes: tuple[str, ...] = ("https", "http", "ssh")

    metrics_token: str = ""  # what may read /metrics, besides administrators; empty: programs on this machine too
    log_level: str = "info"  # debug, info, warning or error; debug tells of every call, submission and end
    log_file: str = ""  # empty: server.log in the home; - is standard error

    smtp_host: str = ""
    smtp_port: int = 25
    smtp_user: str = ""
    smtp_password: str = ""
    smtp_tls: str = "auto"  # auto, starttls, tls or none
    mail_from: str = "sirdar@localhost"

    oidc_issuer: str = ""  # address of an OpenID Connect provider; empty: none
    oidc_client_id: str = ""
    oidc_client_secret: str = ""  # empty: a public client
    oidc_title: str = "Single sign-on"  # what the sign-in page calls it
    oidc_scopes: str = "openid profile email"
    oidc_name_claim: str = "preferred_username"  # what a new account is named after
    oidc_groups_claim: str = "groups"  # dots lead into objects: realm_access.roles
    oidc_groups: str = ""  # outside = inside; ..  of groups; * takes each as it is named
    oidc_admins: str = ""  # outside groups, joined by ;, whose members are the administrators among its users
    oidc_allow: str = ""  # outside groups, joined by ;, of which a user must be in one; empty: all may sign in

    ldap_url: str = ""  # ldaps://host, or ldap://host, which is secured by StartTLS; empty: none
    ldap_plain: bool = False  # allow ldap:// without TLS
    ldap_ca_file: str = ""  # authorities for the directory's certificate; empty: the system's
    ldap_title: str = "Directory"  # what the sign-in page calls it
    ldap_bind_dn: str = ""  # who searches; empty: anonymous
    ldap_bind_password: str = ""
    ldap_base: str = ""  # where people are searched
    ldap_filter: str = "(uid={name})"  # {name}: what was typed, escaped
    ldap_id_attribute: str = "entryUUID"  # what tells people apart for good; objectGUID in Active Directory
    ldap_name_attribute: str = "uid"  # what a new account is named after
    ldap_email_attribute: str = "mail"
    ldap_group_base: str = ""  # where groups are searched; empty: nowhere
    ldap_group_filter: str = "(|(member={dn})(uniqueMember={dn})(memberUid={name}))"
    ldap_group_attribute: str = "cn"
    ldap_groups: str = ""  # as oidc_groups
    ldap_admins: str = ""  # as oidc_admins
    ldap_allow: str = ""  # as oidc_allow

    outside_s: float = (
        30 * 86400.0
    )  # users from outside sign in anew after this, also those with tokens that live longer
    outside_call_s: float = 10.0  # how long the provider or directory has for each answer

    @property
    def database_url(self) -> str:
        return driver_url(self.database) if self.database else f"sqlite:///{self.home / 'sirdar.db'}"

    @property
    def url(self) -> str:
        return self.public_url.rstrip("/") or f"http://{self.host}:{self.port}"


def from_environment(home: Path, environment: Mapping[str, str] = os.environ, **given: object) -> Settings:
    """Settings of a home: what is given, over ``SIRDAR_*`` variables, over the home's own mark, over the defaults.

    Raises InvalidSettings.
    """
    values: dict[str, object] = {}
    for field in dataclasses.fields(Settings):
        text = environment.get(f"SIRDAR_{field.name.upper()}")
        if text is not None and field.name != "home":
            values[field.name] = _convert(field.name, str(field.type), text)
    if not values.get("database") and (kept := kept_database(home)):
        values["database"] = kept
    return Settings(home=home, **{**values, **{k: v for k, v in given.items() if v is not None}})  # type: ignore[arg-type]


def kept_database(home: Path) -> str:
    """The address of the database that a home was moved to; empty where it was not."""
    path = home / DATABASE_FILE
    return path.read_text().strip() if path.exists() else ""


def _convert(name: str, kind: str, text: str) -> object:
    try:
        if "tuple" in kind:
            return tuple(text.replace(",", " ").split())
        if "bool" in kind:
            return text.lower() in {"1", "true", "yes", "on"}
        if "float" in kind:
            return None if text.lower() == "none" else float(text)
        return int(text) if "int" in kind else text
    except ValueError:
        raise InvalidSettings(f"SIRDAR_{name.upper()}={text!r} is not of type {kind}") from None
