"""What every use case may need, built once by the server and handed to routers, pages and loops."""

from dataclasses import dataclass

from sirdar.blobs.local import LocalBlobs
from sirdar.blobs.logs import LogStore
from sirdar.services.hub import Hub
from sirdar.services.keys import Keys
from sirdar.services.settings import Settings
from sirdar.services.signin import Authenticator
from sirdar.store.engine import Store


@dataclass(frozen=True, slots=True)
class Services:
    settings: Settings
    store: Store
    keys: Keys
    hub: Hub
    blobs: LocalBlobs
    auth: Authenticator
    logs: LogStore
