"""What the agent tells stays within the bounds of those whom it tells."""

from __future__ import annotations

import json

from followtheleader import report
from followtheleader.guardian import messages


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
    assert json.dumps(report.bounded({"members": crowd[:9]})["members"])
    assert len(report.bounded({"members": crowd[:9]})["members"]) == 9  # type: ignore[arg-type]
