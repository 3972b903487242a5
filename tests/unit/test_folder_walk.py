from __future__ import annotations

import pytest

from backends.folder_walk import FolderWalk
from transfer.errors import UsageError
from transfer.model import ObjectInfo

FILES = ["b", "a/x", "a/deep/er/y", "a/deep/z", "a-b/w", "c/v", "c/u"]


class Tree:
    """Folders of a tree, listed in an order that is no order; `asked` counts."""

    def __init__(self, files: list[str]) -> None:
        self.files = files
        self.asked: list[str] = []

    async def list_folder(self, folder: str) -> tuple[list[ObjectInfo], list[str]]:
        self.asked.append(folder)
        inside = [name for name in reversed(self.files) if name.startswith(folder)]
        rest = [name.removeprefix(folder) for name in inside]
        files = [ObjectInfo(folder + name, 1) for name in rest if "/" not in name]
        return files, list({folder + name.partition("/")[0] + "/" for name in rest if "/" in name})


async def walked(tree: Tree, prefix: str = "", *, one: bool = False) -> list[str]:
    """List all, a page at a time; each page by a walk of its own unless `one`."""
    found: list[str] = []
    walk, token = FolderWalk(tree.list_folder), None
    while True:
        if not one:
            walk = FolderWalk(tree.list_folder)
        page = await walk.page(prefix, token, folders=False)
        found += [info.key for info in page.objects]
        token = page.token
        if token is None:
            return found


@pytest.mark.parametrize("one", [True, False])
async def test_every_file_is_listed_once_in_a_fixed_order(one: bool):
    found = await walked(Tree(FILES), one=one)
    assert sorted(found) == sorted(FILES)
    assert found == await walked(Tree(FILES[::-1]), one=one)


async def test_a_walk_stays_below_its_prefix():
    tree = Tree(FILES)
    assert await walked(tree, "a/") == ["a/x", "a/deep/z", "a/deep/er/y"]
    assert "" not in tree.asked
    assert await walked(tree, "nowhere/") == []


async def test_one_walk_asks_for_each_folder_once():
    tree = Tree(FILES)
    await walked(tree, one=True)
    assert len(tree.asked) == len(set(tree.asked)) == 6


async def test_a_folder_that_has_gone_is_passed_over():
    tree = Tree(FILES)
    page = await FolderWalk(tree.list_folder).page("", "a-b/", folders=False)
    assert page.token == "a/"
    tree.files = ["b", "c/v"]
    page = await FolderWalk(tree.list_folder).page("", page.token, folders=False)
    assert (page.objects, page.token) == ((), "c/")


async def test_folders_are_summed_up():
    page = await FolderWalk(Tree(FILES).list_folder).page("", None, folders=True)
    assert page.folders == ("a-b/", "a/", "c/")
    assert page.token is None


@pytest.mark.parametrize("token", ["b/", "", "a/x", "../"])
async def test_a_token_that_leads_elsewhere_is_refused(token: str):
    with pytest.raises(UsageError):
        await FolderWalk(Tree(FILES).list_folder).page("a/", token, folders=False)
