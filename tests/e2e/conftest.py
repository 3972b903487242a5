"""Servers that the command is tried against."""

from __future__ import annotations

from tests.support.hdfs import hdfs
from tests.support.web import nginx, webdav

__all__ = ["hdfs", "nginx", "webdav"]
