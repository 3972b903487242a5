"""A scheme without a conformance class is a store that nobody has seen work."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from tests.conformance import suite
from transfer.registry import BUILTIN


def test_every_scheme_has_its_class():
    here = Path(__file__)
    others = [path.stem for path in here.parent.glob("test_*.py") if path.stem != here.stem]
    classes = [
        item
        for name in others
        for item in vars(import_module(f"tests.conformance.{name}")).values()
        if isinstance(item, type) and issubclass(item, suite.StoreConformance)
    ]
    claimed = {scheme for item in classes for scheme in getattr(item, "schemes", ())}
    assert claimed == set(BUILTIN)
