"""The house is tidy: sizes, words and habits that no linter knows, and documents that hold."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

HOUSE = Path(__file__).parent.parent
PLACES = ("agent", "tests", "etc", "systemd", "packaging", ".ci")
SKIP = {"__pycache__", "followtheleader.egg-info"}
BINARY = {".gz", ".png", ".pyc", ".svg"}

LINES = 500
FUNCTION_LINES = 70
# Put together here, or this file would be the first to fail.
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b")
MACHINE_PATHS = re.compile(r"(?<![\w.])/(wo" r"rk|ro" r"ot)/")
BANNED_WORDS = re.compile(r"\b(mas" r"ter|sla" r"ve)s?\b", re.IGNORECASE)
STRANGERS = re.compile(r"pip3? install (ftl\b|ftl[-_]ag" r"ent)")
FOREIGN = re.compile(r"link set \S+ mas" r"ter br")  # iproute2's own word

COMMAND = re.compile(r"\bftl-agent ([a-z][a-z-]+)")
TARGET = re.compile(r"\bmake ([a-z][a-z-]+)")
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")
REASONED = re.compile(r"# noqa: BLE001 - \w+")
CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.MULTILINE | re.DOTALL)


def house_files() -> list[Path]:
    found = [path for path in HOUSE.iterdir() if path.is_file() and not path.name.startswith(".")]
    for place in PLACES:
        found += [path for path in (HOUSE / place).rglob("*") if path.is_file()]
    return sorted(
        path for path in found if not SKIP & set(path.parts) and path.suffix not in BINARY
    )


def name_of(path: Path) -> str:
    return str(path.relative_to(HOUSE))


FILES = house_files()
SOURCES = [path for path in FILES if path.suffix in {".py", ".c"}]
PYTHON = [path for path in FILES if path.suffix == ".py"]
AGENT = [path for path in PYTHON if path.is_relative_to(HOUSE / "agent")]
DOCUMENTS = [path for path in FILES if path.suffix == ".md"]


def lines_with(pattern: re.Pattern[str], path: Path) -> list[str]:
    lines = enumerate(path.read_text(errors="replace").splitlines(), 1)
    return [
        f"{name_of(path)}:{number}: {line.strip()}"
        for number, line in lines
        if pattern.search(line)
    ]


def test_there_is_something_to_look_at() -> None:
    assert len(AGENT) > 20
    assert {"README.md", "CONTRIBUTING.md", "DESIGN.md"} <= {path.name for path in DOCUMENTS}


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_file_has_room_for_one_subject(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= LINES, "a room to split"
    assert "\t" not in text, "indent with blanks"


@pytest.mark.parametrize("path", PYTHON, ids=name_of)
def test_a_module_says_its_promise_first(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), "no module docstring"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno
            assert length <= FUNCTION_LINES, f"{node.name}: {length} lines are a room to split"


@pytest.mark.parametrize("pattern", [UNFINISHED, MACHINE_PATHS, STRANGERS], ids=str)
def test_nothing_unfinished_or_of_one_machine(pattern: re.Pattern[str]) -> None:
    assert not [line for path in FILES for line in lines_with(pattern, path)]


def test_one_word_per_thing() -> None:
    lines = [line for path in FILES for line in lines_with(BANNED_WORDS, path)]
    assert not [line for line in lines if not FOREIGN.search(line)]


@pytest.mark.parametrize("path", AGENT, ids=name_of)
def test_no_net_too_wide_and_no_blind_wait(path: Path) -> None:
    """Only with a reason beside it is everything caught; only a command polls."""
    text = path.read_text()
    is_command = path.is_relative_to(HOUSE / "agent" / "followtheleader" / "cli")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ExceptHandler):
            caught = ast.unparse(node.type) if node.type else ""
            reasoned = REASONED.search(text.splitlines()[node.lineno - 1])
            assert reasoned or caught not in ("", "Exception"), f"line {node.lineno}: too wide"
        if isinstance(node, ast.Call) and not is_command:
            assert ast.unparse(node.func) != "time.sleep", f"line {node.lineno}: time.sleep"


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_documents_name_what_exists(path: Path) -> None:
    """Every make target, every command of ftl-agent and every linked file is there."""
    from followtheleader.cli.main import COMMANDS

    text = path.read_text()
    code = "\n".join(CODE.findall(text))
    targets = set(re.findall(r"^([a-z-]+):", (HOUSE / "Makefile").read_text(), re.MULTILINE))
    assert set(TARGET.findall(code)) <= targets
    assert set(COMMAND.findall(code)) <= set(COMMANDS)
    assert not [link for link in LINK.findall(text) if not (path.parent / link).exists()]
