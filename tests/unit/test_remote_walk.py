from __future__ import annotations

import pytest

from backends.remote_walk import PAGE, Entry, RemoteWalks
from transfer.errors import AccessError, ProtocolError, StoreError
from transfer.model import ObjectInfo


class Tree:
    """Folders as a dict, which count how often they are listed."""

    def __init__(self, *keys: str) -> None:
        self.keys = keys
        self.listed: list[str] = []
        self.closed: set[str] = set()

    async def entries(self, prefix: str) -> list[Entry]:
        self.listed.append(prefix)
        if prefix in self.closed:
            raise AccessError("no")
        names = {}
        for key in self.keys:
            if key.startswith(prefix):
                name, slash, _ = key[len(prefix) :].partition("/")
                names[name] = Entry(name) if slash else Entry(name, ObjectInfo(key, 1))
        return list(names.values())


async def all_keys(walks: RemoteWalks, prefix: str = "") -> list[str]:
    found, token = [], None
    while True:
        page = await walks.page(prefix, token)
        found += [info.key for info in page.objects]
        token = page.token
        if token is None:
            return found


async def test_keys_come_in_their_order():
    tree = Tree("b", "a/z", "a-b", "a.b", "a/b/c", "é")
    assert await all_keys(RemoteWalks(tree.entries)) == sorted(tree.keys)


async def test_pages_go_on_where_they_ended_and_each_folder_is_listed_once():
    tree = Tree(*(f"d{number // 500}/{number:05}" for number in range(2 * PAGE + 5)))
    walks = RemoteWalks(tree.entries)
    assert await all_keys(walks) == sorted(tree.keys)
    assert len(tree.listed) == len(set(tree.listed))


async def test_a_page_can_be_asked_of_somebody_who_has_not_walked():
    tree = Tree(*(f"d{number // 500}/{number:05}" for number in range(2 * PAGE + 5)))
    first = await RemoteWalks(tree.entries).page("", None)
    tree.listed.clear()
    page = await RemoteWalks(tree.entries).page("", first.token)
    assert [info.key for info in page.objects] == sorted(tree.keys)[PAGE : 2 * PAGE]
    assert "d0/" not in tree.listed


async def test_what_cannot_be_read_is_named_and_the_rest_is_listed():
    tree = Tree("a/x", "b/x", "c")
    tree.closed.add("a/")
    assert await all_keys(RemoteWalks(tree.entries)) == ["a", "b/x", "c"]


async def test_a_circle_of_links_has_no_end_and_says_so():
    async def entries(prefix: str) -> list[Entry]:
        del prefix
        return [Entry("x", leads_to="/other"), Entry("y", leads_to="/third")]

    with pytest.raises(StoreError, match="no end"):
        await all_keys(RemoteWalks(entries))


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "", "a\0b"])
async def test_names_that_no_folder_has_are_not_believed(name: str):
    async def entries(prefix: str) -> list[Entry]:
        del prefix
        return [Entry(name, ObjectInfo(name, 1))]

    with pytest.raises(ProtocolError):
        await RemoteWalks(entries).page("", None)
