"""Servers that the command is tried against."""

from __future__ import annotations

from tests.support.azurite import azure_coordinator, azurite, secure_azurite
from tests.support.hdfs import hdfs
from tests.support.servers import rclone
from tests.support.web import nginx, webdav

__all__ = ["azure_coordinator", "azurite", "hdfs", "nginx", "rclone", "secure_azurite", "webdav"]
