"""Settings of the agent: every period, limit and place. Times in seconds, sizes in bytes."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sirdar.agent.executors.slurm.settings import SlurmSettings
from sirdar.agent.policy import Policy


@dataclass(frozen=True, slots=True)
class Settings:
    """All that can be set. ``period_scale`` multiplies the waits of retries and loops; tests scale them down."""

    home: Path
    server: str = ""
    join: str = ""  # single-use token, needed once
    token: str = ""  # resource token: attaches without a key on disk
    name: str = ""
    slots: int = field(default_factory=lambda: os.cpu_count() or 1)
    executor: str = "process"
    labels: Mapping[str, str] = field(default_factory=dict)
    throwaway: bool = False  # the home goes with the agent: its programs end with it
    policy: Policy = field(default_factory=Policy)  # the owner's
    slurm: SlurmSettings = field(default_factory=SlurmSettings)  # where executor is slurm
    period_scale: float = 1.0
    retry_least_s: float = 1.0
    retry_most_s: float = 60.0
    claim_wait_s: float = 25.0
    claim_ahead_s: float = 1.0
    claim_most: int = 256
    heartbeat_s: float | None = None  # None: as the server says
    started_delay_s: float = 0.1
    company_s: float = 0.1  # so long may a final wait for others while the same job has more to start here
    request_timeout_s: float = 30.0
    finals_per_sync: int = 500
    porter_idle_s: float = 600.0
    memory_limit_by: str = "auto"  # auto: control groups where permitted; rlimit: never
    sample_first_s: float = 1.0  # between two looks at what a young task uses
    sample_late_s: float = 5.0  # ... at one that has run for minutes
    sample_most: int = 300  # rows of a curve
    usage_every_s: float = 5.0  # how often the server is told of it
    log_after_s: float = 0.15
    log_early_bytes: int = 16 << 10
    log_flush_bytes: int = 64 << 10
    log_flush_s: float = 0.25
    log_late_flush_s: float = 1.0
    log_young_s: float = 60.0
    log_head_bytes: int = 32 << 20  # of a stream, with the tail: a million lines of usual length are kept whole
    log_tail_bytes: int = 32 << 20
    inline_stream_bytes: int = 16 << 10
    link_over_bytes: int = 1 << 20
    cache_bytes: int = 20 << 30
    uv: str = ""  # its path; without: the one that came with the agent, or that of PATH
    environments_bytes: int = (
        20 << 30
    )  # of environments of packages, with what uv and its like keep to make more of them
    environment_retry_s: float = 60.0  # so long is a failure to make one told to others without another attempt
    environment_build_s: float = 3600.0  # what takes longer is ended
    container_engine: str = "auto"  # podman, docker or apptainer; auto: the first of them that there is
    image_bytes: int = 40 << 30  # of container images that the agent pulled or built itself
    registry: str = ""  # where images that were built are put for other agents, as in registry.example.org/sirdar
    message_poll_s: float = 0.25
    transfers: int = 4
    task_address: str = "127.0.0.1"
    task_port: int = 0
    pass_env: tuple[str, ...] = (
        "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH",
    )  # fmt: skip

    @property
    def batch(self) -> bool:
        """Whether a batch system decides where and when programs run."""
        return self.executor == "slurm"
