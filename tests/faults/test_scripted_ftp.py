"""FTP servers that do what no real one can be told to do: a fake, in memory."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from backends.partial_file import is_ours
from tests.conformance.suite import get, keys, put
from tests.support.scripted_ftp import scripted_ftp
from transfer.errors import (
    AccessError,
    ConnectionLostError,
    ExistsError,
    ProtocolError,
    StalledError,
    UnavailableError,
)
from transfer.model import Intent, Span
from transfer.registry import locate, open_folder
from transfer.settings import Settings
from transfer.sources import BytesSource
from transfer.store import Context
from transfer.tally import Tally

ENVIRON = {
    "TRANSFER_CONNECT_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT": "1",
}
NONCE = "0123456789abcdef" * 2
ASIDE = "/a.before-01234567"


def opened(server, notices=None):
    """Open the store at the root of a server."""
    notify = (notices if notices is not None else []).append
    context = Context(Settings.from_env(ENVIRON), None, False, notify)
    return open_folder(locate(server.url), context)[0]


async def put_again(store, key, data, **intent):
    """Store bytes as each attempt of one upload does."""
    wanted = Intent(len(data), nonce=NONCE, **intent)
    return await store.put(key, BytesSource(data), wanted, Tally())


# --- a name that is taken, where a rename does not replace


async def test_a_file_is_replaced_and_nothing_stays_beside_it():
    notices = []
    async with scripted_ftp() as server, opened(server, notices) as store:
        server.files["/a"] = b"old"
        await put_again(store, "a", b"new")
        assert server.files == {"/a": b"new"}
    assert notices == []


async def test_what_stepped_aside_is_put_back_on_another_connection():
    async with scripted_ftp() as server, opened(server) as store:
        server.files["/a"] = b"old"
        server.cuts = {f"RNTO {ASIDE}"}
        with pytest.raises(ConnectionLostError) as caught:
            await put_again(store, "a", b"new")
        assert server.files == {"/a": b"old"}
        assert "left" not in str(caught.value)
        server.cuts.clear()
        await put_again(store, "a", b"new")
        assert server.files == {"/a": b"new"}


async def test_what_waits_aside_is_named_and_taken_away_after_success():
    async with scripted_ftp() as server, opened(server) as store:
        server.files["/a"] = b"old"
        server.cuts = {f"RNTO {ASIDE}"}

        class Failing(BytesSource):
            """The server goes down as soon as it has the bytes."""

            async def pour(self, sink, tally):
                await super().pour(sink, tally)
                server.down = True

        with pytest.raises(ConnectionLostError, match=rf"{ASIDE}: rename it back"):
            await store.put("a", Failing(b"new"), Intent(3, nonce=NONCE), Tally())
        assert server.files[ASIDE] == b"old"
        assert not is_ours(ASIDE[1:])
        server.cuts, server.down = set(), False
        await put_again(store, "a", b"new")
        assert server.files == {"/a": b"new"}


async def test_an_answer_that_is_lost_leaves_the_new_file_alone():
    async with scripted_ftp() as server, opened(server) as store:
        server.files["/a"] = b"old"
        server.cuts = {"RNTO /a"}
        with pytest.raises(ConnectionLostError):
            await put_again(store, "a", b"new")
        assert server.files == {"/a": b"new"}
        server.cuts.clear()
        await put_again(store, "a", b"newer")
        assert server.files == {"/a": b"newer"}


async def test_an_old_file_that_cannot_be_taken_away_is_told():
    notices = []
    async with scripted_ftp() as server, opened(server, notices) as store:
        server.files["/a"] = b"old"
        server.replies[f"DELE {ASIDE}"] = ["550 denied"]
        await put_again(store, "a", b"new")
        assert await get(store, "a") == b"new"
    [notice] = notices
    assert ASIDE in notice


async def test_no_old_file_steps_aside_for_one_that_must_not_replace():
    async with scripted_ftp() as server, opened(server) as store:

        class Slower(BytesSource):
            """Somebody else makes the file meanwhile, unseen until it is to be replaced."""

            async def pour(self, sink, tally):
                await super().pour(sink, tally)
                server.replies["SIZE /a"] = ["550 no such file", "213 3"]
                server.files["/a"] = b"old"

        intent = Intent(3, nonce=NONCE, no_clobber=True)
        with pytest.raises(ExistsError):
            await store.put("a", Slower(b"new"), intent, Tally())
        assert server.files == {"/a": b"old"}


# --- listings that leave nothing out unseen


def _with_a_folder(server, *, machine):
    server.files = {"/d/a": b"12", "/d/sub/b": b"345"}
    server.folders = {"/", "/d", "/d/sub"}
    if machine:
        server.features.append("MLST type*;size*;modify*;")


@pytest.mark.parametrize("machine", [True, False])
@pytest.mark.parametrize("reply", ["450 busy", "421 closing"])
async def test_a_folder_that_cannot_be_entered_now_is_tried_again(machine, reply):
    async with scripted_ftp() as server:
        _with_a_folder(server, machine=machine)
        server.replies["CWD /d/sub"] = [reply, "250 there"]
        async with opened(server) as store:
            with pytest.raises(UnavailableError) as caught:
                await keys(store, "d/")
            assert caught.value.retryable
            server.replies.clear()
            assert await keys(store, "d/") == ["d/a", "d/sub/b"]


@pytest.mark.parametrize("machine", [True, False])
@pytest.mark.parametrize("reply", ["550 Permission denied.", "550 Failed to change directory."])
async def test_a_folder_that_may_not_be_entered_is_no_empty_one(machine, reply):
    async with scripted_ftp() as server:
        _with_a_folder(server, machine=machine)
        server.replies["CWD /d/sub"] = [reply]
        async with opened(server) as store:
            with pytest.raises(AccessError, match="check the permissions"):
                await store.scan("d/sub/", folders=True)
            # What is asked for will not be found there, and that is told.
            assert await keys(store, "d/") == ["d/a", "d/sub"]


class Once(list[str]):
    """One reply; then the server answers by itself again."""

    def pop(self, *_: Any) -> str:
        reply = self[0]
        self.clear()
        return reply


@pytest.mark.parametrize("machine", [True, False])
async def test_a_folder_that_was_made_just_now_may_be_entered(machine):
    async with scripted_ftp() as server:
        _with_a_folder(server, machine=machine)
        server.replies["CWD /d/sub"] = Once(["550 Failed to change directory.", ""])
        async with opened(server) as store:
            assert await keys(store, "d/sub/") == ["d/sub/b"]


@pytest.mark.parametrize("machine", [True, False])
async def test_a_folder_that_is_not_there_is_empty(machine):
    async with scripted_ftp() as server:
        _with_a_folder(server, machine=machine)
        async with opened(server) as store:
            assert await keys(store, "d/none/of/it/") == []
            assert await keys(store, "d/a/") == []


async def test_a_folder_that_may_not_be_read_is_no_empty_one():
    async with scripted_ftp() as server:
        _with_a_folder(server, machine=False)
        server.listing = []
        server.done = "226 Transfer done (but failed to open directory)."
        async with opened(server) as store:
            with pytest.raises(AccessError, match="failed to open directory"):
                await store.scan("d/", folders=True)


async def test_sizes_that_are_not_told_leave_no_file_out():
    link = "lrwxrwxrwx 1 u u 1 Jan  1 00:00 b -> a"
    async with scripted_ftp() as server:
        server.listing = [link]
        server.replies["SIZE /b"] = ["450 busy", "550 a folder"]
        async with opened(server) as store:
            with pytest.raises(UnavailableError):
                await keys(store, "")
            assert await keys(store, "") == []
        server.features.append("MLST type*;")
        server.listing = ["type=file; b"]
        async with opened(server) as store:
            assert await keys(store, "") == ["b"]


async def test_a_listing_in_a_form_that_is_not_known_is_an_error():
    async with scripted_ftp() as server:
        server.listing = ["-rw-r--r-- 1 u g 7 heute a"]
        async with opened(server) as store:
            with pytest.raises(ProtocolError, match="heute"):
                await keys(store, "")


async def test_a_flag_is_not_left_out_because_a_connection_failed():
    async with scripted_ftp() as server:
        server.replies["LIST -a"] = ["425 cannot connect"]
        async with opened(server) as store:
            with pytest.raises(ConnectionLostError):
                await keys(store, "")


# --- servers that stop in the middle


@pytest.mark.parametrize("feature", ["MLST type*;", "SIZE"])
async def test_a_listing_that_does_not_end_is_given_up(feature):
    async with scripted_ftp() as server:
        server.features.append(feature)
        server.hangs = {"LIST", "MLSD"}
        async with opened(server) as store:
            with anyio.fail_after(4), pytest.raises(StalledError):
                await keys(store, "")


@pytest.mark.parametrize("span", [None, Span(1, 3)], ids=["whole", "a range, asked for first"])
async def test_a_file_that_does_not_end_is_given_up(span):
    async with scripted_ftp() as server:
        server.files["/a"] = b"0123"
        server.hangs = {"RETR"}
        async with opened(server) as store:
            with anyio.fail_after(4), pytest.raises(StalledError):
                await get(store, "a", span)


# --- folders that somebody removes


async def test_a_folder_that_was_removed_is_made_again():
    async with scripted_ftp() as server, opened(server) as store:
        await put(store, "d/e/a", b"1")
        server.folders, server.files = {"/"}, {}
        with pytest.raises(UnavailableError, match="folder has been removed") as caught:
            await put(store, "d/e/a", b"1")
        assert caught.value.retryable
        await put(store, "d/e/a", b"1")
        assert server.files == {"/d/e/a": b"1"}


async def test_a_folder_that_nothing_may_be_written_to_is_not_taken_for_removed():
    async with scripted_ftp() as server, opened(server) as store:
        await put(store, "d/a", b"1")
        server.replies["STOR"] = ["553 Could not create file."]
        for _ in range(2):
            with pytest.raises(AccessError, match="553"):
                await put(store, "d/a", b"1")


# --- servers that tell no sizes in the type that is the first


async def test_a_size_is_asked_for_in_binary_type():
    async with scripted_ftp() as server:
        server.files["/a"] = b"0123"
        async with opened(server) as store:
            assert (await store.stat("a")).size == 4
            assert await get(store, "a") == b"0123"
