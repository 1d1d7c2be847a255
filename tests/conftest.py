"""What every test of the house gets: an end, and the same measure on a slow machine.

A test that hangs fails after LIMIT seconds with the stack it hangs in; lab tests, which run whole
clusters, have a limit of their own.
"""

from __future__ import annotations

import signal
from collections.abc import Generator
from types import FrameType

import hypothesis
import pytest

LIMIT = 60
LAB_LIMIT = 240

# A shared machine is sometimes slow: how long one example takes says nothing about the code.
hypothesis.settings.register_profile("house", deadline=None, print_blob=True)
hypothesis.settings.load_profile("house")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Give each test its time limit."""
    limit = LAB_LIMIT if item.get_closest_marker("lab") else LIMIT

    def too_long(_signum: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"{item.nodeid} took longer than {limit} s")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(limit)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
