"""Processors that are busy with something else."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator


@contextlib.contextmanager
def busy(loops: int) -> Iterator[None]:
    """Run so many endless loops, each as important to the kernel as an agent."""
    processes = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(loops)]
    try:
        yield
        assert all(process.poll() is None for process in processes), "a loop has ended"
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()
