"""What becomes of pilots in Slurm's queue when the agent comes back in a mode that has none."""

import asyncio
from pathlib import Path

from sirdar.agent.events import get_logger
from sirdar.agent.executors.slurm.commands import CommandFailed, Commands
from sirdar.agent.executors.slurm.options import NAME_PREFIX, PILOT_NAME
from sirdar.agent.executors.slurm.pilot_folders import PilotFolders

log = get_logger(__name__)

AGAIN_LEAST_S, AGAIN_MOST_S = 1.0, 60.0


async def leave_pilots(home: Path, python: str, commands: Commands) -> None:
    """Takes those out of the queue that have not begun; tries until Slurm answers. Those that run end by themselves."""
    folders = PilotFolders(home, python)
    try:
        left = await asyncio.to_thread(_not_begun, folders)
    except OSError as error:  # they wait on, and whoever runs the cluster can see them
        log.warning("pilots_unreadable", error=str(error))
        return
    rest_s = AGAIN_LEAST_S
    while left:
        try:
            await commands.cancel([job for job in left.values() if job])
            for name in [name for name, job in left.items() if not job]:  # nobody noted whether Slurm has it
                await commands.cancel_named(f"{NAME_PREFIX}{PILOT_NAME}{name}")
        except CommandFailed as error:
            log.warning("pilots_not_cancelled", pilots=sorted(left), error=str(error))
            await asyncio.sleep(rest_s)
            rest_s = min(AGAIN_MOST_S, 2 * rest_s)
            continue
        log.info("pilots_left", pilots=sorted(left))
        for name in left:
            await asyncio.to_thread(folders.remove, name)
        return


def _not_begun(folders: PilotFolders) -> dict[str, str]:
    """Their jobs by name: no node will run them from now on."""
    if not folders.root.is_dir():
        return {}
    found = folders.load()
    return {name: job for name, (_, job) in found.items() if not folders.is_over(name) and folders.claim(name)}
