"""A scheme without a conformance class is a store that nobody has seen work."""

from __future__ import annotations

from tests.conformance import suite, test_coordinated, test_gcs, test_local, test_memory, test_s3
from transfer.registry import BUILTIN


def test_every_scheme_has_its_class():
    classes = [
        item
        for module in (test_coordinated, test_gcs, test_local, test_memory, test_s3)
        for item in vars(module).values()
        if isinstance(item, type) and issubclass(item, suite.StoreConformance)
    ]
    claimed = {scheme for item in classes for scheme in getattr(item, "schemes", ())}
    assert claimed == set(BUILTIN)
