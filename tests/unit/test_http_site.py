"""Who is told what: credentials and trust go to the host that they are for."""

from __future__ import annotations

import base64
from typing import Any, cast

import pytest

from backends.web.site import site_of
from transfer.errors import UsageError
from transfer.settings import Settings

MOVER = cast("Any", None)
TRACKING = {
    "MLFLOW_TRACKING_URI": "https://ml.example/",
    "MLFLOW_TRACKING_TOKEN": "t0ken",
    "MLFLOW_TRACKING_INSECURE_TLS": "true",
    "MLFLOW_TRACKING_CLIENT_CERT_PATH": "/cert",
    "TRANSFER_TOKEN": "0ther",
}


def site(root: str, **environ: str):
    return site_of(root, Settings.from_env(environ), MOVER)


def test_user_and_password_go_into_a_header_and_nowhere_else():
    found = site("https://ann:p%40ss%3A@host:8443")
    assert found.headers == {
        "Authorization": "Basic " + base64.b64encode(b"ann:p@ss:").decode(),
    }
    assert found.base == "https://host:8443"
    assert "p@ss" not in repr(found)
    assert "p%40" not in found.url("a") + found.shown("a") + repr(found)


@pytest.mark.parametrize(
    ("root", "base"),
    [
        ("http://h", "http://h"),
        ("webdav://h:1", "http://h:1"),
        ("webdavs://u:p@h", "https://h"),
        ("https://[::1]:8", "https://[::1]:8"),
    ],
)
def test_roots_are_read(root: str, base: str):
    assert site(root).base == base


@pytest.mark.parametrize("root", ["http:", "http://", "http://u:p@", "http://h:port"])
def test_a_root_without_a_host_is_refused_without_its_password(root: str):
    with pytest.raises(UsageError, match="names no host") as caught:
        site(root)
    assert "u:p" not in str(caught.value)


def test_the_tracking_servers_credentials_go_to_the_tracking_server():
    found = site("https://ml.example:443", **TRACKING)
    assert found.headers == {"Authorization": "Bearer 0ther"}
    assert not found.tls.verify
    assert found.tls.client_cert == "/cert"


@pytest.mark.parametrize(
    "root",
    ["http://ml.example", "https://ml.example:8443", "https://other", "https://x.ml.example"],
)
def test_they_go_to_no_other(root: str):
    found = site(root, **TRACKING)
    assert found.headers == {}
    assert found.tls.verify
    assert found.tls.client_cert is None


def test_the_urls_own_user_wins():
    found = site("https://ann:pw@ml.example", **TRACKING)
    assert found.headers["Authorization"].startswith("Basic ")


def test_a_password_may_come_from_the_environment_but_only_for_a_user_that_is_named():
    environ = {"TRANSFER_STORE_PASSWORD": "p@ss"}
    expected = "Basic " + base64.b64encode(b"ann:p@ss").decode()
    assert site("https://ann@h", **environ).headers == {"Authorization": expected}
    assert site("https://h", **environ).headers == {}
    assert site("https://ann:own@h", **environ).headers != {"Authorization": expected}


def test_trust_has_settings_of_its_own():
    found = site("https://h", TRANSFER_HTTP_CA_BUNDLE="/ca", TRANSFER_HTTP_INSECURE_TLS="true")
    assert (found.tls.ca_file, found.tls.verify) == ("/ca", False)


def test_folders_keep_their_slash():
    found = site("http://h")
    assert [found.url(key) for key in ("", "a b", "a/b/")] == [
        "http://h/",
        "http://h/a%20b",
        "http://h/a/b/",
    ]
