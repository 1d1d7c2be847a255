"""What a process costs: memory and CPU, read from the kernel.

PSS divides each shared page among the processes that map it, so on a machine where other Python
programs run (this one, to begin with) it comes out too small. `pss_alone` counts only the mappings
of the processes named, as if nothing else ran on the host. Needs root.
"""

from __future__ import annotations

import mmap
import struct
import time
from collections import Counter
from pathlib import Path

PRESENT = 1 << 63
FRAME = (1 << 55) - 1


def pss_alone(pids: list[int]) -> list[float]:
    """PSS in MiB of each process, its pages shared with the others of the list only."""
    frames = [_frames(pid) for pid in pids]
    mapped_by = Counter(frame for own in frames for frame in own)
    return [sum(mmap.PAGESIZE / mapped_by[frame] for frame in own) / 2**20 for own in frames]


def pss_rollup(pid: int) -> float:
    """PSS in MiB as the kernel counts it, shared with everything that runs."""
    for line in Path("/proc", str(pid), "smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"no Pss in smaps_rollup of {pid}")


def cpu_seconds(pid: int) -> float:
    """CPU time of a process with all its threads, exact to the nanosecond.

    The kernel's clock for another process (see clock_getcpuclockid(3)) is finer than the 10 ms of
    utime + stime in /proc, which a follower would hardly reach in half a minute.
    """
    cpu_clock_of_process = (~pid << 3) | 2
    return time.clock_gettime_ns(cpu_clock_of_process) / 1e9


def _frames(pid: int) -> set[int]:
    """The physical frames that a process has mapped."""
    found: set[int] = set()
    place = Path("/proc", str(pid))
    with (place / "pagemap").open("rb", buffering=0) as pagemap:
        for line in (place / "maps").read_text().splitlines():
            span, _, rest = line.partition(" ")
            if rest.endswith("[vsyscall]"):
                continue
            start, end = (int(word, 16) // mmap.PAGESIZE for word in span.split("-"))
            pagemap.seek(8 * start)
            entries = pagemap.read(8 * (end - start))
            for (entry,) in struct.iter_unpack("=Q", entries):
                if entry & PRESENT and entry & FRAME:
                    found.add(entry & FRAME)
    if not found:
        raise RuntimeError(f"no frame of process {pid} can be seen: this needs CAP_SYS_ADMIN")
    return found
