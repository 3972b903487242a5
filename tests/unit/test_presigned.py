from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from backends.presigned import RemoteObject, check_echo, send_signed
from transfer.checksums import Algorithm, checksum_of
from transfer.errors import (
    AccessError,
    DamagedInTransitError,
    ExpiredError,
    PreconditionError,
    SourceChangedError,
    TransferError,
)
from transfer.model import ObjectInfo, Span
from transfer.sources import BytesSink, BytesSource
from transfer.store import Request, Response, SignedRequest, Sink, Source, Tls
from transfer.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Mapping

BODY = b"0123456789"
ERRORS = {403: AccessError, 410: ExpiredError, 412: PreconditionError}


class ScriptedMover:
    """Answers from a list; writes down what it was asked."""

    def __init__(self, *answers: tuple[int, Mapping[str, str], bytes]) -> None:
        self.answers = list(answers)
        self.requests: list[Request] = []

    async def exchange(
        self,
        request: Request,
        *,
        source: Source | None = None,
        sink: Sink | None = None,
        tally: Tally | None = None,
    ) -> Response:
        self.requests.append(request)
        status, headers, body = self.answers.pop(0)
        if source is not None:
            await source.pour(BytesSink(), tally or Tally())
        if sink is not None and status < 300 and tally is not None:
            tally.restart()
            tally.update(body)
            await sink.write(0, body)
        return Response(status, headers)


def error_of(answer: Response) -> TransferError:
    return ERRORS[answer.status](f"status {answer.status}")


class Remote:
    """A remote object on a script; `asked` are the questions to its signer."""

    def __init__(self, *answers: Any, version: str | None = '"v1"', ranged: bool = True) -> None:
        self.mover = ScriptedMover(*answers)
        self.asked: list[bool] = []
        info = ObjectInfo("key", len(BODY), version)
        self.object = RemoteObject(
            info,
            self.mover,
            self.sign,
            tls_for=lambda _: Tls(verify=False),
            error_of=error_of,
            ranged=ranged,
        )

    async def sign(self, expired: bool) -> SignedRequest:
        self.asked.append(expired)
        return SignedRequest("GET", "https://host/key?signed", {"x-signed": "1"}, 60.0)

    async def read(self, start: int, stop: int) -> bytes:
        sink = BytesSink()
        await self.object.source(Span(start, stop)).pour(sink, Tally())
        return bytes(sink.data)


async def test_range_is_asked_for_and_pinned_to_the_version():
    remote = Remote((206, {"etag": '"v1"'}, BODY[2:5]))
    assert await remote.read(2, 5) == BODY[2:5]
    [request] = remote.mover.requests
    assert (request.span, request.headers) == (
        Span(2, 5),
        {"x-signed": "1", "If-Match": '"v1"'},
    )
    assert request.tls == Tls(verify=False)


async def test_server_without_ranges_is_asked_for_the_whole():
    remote = Remote((200, {}, BODY), ranged=False)
    assert await remote.read(0, 10) == BODY
    assert remote.mover.requests[0].span is None


async def test_empty_range_is_not_asked_for():
    remote = Remote()
    assert await remote.read(3, 3) == b""
    assert remote.asked == []


async def test_version_that_does_not_hold_is_a_changed_source():
    with pytest.raises(SourceChangedError, match="key was replaced"):
        await Remote((412, {}, b"")).read(0, 3)


async def test_version_that_the_server_ignored_is_compared():
    with pytest.raises(SourceChangedError):
        await Remote((206, {"etag": '"v2"'}, b"abc")).read(0, 3)


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"content-range": "bytes 0-2/11"}, 206), ({"content-length": "3"}, 200)],
)
async def test_range_of_an_object_of_another_length_is_of_another_object(headers, status):
    with pytest.raises(SourceChangedError):
        await Remote((status, {"etag": '"v1"', **headers}, b"abc")).read(0, 3)


async def test_quotes_around_a_version_do_not_matter():
    assert await Remote((206, {"etag": "v1"}, b"abc")).read(0, 3) == b"abc"


async def test_version_that_was_never_given_is_that_of_the_first_range():
    answers = [(206, {"etag": "a"}, b"abc"), (206, {}, b"def"), (206, {"etag": "b"}, b"ghi")]
    remote = Remote(*answers, version=None)
    assert await remote.read(0, 3) == b"abc"
    assert await remote.read(3, 6) == b"def"
    with pytest.raises(SourceChangedError):
        await remote.read(6, 9)
    assert "If-Match" not in remote.mover.requests[0].headers


async def test_permission_that_has_expired_is_asked_for_anew():
    remote = Remote((410, {}, b""), (206, {}, b"abc"), (206, {}, b"abc"))
    with pytest.raises(ExpiredError):
        await remote.read(0, 3)
    await remote.read(0, 3)
    await remote.read(0, 3)
    assert remote.asked == [False, True, False]


async def test_other_errors_are_raised_as_they_are():
    remote = Remote((403, {}, b""))
    with pytest.raises(AccessError):
        await remote.read(0, 3)


async def test_range_that_is_too_short_is_damaged():
    with pytest.raises(DamagedInTransitError, match="2 bytes arrived, 3 were asked for"):
        await Remote((206, {}, b"ab")).read(0, 3)


async def test_source_is_sent_with_the_headers_that_were_signed():
    mover = ScriptedMover((200, {"etag": "e"}, b""))
    signed = SignedRequest("PUT", "https://host/key?signed", {"content-length": "10"}, 60.0)
    tally = Tally()
    answer = await send_signed(mover, signed, BytesSource(BODY), tally, tls=None, error_of=error_of)
    assert answer.headers["etag"] == "e"
    assert tally.moved == len(BODY)
    assert mover.requests[0].headers == {"content-length": "10"}


async def test_refused_source_is_an_error():
    signed = SignedRequest("PUT", "https://host/key?signed", {}, 60.0)
    with pytest.raises(AccessError):
        await send_signed(
            ScriptedMover((403, {}, b"")),
            signed,
            BytesSource(BODY),
            Tally(),
            tls=None,
            error_of=error_of,
        )


def test_echo_of_the_server_is_compared():
    tally = Tally(Algorithm.CRC32C)
    tally.update(BODY)
    check_echo("put", str(checksum_of(Algorithm.CRC32C, BODY)), tally)
    check_echo("put", None, tally)
    check_echo("put", "no checksum", tally)
    check_echo("put", str(checksum_of(Algorithm.CRC32, b"other")), tally)
    check_echo("put", str(checksum_of(Algorithm.CRC32C, b"other")), Tally())
    with pytest.raises(DamagedInTransitError, match="put: the server got other bytes"):
        check_echo("put", str(checksum_of(Algorithm.CRC32C, b"other")), tally)
