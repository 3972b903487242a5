"""Servers that the command is tried against."""

from __future__ import annotations

from tests.support.azurite import azure_coordinator, azurite, secure_azurite
from tests.support.ceph import ceph
from tests.support.file_servers import (
    ftp_server,
    ftps_server,
    rclone_ftp_server,
    rclone_ssh,
    sshd,
    vsftpd_server,
)
from tests.support.hdfs import hdfs
from tests.support.places import gcs_strict
from tests.support.servers import (
    gcs_emulator,
    mlflow_python,
    mlflow_server,
    rclone,
    rclone_with_etags,
)
from tests.support.web import nginx, webdav

__all__ = [
    "azure_coordinator",
    "azurite",
    "ceph",
    "ftp_server",
    "ftps_server",
    "gcs_emulator",
    "gcs_strict",
    "hdfs",
    "mlflow_python",
    "mlflow_server",
    "nginx",
    "rclone",
    "rclone_ftp_server",
    "rclone_ssh",
    "rclone_with_etags",
    "secure_azurite",
    "sshd",
    "vsftpd_server",
    "webdav",
]
