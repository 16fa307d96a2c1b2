"""The engine's clock: wall time without its jumps."""

from __future__ import annotations

import pytest

from engine.env.system import SLEW_PER_SECOND_MAX, SlewedClock

SECOND = 1_000_000_000
HOUR = 3_600 * SECOND


class Machine:
    """A wall clock that somebody sets, and a monotonic one that nobody can."""

    def __init__(self) -> None:
        self.wall_ns = 1_800_000_000 * SECOND
        self.monotonic_ns = 0
        self.clock = SlewedClock(lambda: self.wall_ns, lambda: self.monotonic_ns)

    def pass_time(self, ns: int) -> int:
        self.wall_ns += ns
        self.monotonic_ns += ns
        return self.clock.now_ns()


def test_without_jumps_it_is_wall_time() -> None:
    machine = Machine()
    for _ in range(100):
        assert machine.pass_time(7 * SECOND) == machine.wall_ns


@pytest.mark.parametrize("jump_ns", [HOUR, -HOUR])
def test_a_jump_of_the_wall_clock_moves_nothing_by_more_than_five_seconds(jump_ns: int) -> None:
    machine = Machine()
    before = machine.pass_time(SECOND)
    machine.wall_ns += jump_ns
    waited = 0
    while waited < 10 * 60 * SECOND:
        waited += SECOND
        now = machine.pass_time(SECOND)
        assert abs((now - before) - waited) <= min(5 * SECOND, waited * SLEW_PER_SECOND_MAX)


def test_it_never_goes_back() -> None:
    machine = Machine()
    last = machine.clock.now_ns()
    for step in range(1_000):
        machine.wall_ns += (-1) ** step * HOUR
        now = machine.pass_time(step % 3 * SECOND)
        assert now >= last
        last = now


def test_it_meets_wall_time_again() -> None:
    machine = Machine()
    machine.wall_ns += SECOND
    machine.pass_time(int(2 * SECOND / SLEW_PER_SECOND_MAX))
    assert machine.pass_time(SECOND) == machine.wall_ns
