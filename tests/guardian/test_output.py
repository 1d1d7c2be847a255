"""A hook's output alone: lines, cut and counted."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from followtheleader.guardian.output import BURST, LINES_PER_SECOND, STREAMS_KEPT, Output, Outputs
from guardian.stand import SECOND


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for fd in (reader, writer):
        try:
            os.close(fd)
        except OSError:
            pass


def test_lines_arrive_as_they_are_completed(pipe: tuple[int, int]) -> None:
    output = Output(pipe[0], 1, "leader", "/h", 0)
    os.write(pipe[1], b"one\r\ntw")
    assert output.read(0, True) == ["one"]
    assert output.read(0, True) == []
    os.write(pipe[1], b"o\n\xff\n")
    assert output.read(0, True) == ["two", "\ufffd"]
    os.write(pipe[1], b"rest")
    os.close(pipe[1])
    assert output.read(0, True) == []
    assert output.read(0, True) == ["rest"]
    assert output.closed


def test_a_flood_is_counted_and_slowed_down(pipe: tuple[int, int]) -> None:
    output = Output(pipe[0], 1, "leader", "/h", 0)
    os.write(pipe[1], b"x\n" * (BURST + 100))
    assert len(output.read(0, True)) == BURST
    assert output.resume_at > 0
    os.write(pipe[1], b"y\n" * 3)
    assert output.read(SECOND, True) == ["… 100 lines dropped", "y", "y", "y"]
    os.write(pipe[1], b"z\n" * 2 * LINES_PER_SECOND)
    assert len(output.read(2 * SECOND, True)) >= LINES_PER_SECOND


def test_no_room(pipe: tuple[int, int]) -> None:
    output = Output(pipe[0], 1, "leader", "/h", 0)
    os.write(pipe[1], b"x\n" * 5)
    assert output.read(0, False) == []
    assert output.flush() == ["… 5 lines dropped"]


def test_only_so_many_streams_are_kept() -> None:
    passed: list[str] = []
    outputs = Outputs(lambda output, line: passed.append(line), lambda: True)
    pipes = [os.pipe() for _ in range(STREAMS_KEPT + 1)]
    for reader, _ in pipes:
        outputs.add(Output(reader, 1, "follower", "/h", 0))
    try:
        assert len(outputs.readable(0)) == STREAMS_KEPT
        assert pipes[0][0] not in outputs.readable(0)
        os.write(pipes[1][1], b"still here\n")
        outputs.read(pipes[1][0], 0)
        assert passed == ["still here"]
    finally:
        for reader, writer in pipes:
            os.close(writer)
            outputs.read(reader, 0)
    assert outputs.readable(0) == []


def test_long_lines_are_cut_wherever_the_reads_fall(pipe: tuple[int, int]) -> None:
    output = Output(pipe[0], 1, "leader", "/h", 0)
    lines: list[str] = []
    for part in (b"x" * 5000, b"x" * 5000, b"\n", b"y" * 4096, b"\n", b"z" * 4097 + b"\n"):
        os.write(pipe[1], part)
        lines += output.read(0, True)
    assert [len(line) for line in lines] == [4096, 4096, 1808, 4096, 4096, 1]
