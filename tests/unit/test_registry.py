from __future__ import annotations

import importlib
from contextlib import asynccontextmanager
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Any, cast

import pytest

from transfer import registry
from transfer.errors import MissingExtraError, UnknownSchemeError, UsageError
from transfer.locations import Location, Style, recorded
from transfer.registry import Scheme, locate, open_folder, open_root, schemes
from transfer.settings import Settings
from transfer.store import Context

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CONTEXT = Context(Settings(), cast("Any", None))
OPENED: list[str] = []


@asynccontextmanager
async def open_elsewhere(root: str, context: Context) -> AsyncIterator[str]:
    OPENED.append(root)
    yield root


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a distribution that brings a store of its own."""
    module = f"{__name__}:open_elsewhere"
    point = EntryPoint("elsewhere", module, "transfer.stores")
    monkeypatch.setattr(EntryPoint, "load", lambda _: open_elsewhere)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [point])
    assert point.group == "transfer.stores"


def test_schemes_are_read_in_their_styles():
    assert locate("s3://bucket/a%20b?c").key == "a%20b?c"
    assert locate("transfer+http://host:5000/a%20b").key == "a b"
    assert locate("transfer+https://host/a").root == "transfer+https://host"
    assert locate("mlflow-artifacts:/a").root == "mlflow-artifacts:"
    assert locate("memory://name/a").root == "memory://name"
    assert locate("/a/b").scheme == "file"


def test_unknown_scheme_names_the_known_ones():
    with pytest.raises(UnknownSchemeError, match="no store is known for gopher:") as caught:
        locate("gopher://host/a")
    assert all(scheme in caught.value.hint for scheme in schemes())


def test_schemes_that_a_user_may_want_are_listed_in_order():
    assert schemes() == sorted(schemes())
    assert {"file", "s3", "mlflow-artifacts"} <= set(schemes())
    assert "memory" not in schemes()


@pytest.mark.parametrize(
    "url",
    [
        "wasbs://box@acc.blob.core.windows.net/a b/c?d",
        "abfss://box@acc.dfs.core.windows.net/a/",
        "az://box/a%20b",
    ],
)
def test_place_in_a_container_is_written_as_it_was_typed(url: str):
    place = locate(url)
    assert str(place) == registry.typed(place) == url
    assert recorded(str(place)) == place


@pytest.mark.parametrize("scheme", ["az", "file", "memory", "s3", "wasbs"])
def test_table_names_openers_that_exist(scheme: str):
    module, _, name = registry.BUILTIN[scheme].opener.partition(":")
    assert callable(getattr(importlib.import_module(module), name))


async def test_missing_library_gives_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch):
    row = Scheme("backends.no_such_module:open_store", Style.LITERAL, "gcs")
    monkeypatch.setitem(registry.BUILTIN, "gs", row)
    opened = open_root(locate("gs://bucket/a"), CONTEXT)
    with pytest.raises(MissingExtraError, match="gs:// needs the module backends") as caught:
        await opened.__aenter__()
    assert caught.value.hint == "pip install 'multipart-transfer[gcs]'"


async def test_module_that_no_extra_brings_is_a_bug(monkeypatch: pytest.MonkeyPatch):
    row = Scheme("backends.no_such_module:open_store", Style.LITERAL)
    monkeypatch.setitem(registry.BUILTIN, "broken", row)
    opened = open_root(locate("broken://bucket/a"), CONTEXT)
    with pytest.raises(ModuleNotFoundError):
        await opened.__aenter__()


async def test_store_of_another_distribution_is_found(plugged: None):
    assert "elsewhere" in schemes()
    location = locate("elsewhere://root/a?b")
    assert location == Location("elsewhere", "elsewhere://root", "a?b")
    async with open_root(location, CONTEXT):
        assert OPENED.pop() == "elsewhere://root"


async def test_own_scheme_cannot_be_taken_over(plugged: None, monkeypatch: pytest.MonkeyPatch):
    point = EntryPoint("memory", "x:y", "transfer.stores")
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [point])
    async with open_root(locate("memory://mine"), CONTEXT) as store:
        assert store.url == "memory://mine"
    assert not OPENED


async def test_local_folder_becomes_the_root_itself():
    opened, prefix = open_folder(locate("/a/b/"), CONTEXT)
    async with opened as store:
        assert (store.url, prefix) == ("file:///a/b", "")


@pytest.mark.parametrize(
    ("url", "prefix"),
    [("memory://m", ""), ("memory://m/", ""), ("memory://m/a/b", "a/b/"), ("memory://m/a/", "a/")],
)
async def test_folder_elsewhere_becomes_a_prefix(url: str, prefix: str):
    opened, found = open_folder(locate(url), CONTEXT)
    async with opened as store:
        assert (store.url, found) == ("memory://m", prefix)


def test_url_that_names_no_bucket_is_a_usage_error():
    with pytest.raises(UsageError, match="names no bucket"):
        locate("s3:///key")


def test_hdfs_may_leave_its_host_to_hadoops_configuration():
    assert locate("hdfs:/a/b%20c?d") == Location("hdfs", "hdfs:", "a/b%20c?d")
    assert locate("hdfs:///a") == Location("hdfs", "hdfs:", "a")
    assert locate("hdfs://host:8020/a:b") == Location("hdfs", "hdfs://host:8020", "a:b")
    assert registry.typed(locate("hdfs:/a/b%20c")) == "hdfs:/a/b%20c"
