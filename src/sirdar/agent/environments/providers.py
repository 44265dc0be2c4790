"""The providers of an agent, packages over one store, so that one bound holds for all that is made of them, images over another."""

from collections.abc import Sequence
from pathlib import Path

from sirdar.agent.environments.base import Provider
from sirdar.agent.environments.conda import CondaEnvironments
from sirdar.agent.environments.image_builds import ImageBuilds, end_forgotten_builds
from sirdar.agent.environments.image_store import ImageStore
from sirdar.agent.environments.images import Images
from sirdar.agent.environments.python import PythonEnvironments
from sirdar.agent.environments.store import EnvironmentStore
from sirdar.agent.environments.uv import find_uv
from sirdar.agent.porter.facts_log import boot_id
from sirdar.agent.settings import Settings

FOLDER = "environments"


def providers(settings: Settings, home: Path, images: ImageStore) -> Sequence[Provider]:
    """Blocks: takes stock of what earlier agents made."""
    store = EnvironmentStore(home / FOLDER, settings.environments_bytes, boot=boot_id())
    end_forgotten_builds(images.folder)
    retry_s = settings.environment_retry_s * settings.period_scale
    return [
        PythonEnvironments(
            store,
            downloads=settings.policy.environments.downloads,
            retry_s=retry_s,
            build_s=settings.environment_build_s,
            find=lambda: settings.uv or find_uv(),
        ),
        CondaEnvironments(store, retry_s=retry_s, build_s=settings.environment_build_s),
        Images(images, retry_s=retry_s),
        ImageBuilds(
            images,
            retry_s=retry_s,
            registry=settings.registry,
            network=settings.policy.isolation.network,
            build_s=settings.environment_build_s,
        ),
    ]
