"""The words and options after a command's name.

Promise: `parse` returns what was said, or raises `WrongUsage` with words that tell what would be
right. Nothing is guessed: no abbreviations, no option twice.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    # Without importing typing, which is as dear as all the rest of a command.
    from collections.abc import Iterable, Iterator


class WrongUsage(Exception):
    """The command line is wrong; ``str()`` says what, for an operator."""


class HelpWanted(Exception):
    """``-h`` or ``--help`` stood among the options."""


class Options:
    """What was said: ``words`` in order, ``flags`` by name, ``values`` by name."""

    __slots__ = ("flags", "values", "words")

    def __init__(self) -> None:
        self.words: list[str] = []
        self.flags: set[str] = set()
        self.values: dict[str, str] = {}

    def __contains__(self, flag: str) -> bool:
        return flag in self.flags

    def word(self) -> str | None:
        """The only word, if there is one."""
        return self.words[0] if self.words else None


def parse(argv: list[str], flags: tuple[str, ...], values: tuple[str, ...], words: int) -> Options:
    """Sort ``argv`` into flags, values and at most ``words`` words.

    An option is declared with all its spellings and known by the last: ``"-q --quiet"`` is
    ``quiet``. Raises `WrongUsage`, `HelpWanted`.
    """
    names = {**_spellings(flags, False), **_spellings(values, True)}
    said = Options()
    rest = iter(argv)
    for word in rest:
        if word == "--":
            said.words.extend(rest)
        elif len(word) > 1 and word.startswith("-"):
            _take(word, rest, names, said)
        else:
            said.words.append(word)
    if len(said.words) > words:
        extra = said.words[words]
        raise WrongUsage(f"{extra!r} is one word too many" if words else f"takes no {extra!r}")
    return said


def _spellings(declared: tuple[str, ...], valued: bool) -> dict[str, tuple[str, bool]]:
    names = {}
    for option in declared:
        spelled = option.split()
        for spelling in spelled:
            names[spelling] = (spelled[-1].lstrip("-"), valued)
    return names


def _take(
    word: str, rest: Iterator[str], names: dict[str, tuple[str, bool]], said: Options
) -> None:
    spelling, equals, value = word.partition("=")
    if spelling in ("-h", "--help"):
        raise HelpWanted
    if spelling not in names:
        raise WrongUsage(f"no such option: {spelling}{near_miss(spelling, names)}")
    name, valued = names[spelling]
    if name in said.flags or name in said.values:
        raise WrongUsage(f"{spelling} is given twice")
    if not valued:
        if equals:
            raise WrongUsage(f"{spelling} takes no value, and {value!r} is one")
        said.flags.add(name)
        return
    if not equals:
        value = next(rest, "")
    if not value:
        raise WrongUsage(f"{spelling} needs a value")
    said.values[name] = value


def near_miss(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean X?`` for the one of ``known`` that is like ``word``, or nothing."""
    import difflib

    found = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {found[0]}?" if found else ""


def seconds(text: str, option: str) -> float:
    """What a span such as ``200ms`` or ``30s`` means. Raises `WrongUsage`."""
    from followtheleader.config.durations import SECOND, parse_duration

    try:
        return parse_duration(text) / SECOND
    except ValueError as wrong:
        raise WrongUsage(f"{option}: {wrong}") from None
