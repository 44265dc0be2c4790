"""What the executor knows of each task that it has ordered."""

from collections.abc import Iterable
from dataclasses import dataclass

from sirdar.agent.executors.base import ProgramEnd
from sirdar.agent.executors.slurm.orders import Order
from sirdar.agent.executors.slurm.states import Seen


@dataclass(slots=True)
class Ticket:
    """One task from its order to the agent's word that it is written down.

    ``job``: as the node named it, where a job was given to Slurm twice; ``asked``: what the agent wanted of it;
    ``over``: Slurm's word that its job has ended, heard at ``over_at``; ``record``: how it ended,
    where Slurm is still to say why; ``note``: the last that was told of its waiting; ``silence``: it was told that Slurm
    does not answer. Times are of the monotonic clock, but for ``begun_at``.
    """

    key: str
    order: Order
    index: int
    job: str = ""
    begun_at: float | None = None
    asked: str | None = None
    over: Seen | None = None
    over_at: float = 0.0
    record: ProgramEnd | None = None
    ended: bool = False
    note: str = ""
    silence: bool = False

    def job_id(self) -> str:
        return self.job or self.order.job_of(self.index)

    def runs_in(self, job: str) -> None:
        """The node's word on which job has it. What Slurm said of another's end is nothing to it."""
        if self.over is not None and job and self.over.job != job:
            self.over = None
        self.job = job


class Tickets:
    """By key."""

    def __init__(self) -> None:
        self.by_key: dict[str, Ticket] = {}

    def add(self, order: Order) -> list[Ticket]:
        made = [Ticket(key, order, index) for index, key in enumerate(order.keys)]
        self.by_key.update({ticket.key: ticket for ticket in made})
        return made

    def live(self) -> list[Ticket]:
        return [ticket for ticket in self.by_key.values() if not ticket.ended]

    def known(self, keys: Iterable[str]) -> list[Ticket]:
        return [ticket for key in keys if (ticket := self.by_key.get(key)) is not None]

    def unsure(self) -> list[Order]:
        """Orders of which only Slurm can say whether it has them."""
        return list({ticket.order.name: ticket.order for ticket in self.live() if ticket.order.unsure}.values())
