"""The node's identity: stable, different where it must differ, never nobody."""

from __future__ import annotations

from pathlib import Path

import pytest

from followtheleader.errors import StateError
from followtheleader.host.identity import node_id

ID = "0123456789abcdef0123456789abcdef"


def test_same_inputs_same_identity(tmp_path: Path) -> None:
    (tmp_path / "id").write_text(f"{ID}\n")
    machine = str(tmp_path / "id")
    first = node_id(str(tmp_path), "a", "svc", machine)
    assert 0 < first < 2**64
    assert node_id(str(tmp_path), "a", "svc", machine) == first
    others = {
        node_id(str(tmp_path), "b", "svc", machine),
        node_id(str(tmp_path), "a", "svc2", machine),
        node_id(str(tmp_path), "asvc", "", machine),
    }
    assert len(others | {first}) == 4
    assert not (tmp_path / "machine-id").exists()
    # The machine id itself is secret: it must not show in what goes over the network.
    assert f"{first:016x}" not in ID


@pytest.mark.parametrize("content", [None, "", "uninitialized\n", "0" * 32, "xyz", ID[:31]])
def test_without_a_machine_id_one_is_made_and_kept(content: str | None, tmp_path: Path) -> None:
    machine = tmp_path / "id"
    if content is not None:
        machine.write_text(content)
    states = [tmp_path / "s1", tmp_path / "s2"]
    for state in states:
        state.mkdir()
    found = [node_id(str(state), "a", "svc", str(machine)) for state in states]
    assert found[0] != found[1]
    assert found == [node_id(str(state), "a", "svc", str(machine)) for state in states]


def test_where_it_cannot_be_kept_it_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"/none/machine-id: cannot be written"):
        node_id(str(tmp_path / "none"), "a", "svc", str(tmp_path / "missing"))
    (tmp_path / "machine-id").mkdir()
    with pytest.raises(StateError, match="a directory is in the way"):
        node_id(str(tmp_path), "a", "svc", str(tmp_path / "missing"))
