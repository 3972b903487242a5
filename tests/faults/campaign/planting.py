"""A plugin of pytest: `PLANT=P13 pytest -p tests.faults.campaign.planting ...` lets a bug in."""

from __future__ import annotations

import os

import pytest

from tests.faults.campaign.plants import planted


@pytest.fixture(autouse=True)
def _bug():
    with planted([name for name in [os.environ.get("PLANT")] if name]):  # noqa: TID251
        yield
