"""The servers of these tests."""

from __future__ import annotations

from tests.support.azurite import azure_coordinator, azurite
from tests.support.servers import (
    folder_coordinator,
    mlflow_python,
    mlflow_server,
    rclone,
    s3_coordinator,
)

__all__ = [
    "azure_coordinator",
    "azurite",
    "folder_coordinator",
    "mlflow_python",
    "mlflow_server",
    "rclone",
    "s3_coordinator",
]
