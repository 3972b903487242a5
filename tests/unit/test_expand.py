from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from backends.local.store import LocalStore
from backends.memory import MemoryStore
from transfer.engine.expand import Filter, Item, Lookup, check_pull_target, check_target, expand
from transfer.errors import AccessError, BadKeyError, NotFoundError, UsageError
from transfer.model import ObjectInfo, Page
from transfer.registry import locate

if TYPE_CHECKING:
    from pathlib import Path

    from transfer.locations import Location
    from transfer.store import Store

NO_FILTER = Filter()


class Shop:
    """Looks sources up in a store, as a run does, without retries."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def __call__(self, location: Location) -> Lookup:
        return Lookup(self._store, self._store.stat, self._store.scan)


def memory(*keys: str) -> MemoryStore:
    store = MemoryStore(url="memory://m")
    for key in keys:
        store.store(key, key.encode())
    return store


async def found(
    store: Store, sources: list[str], target: str, chosen: Filter = NO_FILTER
) -> list[Item]:
    froms = [locate(source) for source in sources]
    return [item async for item in expand(froms, locate(target), Shop(store), chosen)]


async def moves(
    store: Store, sources: list[str], target: str, chosen: Filter = NO_FILTER
) -> dict[str, str]:
    items = await found(store, sources, target, chosen)
    assert [item.error for item in items] == [None] * len(items)
    return {str(item.source): str(item.target) for item in items}


async def test_file_becomes_the_target_itself():
    assert await moves(memory("a/f"), ["memory://m/a/f"], "s3://b/x") == {
        "memory://m/a/f": "s3://b/x"
    }


async def test_file_goes_into_a_folder():
    assert await moves(memory("a/f"), ["memory://m/a/f"], "s3://b/x/") == {
        "memory://m/a/f": "s3://b/x/f"
    }


async def test_file_goes_to_the_top_of_a_bucket():
    assert await moves(memory("a/f"), ["memory://m/a/f"], "s3://b") == {
        "memory://m/a/f": "s3://b/f"
    }


async def test_file_goes_into_a_local_folder_that_exists(tmp_path: Path):
    (tmp_path / "there").mkdir()
    for name, target in (("there", "there/f"), ("new", "new")):
        assert await moves(memory("a/f"), ["memory://m/a/f"], f"{tmp_path}/{name}") == {
            "memory://m/a/f": f"{tmp_path}/{target}"
        }


async def test_several_files_make_the_target_a_folder():
    sources = ["memory://m/a/f", "memory://m/g"]
    assert await moves(memory("a/f", "g"), sources, "s3://b/x") == {
        "memory://m/a/f": "s3://b/x/f",
        "memory://m/g": "s3://b/x/g",
    }


async def test_tree_goes_into_a_folder_of_its_name():
    store = memory("dir/a", "dir/sub/b", "dirt", "other/c")
    assert await moves(store, ["memory://m/dir"], "s3://b/x") == {
        "memory://m/dir/a": "s3://b/x/dir/a",
        "memory://m/dir/sub/b": "s3://b/x/dir/sub/b",
    }


async def test_slash_moves_the_contents_of_a_tree():
    store = memory("dir/a", "dir/sub/b", "other/c")
    for target in ("s3://b/x", "s3://b/x/"):
        assert await moves(store, ["memory://m/dir/"], target) == {
            "memory://m/dir/a": "s3://b/x/a",
            "memory://m/dir/sub/b": "s3://b/x/sub/b",
        }


async def test_whole_bucket_moves_its_contents():
    assert await moves(memory("a", "d/b"), ["memory://m"], "s3://b/x") == {
        "memory://m/a": "s3://b/x/a",
        "memory://m/d/b": "s3://b/x/d/b",
    }


async def test_tree_of_many_pages_is_listed_to_its_end():
    store = memory(*(f"d/{n:05}" for n in range(2500)))
    assert len(await moves(store, ["memory://m/d/"], "s3://b/x")) == 2500


async def test_folder_markers_of_consoles_are_left_out():
    store = memory("dir/", "dir/a", "dir/sub/", "dir/sub/b")
    assert set(await moves(store, ["memory://m/dir/"], "s3://b/x")) == {
        "memory://m/dir/a",
        "memory://m/dir/sub/b",
    }


async def test_filter_is_by_the_path_in_the_tree():
    store = memory("dir/a.txt", "dir/b.bin", "dir/sub/c.txt", "dir/sub/d.bin")
    chosen = Filter(include=("*.txt",), exclude=("sub",))
    assert set(await moves(store, ["memory://m/dir"], "s3://b/x", chosen)) == {
        "memory://m/dir/a.txt"
    }


async def test_file_that_is_named_is_not_filtered():
    assert await moves(memory("a.bin"), ["memory://m/a.bin"], "s3://b/x", Filter(("*.txt",)))


async def test_object_wins_over_the_folder_of_the_same_name():
    assert await moves(memory("a", "a/b"), ["memory://m/a"], "s3://b/x") == {
        "memory://m/a": "s3://b/x"
    }


@pytest.mark.parametrize("source", ["memory://m/none", "memory://m/none/"])
async def test_source_that_does_not_exist_is_an_item_with_an_error(source: str):
    [item] = await found(memory("nonesuch"), [source], "s3://b/x")
    assert isinstance(item.error, NotFoundError)
    assert (str(item.source), item.info.size) == (source, 0)


async def test_sources_that_do_not_exist_do_not_get_into_each_others_way():
    sources = ["memory://m/none", "memory://m/nothing"]
    items = await found(memory("a"), sources, "s3://b/x")
    assert [type(item.error) for item in items] == [NotFoundError, NotFoundError]


async def test_missing_source_does_not_stop_the_others():
    sources = ["memory://m/none", "memory://m/a"]
    first, second = await found(memory("a"), sources, "s3://b/x")
    assert isinstance(first.error, NotFoundError)
    assert (second.error, str(second.target)) == (None, "s3://b/x/a")


async def test_empty_local_folder_is_nothing_to_move(tmp_path: Path):
    store = LocalStore(tmp_path.parent.parent / "/")
    for source in (f"{tmp_path}", f"{tmp_path}/"):
        assert await found(store, [source], "s3://b/x") == []


@pytest.mark.parametrize("count", [2, 3])
async def test_several_sources_of_one_target_are_an_error_of_all_but_the_first(count: int):
    sources = ["memory://m/a/f", "memory://m/b/f", "memory://m/c/f"][:count]
    items = await found(memory("a/f", "b/f", "c/f"), sources, "s3://b/x")
    assert [item.error is None for item in items] == [True, False, False][:count]
    assert isinstance(items[1].error, UsageError)
    assert "two sources" in str(items[1].error)


async def test_names_from_a_store_must_not_lead_out_of_a_local_folder(tmp_path: Path):
    store = memory("d/good", "d/../../bad", "d//worse", "d/back\\..\\slash")
    items = await found(store, ["memory://m/d/"], f"{tmp_path}/")
    good = [item for item in items if item.error is None]
    assert [str(item.target) for item in good] == [f"{tmp_path}/good"]
    assert {type(item.error) for item in items} == {type(None), BadKeyError}
    assert len(items) == 4


async def test_names_from_a_store_are_literal_in_another_store():
    assert await moves(memory("d/../x"), ["memory://m/d/"], "s3://b/y") == {
        "memory://m/d/../x": "s3://b/y/../x"
    }


class Broken(MemoryStore):
    async def stat(self, key: str) -> ObjectInfo:
        raise AccessError("not allowed to look")

    async def scan(self, prefix: str, token: str | None = None, *, folders: bool = False) -> Page:
        if token is None:
            return Page((ObjectInfo(prefix + "first", 1),), token="more")
        raise AccessError("not allowed to list")


async def test_source_that_cannot_be_looked_at_is_an_item_with_an_error():
    [item] = await found(Broken(), ["memory://m/a"], "s3://b/x")
    assert isinstance(item.error, AccessError)
    assert item.info.size == 0


async def test_listing_that_breaks_off_keeps_what_it_had():
    first, second = await found(Broken(), ["memory://m/d/"], "s3://b/x")
    assert str(first.target) == "s3://b/x/first"
    assert isinstance(second.error, AccessError)
    assert second.info.size == 0


def test_target_must_not_be_a_source():
    with pytest.raises(UsageError, match="both source and target"):
        check_target([locate("s3://b/k"), locate("s3://b/l")], locate("s3://b/l"))
    check_target([locate("s3://b/k")], locate("s3://c/k"))


def test_something_must_be_moved():
    with pytest.raises(UsageError, match="name a source"):
        check_target([], locate("s3://b/l"))


def test_pull_writes_to_this_machine():
    check_pull_target(locate("/a/b"))
    with pytest.raises(UsageError, match="pull writes to a path on this machine, s3://b/k is none"):
        check_pull_target(locate("s3://b/k"))


@pytest.mark.parametrize(
    ("include", "exclude", "path", "accepted"),
    [
        ((), (), "a/b.txt", True),
        (("*.txt",), (), "a/b.txt", True),
        (("b.txt",), (), "a/b.txt", True),
        (("a/b.txt",), (), "a/b.txt", True),
        (("a",), (), "a/b.txt", True),
        (("a/*",), (), "a/c/b.txt", True),
        (("?.txt", "*.bin"), (), "b.bin", True),
        (("*.bin",), (), "a/b.txt", False),
        (("*.TXT",), (), "a/b.txt", False),
        (("b",), (), "a/b.txt", False),
        ((), ("*.txt",), "a/b.txt", False),
        ((), ("a",), "a/b.txt", False),
        ((), ("a",), "ab/b.txt", True),
        (("*.txt",), ("a",), "a/b.txt", False),
        (("*.txt",), ("*.bin",), "a/b.txt", True),
    ],
)
def test_filter(include: tuple[str, ...], exclude: tuple[str, ...], path: str, accepted: bool):
    assert Filter(include, exclude).accepts(path) is accepted
