"""Whose defect a stray exception is: ours, which ends the agent, or a library's, to be logged."""

from __future__ import annotations

from types import TracebackType

_BORDERS = ("/followtheleader/net/", "/followtheleader/host/sockets.py")
"""Where libraries and clients end."""


def is_ours(trace: TracebackType | None) -> bool:
    """Does a frame belong to this package, and not only to where libraries and clients end?"""
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if "/followtheleader/" in name and not any(place in name for place in _BORDERS):
            return True
        trace = trace.tb_next
    return False
