"""The servers of these tests."""

from __future__ import annotations

from tests.support.azurite import azure_coordinator, azurite, secure_azurite

__all__ = ["azure_coordinator", "azurite", "secure_azurite"]
