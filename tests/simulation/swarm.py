"""What one seed is made of: sizes, fault rates and features, all drawn from the seed.

Every seed switches most faults and features off: two faults alone find what twenty at once hide.
A failing seed prints this configuration.
"""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass, replace

SITES: dict[str, float] = {
    "client.gives_up": 0.3,
    "client.repeat": 0.1,
    "client.same_request_id": 0.3,
    "commit.full": 0.004,
    "commit.late": 0.02,
    "commit.lost": 0.02,
    "commit.rejected": 0.004,
    "commit.slow": 0.02,
    "commit.unknown": 0.03,
    "lease.unknown": 0.1,
    "link.duplicate": 0.05,
    "link.drop": 0.02,
    "link.slow": 0.05,
    "read.fails": 0.02,
    "task.complete_twice": 0.1,
    "task.fail": 0.1,
    "task.heartbeat_twice": 0.2,
    "task.slow": 0.05,
    "task.stale_completion": 0.2,
    "task.vanish": 0.05,
}
"""Places where something unlikely may happen, with its probability where the seed allows it."""

SITE_ACTIVE_SHARE = 0.3
NEMESES = ("crash", "pause", "partition", "clog", "spike", "full", "jump")
WRONG_CLOCK, POWER_CUT = LATER_NEMESES = ("wrong_clock", "power_cut")
FEATURES = (
    "activities", "attributes", "batches", "cancels", "continue", "eager", "heartbeats", "markers",
    "policies", "queries", "reads", "signal_with_start", "signals", "sticky", "terminates",
    "timers",
)  # fmt: skip
LATER_NEMESIS_SHARE = 0.1
SQLITE_SHARE = 0.1
LATER_FEATURES = ("activity_timeouts", "crons", "deletes", "purge", "retries", "timeouts")
"""Drawn last, so that the seeds without them stay what they were."""

LATEST_FEATURES = ("restricted_starts",)
"""Drawn after even those."""

LATER_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class Swarm:
    """The configuration of one seed."""

    seed: int
    in_order: bool
    node_count: int
    shard_count: int
    namespace_count: int
    client_count: int
    operation_count: int
    workflow_id_count: int
    worker_count: int
    chaos_seconds: float
    nemesis_pause_seconds: float
    skew_seconds_max: float
    drift_max: float
    link_seconds: float
    commit_seconds: float
    nemeses: tuple[str, ...]
    features: tuple[str, ...]
    sites: tuple[str, ...]
    is_on_sqlite: bool = False
    """Whether the cell's rows are in SQLite's files, and not in dictionaries."""

    def __str__(self) -> str:
        return "\n".join(f"  {name} = {value}" for name, value in asdict(self).items())


def draw_swarm(seed: int) -> Swarm:
    """The configuration that `seed` stands for, on every machine."""
    rng = random.Random(f"{seed}/swarm")

    def some(names: tuple[str, ...], share: float) -> tuple[str, ...]:
        return tuple(name for name in names if rng.random() < share)

    calm = rng.random() < 0.1
    drawn = Swarm(
        seed=seed,
        in_order=rng.random() < 0.2,
        node_count=3,
        shard_count=rng.choice((2, 4, 8)),
        namespace_count=rng.choice((1, 2)),
        client_count=rng.randint(2, 4),
        operation_count=rng.randint(6, 14),
        workflow_id_count=rng.randint(2, 6),
        worker_count=rng.randint(1, 3),
        chaos_seconds=rng.uniform(10, 40),
        nemesis_pause_seconds=rng.uniform(0.5, 5),
        skew_seconds_max=rng.choice((0.0, 0.05, 0.5)),
        drift_max=rng.choice((0.0, 0.0005)),
        link_seconds=rng.choice((0.0005, 0.002, 0.02)),
        commit_seconds=rng.choice((0.0005, 0.002, 0.01)),
        nemeses=() if calm else some(NEMESES, 0.5),
        features=some(FEATURES, 0.6),
        sites=() if calm else some(tuple(SITES), SITE_ACTIVE_SHARE),
    )
    drawn = replace(
        drawn,
        features=drawn.features + some(LATER_FEATURES, LATER_SHARE),
        nemeses=drawn.nemeses + (() if calm else some(LATER_NEMESES, LATER_NEMESIS_SHARE)),
        is_on_sqlite=rng.random() < SQLITE_SHARE,
    )
    return replace(drawn, features=drawn.features + some(LATEST_FEATURES, LATER_SHARE))


class Buggify:
    """Decides at each named site whether the unlikely happens now.

    `calm` ends it all: after the chaos nothing unlikely happens any more. `counts` holds how
    often each site fired.
    """

    def __init__(self, swarm: Swarm) -> None:
        self._rng = random.Random(f"{swarm.seed}/buggify")
        self._active = {site: SITES[site] for site in swarm.sites}
        self.counts: dict[str, int] = {}

    def __call__(self, site: str) -> bool:
        assert site in SITES, f"{site} is not listed in SITES"
        if self._rng.random() >= self._active.get(site, 0.0):
            return False
        self.counts[site] = self.counts.get(site, 0) + 1
        return True

    @property
    def is_active(self) -> bool:
        return bool(self._active)

    def calm(self) -> None:
        self._active.clear()
