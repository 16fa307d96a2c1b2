"""What the machine did during a window, and under which conditions it did it."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
CORES = os.cpu_count() or 1


def busy_seconds(stat_line: str) -> float:
    """Busy time of the whole machine, from the first line of /proc/stat.

    Idle and waiting for a disk are not busy; time the hypervisor took away is.
    """
    user, nice, system, _idle, _wait, irq, softirq, steal = map(int, stat_line.split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND


@dataclass(frozen=True)
class CpuTimes:
    """One line of /proc/PID/stat; the CPU time includes children that ended.

    What `gives_way` runs only where nothing else wants to.
    """

    parent: int
    cpu_seconds: float
    gives_way: bool = False

    @classmethod
    def parse(cls, stat_line: str) -> CpuTimes:
        # The command's name stands in brackets and may hold spaces and brackets itself.
        fields = stat_line.rpartition(")")[2].split()
        seconds = sum(map(int, fields[11:15])) / TICKS_PER_SECOND
        return cls(int(fields[1]), seconds, int(fields[38]) == os.SCHED_IDLE)


def seconds_left_over(processes: dict[int, CpuTimes]) -> float:
    """CPU time of those that give way: it was there for everybody else."""
    return sum(times.cpu_seconds for times in processes.values() if times.gives_way)


def tree_seconds(processes: dict[int, CpuTimes], root: int) -> float:
    """CPU time of a process and of everything below it that does not give way."""
    children: dict[int, list[int]] = {}
    for pid, times in processes.items():
        children.setdefault(times.parent, []).append(pid)
    total, todo = 0.0, [root]
    while todo:
        pid = todo.pop()
        if pid in processes and not processes[pid].gives_way:
            total += processes[pid].cpu_seconds
        todo += children.get(pid, [])
    return total


def processes() -> dict[int, CpuTimes]:
    """All that run now, by id."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found[int(entry.name)] = CpuTimes.parse((entry / "stat").read_text())
            except OSError:  # It ended while we looked.
                continue
    return found


@dataclass(frozen=True)
class Reading:
    """The clocks of the machine, of a server's trees and of all that is ours, at one moment."""

    at: float
    machine: float
    server: float
    ours: float

    @classmethod
    def take(cls, *server_pids: int) -> Reading:
        busy = busy_seconds(Path("/proc/stat").read_text().partition("\n")[0])
        running = processes()
        return cls(
            at=time.perf_counter(),
            machine=busy - seconds_left_over(running),
            server=sum(tree_seconds(running, pid) for pid in server_pids),
            ours=tree_seconds(running, os.getpid()),
        )


def foreign_share(before: Reading, after: Reading) -> float:
    """The part of the whole machine that processes not ours used between two readings."""
    foreign = (after.machine - before.machine) - (after.ours - before.ours)
    return max(0.0, foreign / (after.at - before.at) / CORES)


def filesystem_of(path: Path, mounts: str) -> str:
    """The file system type a path lies on, from the text of /proc/mounts."""
    best, kind = "", "unknown"
    for line in mounts.splitlines():
        _device, point, name, *_ = line.split()
        if path.resolve().is_relative_to(point) and len(point) >= len(best):
            best, kind = point, name
    return kind


def conditions(data: Path) -> dict[str, str | int]:
    """What a reader must know to compare figures."""
    try:
        revision = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parent,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        revision = "unknown"
    return {
        "cores": CORES,
        "awake": seconds_left_over(processes()) > 0,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "filesystem": filesystem_of(data, Path("/proc/mounts").read_text()),
        "floor_fsync": "SQLite WAL, synchronous=FULL",
        "commit": revision,
    }
