"""What a WebDAV server lists and could not look at itself: named, so that nobody misses it."""

from __future__ import annotations

import pytest

from backends.web.dav import Kinds
from backends.web.site import Site
from backends.web.store import HttpStore
from transfer.errors import AccessError
from transfer.store import Request, Response, Tls

REFUSED = "<D:status>HTTP/1.1 403 Forbidden</D:status>"
URL = "http://host"


def found(props: str) -> str:
    return f"<D:propstat><D:prop>{props}</D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat>"


FOLDER = found("<D:resourcetype><D:collection/></D:resourcetype>")
FILE = found("<D:getcontentlength>5</D:getcontentlength>")


class Listing:
    """Tells of addresses, in the order of the folders; everything but PROPFIND is refused."""

    def __init__(self, **folders: dict[str, str]) -> None:
        self._folders = folders

    async def exchange(self, request: Request, **_: object) -> Response:
        listed = self._folders.get(request.url.removeprefix(f"{URL}/").strip("/"))
        if request.method != "PROPFIND" or listed is None:
            return Response(403, {})
        items = [
            f"<D:response><D:href>{href}</D:href>{said}</D:response>"
            for href, said in listed.items()
        ]
        body = f'<D:multistatus xmlns:D="DAV:">{"".join(items)}</D:multistatus>'
        return Response(207, {}, body.encode())

    def store(self) -> HttpStore:
        site = Site(URL, {}, Tls(), self, 10.0)
        return HttpStore(URL, site, Kinds(site, known=True))


async def test_what_the_server_could_not_look_at_is_listed_and_fails_when_it_is_opened():
    broken = REFUSED.replace("403 Forbidden", "500 Internal Server Error")
    server = Listing(d={"/d/": FOLDER, "/d/a": FILE, "/d/b": REFUSED, "/d/c": broken})
    store = server.store()
    page = await store.scan("d/")
    assert [info.key for info in page.objects] == ["d/a", "d/b", "d/c"]
    with pytest.raises(AccessError):
        async with store.open("d/b", page.objects[1]):
            pass


async def test_a_folder_that_could_not_be_looked_at_is_listed_as_one_that_cannot_be_entered():
    store = Listing(d={"/d/": FOLDER, "/d/a/": REFUSED, "/d/b": FILE}).store()
    page = await store.scan("d/")
    assert [info.key for info in page.objects] == ["d/a", "d/b"]


async def test_who_is_not_let_into_the_folder_itself_is_told_so():
    store = Listing(d={"/d/": REFUSED}, e={"/e": REFUSED}).store()
    with pytest.raises(AccessError, match="look at http://host/d/: the server answered 403"):
        await store.scan("d/")
    with pytest.raises(AccessError):
        await store.stat("e")
