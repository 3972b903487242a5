"""What a PUT that broke off leaves on a server that shows it, and what may be done to it."""

from __future__ import annotations

import pytest

from tests.support.plain_web import PlainWeb
from transfer.errors import ConnectionLostError, ExistsError, TransferError, UnavailableError
from transfer.model import Intent
from transfer.sources import BytesSource
from transfer.tally import Tally

DATA = b"0123456789"


async def put(store, intent: Intent):
    return await store.put("a", BytesSource(DATA), intent, Tally())


@pytest.mark.parametrize("broken", [ConnectionLostError("cut"), UnavailableError("503")])
async def test_what_may_be_our_own_half_is_said_and_left_alone(broken: TransferError):
    server = PlainWeb(breaks=[(broken, 0.5)])
    store = server.store()
    intent = Intent(len(DATA), no_clobber=True)
    with pytest.raises(type(broken)):
        await put(store, intent)
    with pytest.raises(ExistsError, match="a exists") as caught:
        await put(store, intent)
    assert "what arrived of this file" in caught.value.hint
    assert server.data == DATA[:5]
    assert len(server.asked("PUT")) == 1


async def test_an_attempt_that_left_nothing_is_made_again():
    server = PlainWeb(breaks=[(ConnectionLostError("cut"), 0)])
    store = server.store()
    intent = Intent(len(DATA), no_clobber=True)
    with pytest.raises(ConnectionLostError):
        await put(store, intent)
    await put(store, intent)
    assert server.data == DATA
    assert [request.headers["If-None-Match"] for request in server.asked("PUT")] == ["*"] * 2


async def test_who_has_sent_nothing_is_not_told_of_halves():
    server = PlainWeb(b"of somebody")
    with pytest.raises(ExistsError) as caught:
        await put(server.store(), Intent(len(DATA), no_clobber=True))
    assert caught.value.hint == ""


async def test_what_may_be_replaced_is_replaced_after_a_break():
    server = PlainWeb(breaks=[(ConnectionLostError("cut"), 0.5)])
    store = server.store()
    intent = Intent(len(DATA))
    with pytest.raises(ConnectionLostError, match="may show what arrived"):
        await put(store, intent)
    await put(store, intent)
    assert server.data == DATA
