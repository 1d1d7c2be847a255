"""Every story ends as its golden output says; `FTL_GOLDEN=rewrite` (make golden-rewrite) writes it.

Review the difference: a rewritten story is a changed behaviour.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scenarios.story import parse, rewrite, tell

STORIES = sorted(Path(__file__).parent.glob("*.txt"))


@pytest.mark.parametrize("path", STORIES, ids=[path.stem for path in STORIES])
def test_story(path: Path) -> None:
    story = parse(path)
    output = tell(story)
    if os.environ.get("FTL_GOLDEN") == "rewrite":
        rewrite(path, output)
    else:
        assert output == story.golden, story.sentence


def test_there_are_stories_and_each_begins_with_a_sentence() -> None:
    assert len(STORIES) >= 15
    for path in STORIES:
        assert parse(path).sentence.endswith("."), path.name
