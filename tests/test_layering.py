"""Imports run strictly downward, and what must stay small or pure does.

    errors | hook_files → core → wire | config → net | host | guardian → agent → cli

A layer may import every layer before it; packages of one layer never import each other. The modules
that lie directly in the package are the agent's shell; the package root holds only its version and
lazy names, and may be imported by all.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "agent" / "followtheleader"
ROOT = "followtheleader"

SHELL = "agent"
LAYERS = [("errors", "hook_files"), ("core",), ("wire", "config"), ("net", "host", "guardian")]
LAYERS += [(SHELL,), ("cli",), ("__main__",)]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}

# All that pure code may know of the standard library.
PURE = {
    *("__future__", "abc", "bisect", "collections", "dataclasses", "enum", "functools", "heapq"),
    *("itertools", "math", "operator", "random", "types", "typing"),
}
BYTES = {"base64", "hashlib", "hmac", "ipaddress", "re", "struct", "zlib"}
HEAVY = {"asyncio", "yaml", "zeroconf", "logging", "followtheleader.core", "followtheleader.config"}

MODULES = sorted(PACKAGE.rglob("*.py"))
SIMULATOR = sorted((TESTS / "sim").rglob("*.py"))


def name_of(path: Path) -> str:
    return str(path.relative_to(TESTS.parent))


def imports(path: Path) -> Iterator[tuple[ast.stmt, str]]:
    """Every imported module with its statement; ``from followtheleader import x`` is x itself."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}:{node.lineno}: a relative import"
            if node.module == ROOT:
                yield from ((node, f"{ROOT}.{alias.name}") for alias in node.names)
            else:
                yield node, node.module or ""


def part_of(module: str) -> str | None:
    """The part of the package that a module belongs to; None for the root and for strangers."""
    top, _, rest = module.partition(".")
    name = rest.split(".")[0]
    if top != ROOT or not name or name.startswith("__version"):
        return None
    return name if name in RANK else SHELL


def part_of_file(path: Path) -> str | None:
    name = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return part_of(f"{ROOT}.{name}") if name != "__init__" else None


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_run_downward(path: Path) -> None:
    own = part_of_file(path)
    for node, module in imports(path):
        part = part_of(module)
        if own is None or part is None or part == own:
            continue
        place = f"{name_of(path)}:{node.lineno}"
        assert RANK[part] < RANK[own], f"{place}: {own} must not import {part}"


def test_the_root_is_lazy() -> None:
    allowed = {"typing", "__future__"}
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    eager = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    modules = {alias.name for node in eager for alias in node.names if isinstance(node, ast.Import)}
    modules |= {node.module or "" for node in eager if isinstance(node, ast.ImportFrom)}
    assert modules <= allowed


@pytest.mark.parametrize("folder", ["core", "wire"])
def test_pure_code_knows_no_world(folder: str) -> None:
    """No IO, no clock, no logging: an allowed list, as what is forbidden has no end."""
    allowed = PURE | (BYTES if folder == "wire" else {"hashlib", "re"})
    paths = sorted((PACKAGE / folder).rglob("*.py"))
    assert paths
    for path in paths:
        for node, module in imports(path):
            top = module.split(".")[0]
            assert top == ROOT or top in allowed, f"{name_of(path)}:{node.lineno}: {module}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "core").rglob("*.py")), ids=name_of)
def test_the_core_has_no_chance_of_its_own(path: Path) -> None:
    """A seeded ``random.Random`` is handed in; the module's own generator has no seed."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "random":
            assert [alias.name for alias in node.names] == ["Random"]
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            is_generator = node.value.id == "random" and node.attr != "Random"
            assert not is_generator, f"{name_of(path)}:{node.lineno}: random.{node.attr}"


@pytest.mark.parametrize("path", SIMULATOR, ids=name_of)
def test_the_simulator_needs_core_and_wire_only(path: Path) -> None:
    for node, module in imports(path):
        part = part_of(module)
        allowed = part in (None, "errors", "core", "wire")
        assert allowed, f"{name_of(path)}:{node.lineno}: the simulator must not import {part}"


def test_the_guardian_stays_small() -> None:
    """What the guardian's process loads, seen in a process of its own."""
    script = "import followtheleader.guardian.program, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-I", "-c", script], capture_output=True, text=True, timeout=30, check=True
    )
    assert not HEAVY & set(done.stdout.split())
