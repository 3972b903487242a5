from __future__ import annotations

import pytest

from transfer.mover.proxies import Proxies
from transfer.settings import Settings

PROXY = "http://proxy:3128"


def test_settings_are_taken_over():
    settings = Settings.from_env({"http_proxy": "a:1", "HTTPS_PROXY": "b:2", "no_proxy": "c"})
    assert Proxies.from_settings(settings) == Proxies("a:1", "b:2", "c")


def test_each_scheme_has_its_proxy():
    proxies = Proxies("http://plain:1", "http://secure:2")
    assert proxies.choose("http://host/") == "http://plain:1"
    assert proxies.choose("https://host/") == "http://secure:2"


def test_no_proxy_is_no_proxy():
    assert Proxies().choose("http://host/") is None
    assert Proxies(http=PROXY).choose("https://host/") is None
    assert Proxies(https=PROXY).choose("http://host/") is None


def test_proxy_without_a_scheme_is_http():
    assert Proxies(http="proxy:3128").choose("http://host/") == PROXY


@pytest.mark.parametrize(
    ("no_proxy", "url"),
    [
        ("*", "http://anything/"),
        ("example.com", "http://example.com/"),
        ("example.com", "http://EXAMPLE.com:8080/"),
        ("example.com", "http://a.b.example.com/"),
        (".example.com", "http://a.example.com/"),
        ("*.example.com", "http://a.example.com/"),
        ("other, example.com ,", "http://example.com/"),
        ("example.com:9000", "http://example.com:9000/"),
        ("127.0.0.1", "http://127.0.0.1:5000/"),
        ("10.0.0.0/8", "http://10.1.2.3/"),
        ("10.0.0.1/8", "http://10.1.2.3/"),
        ("[::1]", "http://[::1]:9000/"),
        ("::1", "http://[::1]/"),
    ],
)
def test_hosts_that_are_reached_directly(no_proxy: str, url: str):
    assert Proxies(http=PROXY, no_proxy=no_proxy).choose(url) is None


@pytest.mark.parametrize(
    ("no_proxy", "url"),
    [
        ("", "http://example.com/"),
        (",", "http://example.com/"),
        ("example.com", "http://notexample.com/"),
        ("example.com", "http://example.com.evil.org/"),
        ("example.com:9000", "http://example.com:9001/"),
        ("example.com:9000", "http://example.com/"),
        ("10.0.0.0/8", "http://11.1.2.3/"),
        ("10.0.0.0/8", "http://host/"),
        ("127.0.0.1", "http://127.0.0.10/"),
    ],
)
def test_hosts_that_go_through_the_proxy(no_proxy: str, url: str):
    assert Proxies(http=PROXY, no_proxy=no_proxy).choose(url) == PROXY
