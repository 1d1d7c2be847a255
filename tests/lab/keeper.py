"""Booted machines that several stories share, and what they need to be there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from lab.cluster import Cluster
from lab.net import missing_prerequisites
from lab.rootfs import missing_for_machines

FAILED = pytest.StashKey[bool]()
"""Set by the lab's conftest: this story, or its preparation, failed."""


def skip_without_machines() -> None:
    missing = missing_prerequisites() or missing_for_machines()
    if missing:
        pytest.skip(missing)


class Keeper:
    """Machines that several stories share; after one that failed the next gets others."""

    def __init__(self, make: Callable[[], Cluster]) -> None:
        skip_without_machines()
        self._make = make
        self._stack = ExitStack()
        self._kept: Cluster | None = None

    def __enter__(self) -> Keeper:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @contextmanager
    def lend(self, request: pytest.FixtureRequest) -> Iterator[Cluster]:
        """The machines, started and settled."""
        if self._kept is None:
            self._kept = self._stack.enter_context(self._make())
            self._kept.start()
        cluster = self._kept
        try:
            yield cluster
        except BaseException:
            self._drop(cluster)
            raise
        if request.node.stash.get(FAILED, False):
            self._drop(cluster)

    def _drop(self, cluster: Cluster) -> None:
        print(cluster.describe())  # pytest shows it with the failure
        self._kept = None
        self._stack.close()
