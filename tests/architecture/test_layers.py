"""Imports point down only: read from the source, so that a lazy import counts too."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]

# From the bottom up; a module may import what is in its own layer or below it.
# Packages stand for all their modules; the longest name that fits counts.
LAYERS = [
    (
        "vocabulary",
        {
            "transfer.checksums",
            "transfer.content_types",
            "transfer.errors",
            "transfer.events",
            "transfer.keys",
            "transfer.locations",
            "transfer.model",
            "transfer.quick",
            "transfer.redaction",
            "transfer.review",
            "transfer.settings",
            "transfer.signing",
            "transfer.sizes",
            "transfer.statuses",
            "transfer.store",
            "transfer.tally",
            "transfer.wire",
        },
    ),
    (
        "decisions",
        {
            "transfer.advice",
            "transfer.machine",
            "transfer.pacing",
            "transfer.planner",
            "transfer.proof",
            "transfer.retries",
            "transfer.scheduler",
            "transfer.stragglers",
        },
    ),
    (
        "bytes",
        {
            "transfer.carrying",
            "transfer.files",
            "transfer.mover",
            "transfer.processors",
            "transfer.sources",
            "transfer.workers",
        },
    ),
    ("engine", {"transfer.blocking", "transfer.engine", "transfer.journal", "transfer.registry"}),
    ("edges", {"transfer.coordinator", "transfer.sinks"}),
    ("command", {"transfer.cli", "transfer.__main__"}),
]
RANKS = {name: rank for rank, (_, names) in enumerate(LAYERS) for name in names}

# What a backend may know of the rest.
FOR_BACKENDS = LAYERS[0][1] | LAYERS[2][1]

PURE = {
    "transfer.advice",
    "transfer.checksums",
    "transfer.errors",
    "transfer.events",
    "transfer.keys",
    "transfer.locations",
    "transfer.machine",
    "transfer.model",
    "transfer.mover.ranges",
    "transfer.pacing",
    "transfer.planner",
    "transfer.proof",
    "transfer.redaction",
    "transfer.retries",
    "transfer.review",
    "transfer.scheduler",
    "transfer.signing",
    "transfer.sizes",
    "transfer.stragglers",
}
IMPURE = {"aiohttp", "anyio", "asyncio", "random", "socket", "threading", "time"}

SDKS = {"aiobotocore", "boto3", "botocore", "gcloud", "azure", "asyncssh", "aioftp"}


class Import(NamedTuple):
    """`module` imports `target`, be it only for a type checker."""

    module: str
    target: str
    line: int

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.target}"


def imports_of(module: str, source: str) -> list[Import]:
    """Return all imports of a module, wherever in the text they are."""
    found: list[Import] = []
    _collect(ast.parse(source), module, found)
    return found


def _collect(node: ast.AST, module: str, found: list[Import]) -> None:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            found.extend(Import(module, name.name, child.lineno) for name in child.names)
        elif isinstance(child, ast.ImportFrom):
            found.extend(_from(child, module))
        else:
            _collect(child, module, found)


def _from(node: ast.ImportFrom, module: str) -> Iterator[Import]:
    """`from transfer import planner` means the module `transfer.planner`."""
    assert node.level == 0, f"{module}:{node.lineno} has a relative import"
    base = node.module or ""
    for name in node.names:
        whole = f"{base}.{name.name}"
        is_module = (ROOT / whole.replace(".", "/")).is_dir() or _file(whole).exists()
        yield Import(module, whole if is_module else base, node.lineno)


def _file(module: str) -> Path:
    return ROOT / (module.replace(".", "/") + ".py")


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources(package: str) -> dict[str, str]:
    """Return the text of each module of a package, by its name."""
    return {name_of(path): path.read_text() for path in sorted((ROOT / package).rglob("*.py"))}


def rank_of(module: str) -> int | None:
    """Return the layer of a module, None where the table has no place for it."""
    while module not in RANKS and "." in module:
        module = module.rpartition(".")[0]
    return RANKS.get(module)


def within(module: str, names: set[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in names)


def pointing_up(modules: dict[str, str]) -> list[Import]:
    """Return imports inside `transfer` that go to a higher layer, or to the facade of it all."""
    found = []
    for module, source in modules.items():
        if module == "transfer":
            continue  # the facade: names of all layers, loaded as they are used
        rank = rank_of(module)
        assert rank is not None, f"{module} has no place in LAYERS"
        for item in imports_of(module, source):
            if within(item.target, {"transfer"}):
                target = rank_of(item.target)
                if item.target == "transfer":
                    target = None if module in FACADE_USERS else len(LAYERS)
                if target is not None and target > rank:
                    found.append(item)
    return found


# They show the version.
FACADE_USERS: set[str] = {
    name
    for name in sources("transfer")
    if within(name, {"transfer.cli", "transfer.coordinator", "transfer.__main__"})
}


def of_backends(modules: dict[str, str]) -> list[Import]:
    """Return imports of backends that see too much of the engine."""
    return [
        item
        for module, source in modules.items()
        for item in imports_of(module, source)
        if within(item.target, {"transfer"}) and not within(item.target, FOR_BACKENDS)
    ]


def to_backends(modules: dict[str, str]) -> list[Import]:
    return [
        item
        for module, source in modules.items()
        for item in imports_of(module, source)
        if within(item.target, {"backends"})
    ]


def impure(modules: dict[str, str]) -> list[Import]:
    return [
        item
        for module, source in modules.items()
        for item in imports_of(module, source)
        if module in PURE and within(item.target, IMPURE)
    ]


def cycles(modules: dict[str, str]) -> list[str]:
    """Return modules that import themselves in the end, be it only for a type."""
    graph = {
        module: {
            item.target
            for item in imports_of(module, source)
            if item.target in modules and item.target != "transfer"
        }
        for module, source in modules.items()
    }
    return sorted(module for module in graph if module in _reachable(graph, module))


def _reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        module = waiting.pop()
        if module not in seen:
            seen.add(module)
            waiting.extend(graph[module])
    return seen


def shown(found: list[Import]) -> str:
    return "\n".join(map(str, found))


TRANSFER = sources("transfer")
BACKENDS = sources("backends")


def test_every_module_has_its_place():
    assert len(TRANSFER) > 30
    assert [name for name in TRANSFER if name != "transfer" and rank_of(name) is None] == []
    assert set(TRANSFER) >= PURE


def test_imports_point_down():
    assert not pointing_up(TRANSFER), shown(pointing_up(TRANSFER))


def test_transfer_knows_no_backend():
    assert not to_backends(TRANSFER), shown(to_backends(TRANSFER))


def test_backends_know_the_vocabulary_and_the_mover_only():
    assert len(BACKENDS) > 5
    assert not of_backends(BACKENDS), shown(of_backends(BACKENDS))


def test_pure_modules_have_no_clock_no_loop_and_no_luck():
    assert not impure(TRANSFER), shown(impure(TRANSFER))


def test_nothing_imports_itself_in_a_circle():
    assert cycles(TRANSFER | BACKENDS) == []


def test_sdks_are_known_to_backends_only():
    found = [
        item
        for module, source in TRANSFER.items()
        for item in imports_of(module, source)
        if within(item.target, SDKS)
    ]
    assert not found, shown(found)


def test_aiohttp_is_known_to_the_mover_only():
    found = [
        item
        for module, source in (TRANSFER | BACKENDS).items()
        for item in imports_of(module, source)
        if within(item.target, {"aiohttp", "yarl"}) and module != "transfer.mover.aio"
    ]
    assert not found, shown(found)


# Controls: a rule that catches nothing would look like an architecture in good health.


@pytest.mark.parametrize(
    "source",
    [
        "import transfer.engine",
        "import transfer.engine.run as run",
        "from transfer.engine import Engine",
        "from transfer import engine",
        "from transfer import Engine",
        "def f():\n    from transfer.registry import locate",
        "if TYPE_CHECKING:\n    from transfer.scheduler import Job",
        "try:\n    import transfer.files\nexcept ImportError:\n    pass",
    ],
)
def test_import_that_points_up_is_caught(source: str):
    [item] = pointing_up({"transfer.model": source})
    assert item.module == "transfer.model"


@pytest.mark.parametrize(
    "source",
    ["from transfer.model import Span", "import transfer.errors", "from transfer import sizes"],
)
def test_import_that_points_down_or_sideways_is_not(source: str):
    assert pointing_up({"transfer.planner": source}) == []


def test_module_without_a_place_is_caught():
    with pytest.raises(AssertionError, match="no place"):
        pointing_up({"transfer.utils": ""})


@pytest.mark.parametrize(
    "source",
    [
        "from transfer.engine.run import Run",
        "from transfer import registry",
        "import transfer",
        "from transfer.planner import plan",
        "def f():\n    import transfer.coordinator.app",
        "if TYPE_CHECKING:\n    from transfer.cli import main",
    ],
)
def test_backend_that_sees_too_much_is_caught(source: str):
    assert len(of_backends({"backends.new": source})) == 1


def test_backend_imported_by_name_is_caught():
    assert (
        len(to_backends({"transfer.registry": "from backends.local.store import open_store"})) == 1
    )
    assert to_backends({"transfer.registry": "NAME = 'backends.local.store:open_store'"}) == []


@pytest.mark.parametrize(
    "source",
    ["import time", "from anyio import sleep", "import os, asyncio.tasks", "import random"],
)
def test_clock_in_a_pure_module_is_caught(source: str):
    assert len(impure({"transfer.planner": source})) == 1
    assert impure({"transfer.mover.aio": source}) == []


@pytest.mark.parametrize("back", ["def f():\n    ", "if TYPE_CHECKING:\n    "])
def test_circle_is_caught(back: str):
    one = "from transfer.sizes import MIB"
    other = f"{back}from transfer.model import Span"
    both = ["transfer.model", "transfer.sizes"]
    assert cycles({"transfer.model": one, "transfer.sizes": other}) == both


def test_relative_import_is_caught():
    with pytest.raises(AssertionError, match="relative import"):
        imports_of("transfer.model", "from . import sizes")
