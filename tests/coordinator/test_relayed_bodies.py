from __future__ import annotations

import pytest
from starlette.requests import Request

from transfer.coordinator.counters import Counters
from transfer.coordinator.relay import RequestBody
from transfer.errors import ConnectionLostError
from transfer.sources import BytesSink
from transfer.tally import Tally


async def test_a_body_that_is_spent_may_be_sent_again_by_its_client():
    """As when a store has closed the connection that a body was already going into."""

    async def receive():
        return {"type": "http.request", "body": b"12345", "more_body": False}

    request = Request({"type": "http", "method": "PUT", "headers": []}, receive)
    source = RequestBody(request, Counters(), stall_timeout=10).source(5)
    sink = BytesSink()
    await source.pour(sink, Tally())
    assert bytes(sink.data) == b"12345"
    with pytest.raises(ConnectionLostError) as caught:
        await source.pour(BytesSink(), Tally())
    assert caught.value.retryable
