"""The lab's fixtures: a skip names what is missing, and with FTL_LAB=required is a failure."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from lab.cluster import Cluster
from lab.group import Group
from lab.net import missing_prerequisites
from lab.rootfs import missing_for_machines

FAILED = pytest.StashKey[bool]()


@pytest.fixture(name="build")
def fixture_build() -> Iterator[Callable[..., Group]]:
    """Build a group and see to its end: ``group = build(5, quorum=True)``."""
    missing = missing_prerequisites()
    if missing:
        pytest.skip(missing)
    with ExitStack() as groups:

        def build(*args: Any, **settings: Any) -> Group:
            group = groups.enter_context(Group(*args, **settings))
            groups.callback(lambda: print(group.describe()))  # pytest shows it with a failure
            return group

        yield build


@pytest.fixture(name="boot")
def fixture_boot() -> Iterator[Callable[..., Cluster]]:
    """Boot machines and see to their end: ``cluster = boot([Plan("svc")])``."""
    skip_without_machines()
    with ExitStack() as clusters:

        def boot(*args: Any, **settings: Any) -> Cluster:
            cluster = clusters.enter_context(Cluster(*args, **settings))
            clusters.callback(lambda: print(cluster.describe()))
            return cluster

        yield boot


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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    if (
        report.skipped
        and os.environ.get("FTL_LAB") == "required"
        and not hasattr(report, "wasxfail")
    ):
        report.outcome = "failed"
    return report
