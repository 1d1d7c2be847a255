"""PyYAML's complaints, told as our faults: the place, what is wrong, what would be right."""

from __future__ import annotations

import re

import yaml

from followtheleader.config.faults import Faults, Place, printable, show

_KEY = "syntax"
_TAB_INDENT = re.compile(r" *\t[ \t]*\S")

# (part of the problem, what to say, whether the fault is told where the construct began)
_KNOWN = (
    (
        "mapping values are not allowed",
        "a `key: value` cannot begin here, align it with the keys around it (is the line that it "
        "belongs to still a comment?), or quote a value that holds a colon",
        False,
    ),
    (
        "could not find expected ':'",
        "a key without its colon, write `key: value`",
        True,
    ),
    (
        "found unexpected end of stream",
        "a quote is opened here and never closed, close it",
        True,
    ),
    (
        "while parsing a flow sequence",
        "a list is opened here with [ and not closed, separate its items with commas and close it "
        "with ]",
        True,
    ),
    (
        "while parsing a flow mapping",
        "a mapping is opened here with { and not closed, separate its items with commas and close "
        "it with }",
        True,
    ),
    (
        "expected <block end>, but found '<scalar>'",
        "text follows a closing quote or bracket, quote the whole value",
        False,
    ),
    (
        "expected <block end>",
        "this line does not fit the lines above it, align keys with the same number of spaces",
        False,
    ),
    (
        "sequence entries are not allowed",
        "a list item `- ` cannot begin here, begin it on the next line, or write [a, b]",
        False,
    ),
    (
        "found unknown escape character",
        "in double quotes \\ begins an escape, and this one is not known, write \\\\ or use single "
        "quotes",
        False,
    ),
    (
        "expected the node content, but found '<stream end>'",
        "the file ends where a value is missing, close the list or mapping that is open",
        False,
    ),
    (
        "expected the node content",
        "a value is missing here, write it, or quote it if this sign is meant",
        False,
    ),
    (
        "expected '<document start>'",
        "something follows the end of the document, remove it",
        False,
    ),
)


def explain(error: yaml.YAMLError, text: str, faults: Faults) -> None:
    """Add the fault, or all lines that are indented by tabs, for which reading stopped."""
    if isinstance(error, yaml.reader.ReaderError):
        _explain_character(error, text, faults)
    elif isinstance(error, yaml.MarkedYAMLError):
        _explain_marked(error, text, faults)
    else:
        faults.add(Place(1, 1), _KEY, f"not YAML ({printable(str(error))}), write `key: value`")


def _explain_character(error: yaml.reader.ReaderError, text: str, faults: Faults) -> None:
    before = text[: error.position]
    place = Place(before.count("\n") + 1, len(before) - before.rfind("\n"))
    character = f"U+{ord(text[error.position]):04X}"
    faults.add(place, _KEY, f"the control character {character} is not allowed, remove it")


def _explain_marked(error: yaml.MarkedYAMLError, text: str, faults: Faults) -> None:
    place = _place(error.problem_mark or error.context_mark)
    problem = f"{error.context or ''} {error.problem or ''}"
    if "'\\t'" in problem:
        _explain_tabs(place, text, faults)
        return
    unusable = re.search(r"found character '(.+)' that cannot start any token", problem)
    if unusable:
        sign = show(unusable[1])
        faults.add(place, _KEY, f'a value cannot begin with {sign}, quote it: "…"')
        return
    for part, says, at_start in _KNOWN:
        if part in problem:
            begun = at_start and error.context_mark is not None
            faults.add(_place(error.context_mark) if begun else place, _KEY, says)
            return
    reason = printable(error.problem or error.context or "no reason given")
    faults.add(place, _KEY, f"not YAML ({reason}), write `key: value`")


def _explain_tabs(place: Place, text: str, faults: Faults) -> None:
    # Reading stops at the first; the others would follow one by one, so they are told now.
    says = "a tab, YAML is indented and separated with spaces only"
    faults.add(place, _KEY, says)
    for number, line in enumerate(text.split("\n"), 1):
        if number > place.line and _TAB_INDENT.match(line):
            faults.add(Place(number, line.index("\t") + 1), _KEY, says)


def _place(mark: yaml.Mark | None) -> Place:
    return Place(mark.line + 1, mark.column + 1) if mark is not None else Place(1, 1)
