"""What a WebDAV server may answer to a COPY."""

from __future__ import annotations

import pytest

from backends.web.copies import DavCopies
from backends.web.site import Site
from transfer.errors import ConnectionLostError
from transfer.model import Intent, Span
from transfer.store import Origin, Response, Tls
from transfer.tally import Tally


class Copied:
    """A source of which nothing but its origin is looked at."""

    size = 5
    extent = None

    def __init__(self, realm):
        self.origin = Origin(Span(0, 5), realm, "a/from", '"1"')


def copies_with(answer, asked):
    """Return the copies of a server that answers so to everything."""

    class Mover:
        async def exchange(self, request):
            asked.append(request)
            if isinstance(answer, Exception):
                raise answer
            return Response(answer, {}, b"")

    return DavCopies(Site("http://host", {}, Tls(), Mover(), 1.0))


async def put(copies, **intent):
    return await copies.put("a/to", Copied(copies.realm), Intent(5, **intent), Tally())


@pytest.mark.parametrize("status", [201, 204])
async def test_a_copy_that_was_made(status):
    asked = []
    copies = copies_with(status, asked)
    assert await put(copies)
    assert asked[0].method == "COPY"
    assert asked[0].headers["Destination"] == "http://host/a/to"
    assert copies.unanswered == set()


@pytest.mark.parametrize("status", [207, 403, 405, 501])
async def test_a_copy_that_was_not_made_is_moved_and_not_asked_for_again(status):
    asked = []
    copies = copies_with(status, asked)
    assert not await put(copies)
    assert not await put(copies)
    assert len(asked) == 1


async def test_a_copy_that_was_not_answered_may_still_be_under_way():
    copies = copies_with(ConnectionLostError("gone"), [])
    with pytest.raises(ConnectionLostError):
        await put(copies)
    assert copies.unanswered == {"a/to"}


async def test_what_must_be_verified_is_not_copied():
    asked = []
    assert not await put(copies_with(201, asked), must_verify=True)
    assert asked == []


async def test_what_another_user_sees_is_not_copied():
    asked = []
    copies = copies_with(201, asked)
    other = DavCopies(Site("http://host", {"Authorization": "Basic eA=="}, Tls(), None, 1.0))
    source = Copied(other.realm)
    assert not await copies.put("a/to", source, Intent(5), Tally())
    assert asked == []
