"""The lab's fixtures: a skip names what is missing, and with FTL_LAB=required is a failure."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from lab.cluster import Cluster
from lab.group import Group
from lab.keeper import FAILED, skip_without_machines
from lab.net import missing_prerequisites


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
