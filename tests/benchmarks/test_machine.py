"""Reading the machine's own accounts of its time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.awake import kept_awake
from benchmarks.machine import (
    CORES,
    TICKS_PER_SECOND,
    CpuTimes,
    Reading,
    busy_seconds,
    filesystem_of,
    foreign_share,
    processes,
    seconds_left_over,
    tree_seconds,
)


def stat_line(policy: int) -> str:
    """Of a process whose name has a bracket, as proc(5) has it: the policy is its 41st field."""
    told = "77 (a) b) S 7 1 1 0 -1 0 0 0 0 0 100 20 3 4 20 0 1 0 5"
    return f"{told} {'0 ' * 18}{policy} 0 0"


def test_waiting_is_not_busy_but_stolen_time_is() -> None:
    line = "cpu  1 2 4 1000 1000 8 16 32 64 0"
    assert busy_seconds(line) == pytest.approx(63 / TICKS_PER_SECOND)


def test_a_command_name_with_spaces_and_brackets_shifts_no_field() -> None:
    assert CpuTimes.parse(stat_line(policy=0)) == CpuTimes(7, 127 / TICKS_PER_SECOND)


def test_what_runs_at_idle_priority_gives_way() -> None:
    assert CpuTimes.parse(stat_line(policy=os.SCHED_IDLE)).gives_way


def test_time_that_was_left_over_is_nobodys() -> None:
    times = {1: CpuTimes(0, 1.0), 2: CpuTimes(1, 8.0, gives_way=True), 3: CpuTimes(2, 2.0)}
    assert tree_seconds(times, 1) == 3.0
    assert seconds_left_over(times) == 8.0


def test_cores_are_kept_awake_only_as_long_as_asked_for() -> None:
    before = processes()
    with kept_awake():
        loops = {pid: times for pid, times in processes().items() if times.gives_way}
        assert len(loops.keys() - before.keys()) == len(os.sched_getaffinity(0))
    assert not loops.keys() & processes().keys()


def test_a_tree_holds_children_and_their_children_and_nobody_else() -> None:
    times = {
        1: CpuTimes(0, 100.0),
        2: CpuTimes(1, 1.0),
        3: CpuTimes(2, 2.0),
        4: CpuTimes(3, 4.0),
        5: CpuTimes(1, 50.0),
    }
    assert tree_seconds(times, 2) == 7.0
    assert tree_seconds(times, 99) == 0.0


@pytest.mark.parametrize(("ours", "expected"), [(1.0, 1.0 / CORES), (2.0, 0.0), (2.5, 0.0)])
def test_foreign_is_what_the_machine_did_beyond_us(ours: float, expected: float) -> None:
    before = Reading(at=10.0, machine=0.0, server=0.0, ours=0.0)
    after = Reading(at=11.0, machine=2.0, server=0.0, ours=ours)
    assert foreign_share(before, after) == pytest.approx(expected)


def test_the_file_system_is_that_of_the_innermost_mount() -> None:
    mounts = "overlay / overlay rw 0 0\n/dev/x /data ext4 rw 0 0\ntmpfs /data/tmp tmpfs rw 0 0\n"
    assert filesystem_of(Path("/data/tmp/x"), mounts) == "tmpfs"
    assert filesystem_of(Path("/data/y"), mounts) == "ext4"
    assert filesystem_of(Path("/database"), mounts) == "overlay"
