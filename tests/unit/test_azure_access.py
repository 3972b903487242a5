from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast
from urllib.parse import parse_qs, urlsplit

import pytest

from backends.azure import access as azure_access
from backends.azure.access import KeyAccess, SasAccess
from backends.azure.account import Account
from backends.azure.sas import VERSION, Key
from backends.azure.store import _signs
from transfer.errors import AccessError, ConnectionLostError
from transfer.settings import Settings
from transfer.store import Context

if TYPE_CHECKING:
    from transfer.store import Mover

ACCOUNT = Account("acc", "https://acc.blob.core.windows.net", key=b"key")
KEY = Key("acc", b"key")


class Keys:
    """A ring that may have no key."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error

    async def current(self, lifetime: float) -> Key:
        if self.error:
            raise self.error
        return KEY


@pytest.fixture
def clock(monkeypatch):
    now = SimpleNamespace(seconds=1_000_000.0)
    time = SimpleNamespace(time=lambda: now.seconds)
    monkeypatch.setattr(azure_access, "time", time)
    return now


async def test_own_permission_is_for_the_container_and_is_renewed(clock):
    access = KeyAccess(ACCOUNT, "con", KEY)
    url, headers = await access.admit("https://h/con/k?comp=block")
    said = parse_qs(urlsplit(url).query)
    assert (said["comp"], said["sr"], said["sp"], headers) == (["block"], ["c"], ["rcwdl"], {})
    clock.seconds += 1700
    assert (await access.admit("https://h/con/k?comp=block"))[0] == url
    clock.seconds += 200
    assert (await access.admit("https://h/con/k?comp=block"))[0] != url


async def test_given_token_is_added_and_our_version_said():
    url, headers = await SasAccess("sv=2015-04-05&sig=x").admit("https://h/c/k")
    assert url == "https://h/c/k?sv=2015-04-05&sig=x"
    assert headers == {"x-ms-version": VERSION}


async def test_identity_without_the_right_to_sign_is_said_and_bytes_are_relayed():
    said: list[str] = []
    context = Context(Settings(), cast("Mover", None), notify=said.append)
    assert not await _signs(Keys(AccessError("no right")), context)
    assert said == ["no presigned URLs, bytes go through this process: no right"]
    assert await _signs(Keys(None), context)


async def test_other_trouble_with_signing_is_an_error():
    context = Context(Settings(), cast("Mover", None))
    with pytest.raises(ConnectionLostError):
        await _signs(Keys(ConnectionLostError("gone")), context)
