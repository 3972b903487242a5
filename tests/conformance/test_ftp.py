from __future__ import annotations

import pytest

from tests.conformance.suite import StoreConformance

pytestmark = pytest.mark.servers


class TestFtp(StoreConformance):
    """Pyftpdlib in plain text: MLSD, MLST, REST."""

    schemes = ("ftp",)
    shown = "`ftp://`"
    against = "pyftpdlib"
    version_from = "pyftpdlib"

    @pytest.fixture
    async def store(self, ftp_server, open_below):
        async with open_below(ftp_server.url, ftp_server.environ) as store:
            yield store


class TestFtps(StoreConformance):
    """Pyftpdlib over TLS, control and data."""

    schemes = ("ftps",)
    shown = "`ftps://`"
    against = "pyftpdlib"
    version_from = "pyftpdlib"

    @pytest.fixture
    async def store(self, ftps_server, open_below):
        async with open_below(ftps_server.url, ftps_server.environ) as store:
            yield store


class TestHashingFtp(StoreConformance):
    """A server that is asked for the checksum of each file."""

    @pytest.fixture
    async def store(self, hashing_ftp_server, open_below):
        async with open_below(hashing_ftp_server.url, hashing_ftp_server.environ) as store:
            yield store


class TestVsftpd(StoreConformance):
    """Vsftpd, which lists for people only, and tells size and time one by one."""

    shown = "`ftp://`"
    against = "vsftpd"
    version_from = ("dpkg-query", "--show", "vsftpd")

    @pytest.fixture
    async def store(self, vsftpd_server, open_below):
        async with open_below(vsftpd_server.url, vsftpd_server.environ) as store:
            yield store
