"""What every use case may need, built once by the server and handed to routers, pages and loops."""

from dataclasses import dataclass, field

from sirdar.blobs.base import BlobStore
from sirdar.blobs.logs import LogStore
from sirdar.services.combining import Combining
from sirdar.services.hub import Hub
from sirdar.services.keys import Keys
from sirdar.services.open_streams import OpenStreams
from sirdar.services.settings import Settings
from sirdar.services.signin import Authenticator
from sirdar.store.engine import Store


@dataclass(frozen=True, slots=True)
class Services:
    settings: Settings
    store: Store
    keys: Keys
    hub: Hub
    blobs: BlobStore
    auth: Authenticator
    logs: LogStore
    streams: OpenStreams = field(default_factory=OpenStreams)
    combining: Combining = field(default_factory=Combining)
