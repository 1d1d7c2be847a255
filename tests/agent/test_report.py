"""What the agent tells stays within the bounds of those whom it tells."""

from __future__ import annotations

from dataclasses import replace

from followtheleader import report
from followtheleader.core.types import NANOSECONDS
from followtheleader.guardian import messages
from sim.table import three


def test_facts_for_the_guardian_fit_a_line_whoever_joins() -> None:
    def member(number: int) -> dict[str, object]:
        return {"name": f"n{number:062}", "id": f"{number:016x}", "alive": number % 2 == 1}

    crowd = [member(number) for number in range(5_000)]
    told = report.bounded({"service": "x" * 63, "members": crowd})
    assert len(messages.encode("event", event="leader", change=1, facts=told)) < 64 * 1024
    members = told["members"]
    assert isinstance(members, list)
    assert len(members) > 200
    assert all(one["alive"] for one in members)
    assert members == [one for one in crowd if one["alive"]][: len(members)]
    assert report.bounded({"members": crowd[:9]})["members"] == sorted(
        crowd[:9], key=lambda one: not one["alive"]
    )


def test_a_name_is_shared_by_those_who_are_there() -> None:
    table = three(quorum=False)
    view, now = table.view("a"), table.now
    election = table.seats["a"].election
    assert election is not None
    one, other = view.members
    for names, shared in ((("b", "c"), False), (("b", "b"), True), (("a", "c"), True)):
        renamed = (replace(one, name=names[0]), replace(other, name=names[1]))
        there = replace(view, members=renamed)
        assert report.is_name_shared(there, election.node, now) is shared
        assert not report.is_name_shared(there, election.node, now + 60 * NANOSECONDS)
