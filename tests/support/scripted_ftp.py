"""A fake FTP server in memory, which does on demand what no real one can be told to do.

It knows no MLST unless that is among its `features`, and does not replace by a rename
unless told so.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MODIFIED = "20260101000000"


class ScriptedFtp:
    """What it holds, and how it differs from a good server; tests change both as they go."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.folders = {"/"}
        self.features = ["REST STREAM", "SIZE", "MDTM"]
        self.replaces = False
        # Said in place of what would be done, by whole command or verb; the last stays.
        self.replies: dict[str, list[str]] = defaultdict(list)
        # Commands that are carried out, and where that went well, the connection ends.
        self.cuts: set[str] = set()
        # Verbs whose data connections are neither closed nor said to be done.
        self.hangs: set[str] = set()
        # What LIST says, in place of what is there.
        self.listing: list[str] | None = None
        # What is said after a listing or a download.
        self.done = "226 done"
        self.down = False
        self.said: list[str] = []
        self.port = 0

    @property
    def url(self) -> str:
        """Where it is, for anybody."""
        return f"ftp://u@127.0.0.1:{self.port}/"

    def reply_to(self, line: str) -> str | None:
        """Return what the script says to a command."""
        for name in (line, line.partition(" ")[0]):
            if replies := self.replies.get(name):
                return replies[0] if len(replies) == 1 else replies.pop(0)
        return None

    def listed(self, folder: str, *, machine: bool) -> list[str]:
        """Return the lines of a listing."""
        if self.listing is not None:
            return self.listing
        above = folder.rstrip("/") + "/"
        below = {path: path[len(above) :] for path in (*self.folders, *self.files)}
        inside = [path for path, name in below.items() if path.startswith(above) and name]
        return [
            _line(path[len(above) :], self.files.get(path), machine=machine)
            for path in inside
            if "/" not in path[len(above) :]
        ]


def _line(name: str, content: bytes | None, *, machine: bool) -> str:
    if machine:
        facts = "type=dir" if content is None else f"type=file;size={len(content)}"
        return f"{facts};modify={MODIFIED}; {name}"
    mode = "drwxr-xr-x" if content is None else "-rw-r--r--"
    return f"{mode} 1 u u {len(content or b'')} Jan  1 00:00 {name}"


@asynccontextmanager
async def scripted_ftp() -> AsyncIterator[ScriptedFtp]:
    """Serve on loopback until the end of the block."""
    script = ScriptedFtp()
    clients: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        clients.add(task)
        client = _Client(script, reader, writer)
        with suppress(OSError, asyncio.CancelledError):
            await client.serve()
        client.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    script.port = server.sockets[0].getsockname()[1]
    try:
        yield script
    finally:
        server.close()
        for task in clients:
            task.cancel()
        if clients:
            await asyncio.wait(clients)


class _Client:
    def __init__(
        self, script: ScriptedFtp, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._script = script
        self._reader = reader
        self._writer = writer
        self._open = [writer]
        self._binary = False
        self._folder = "/"
        self._renamed = ""
        self._start = 0
        self._data: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]]

    def _say(self, text: str) -> None:
        self._writer.write(f"{text}\r\n".encode())

    def close(self) -> None:
        for writer in self._open:
            writer.close()

    async def serve(self) -> None:
        if self._script.down:
            self._say("421 down")
            return
        self._say("220 hello")
        while line := (await self._reader.readline()).decode().rstrip("\r\n"):
            self._script.said.append(line)
            verb, _, argument = line.partition(" ")
            reply = self._script.reply_to(line)
            if reply is None:
                carry_out = getattr(self, f"_{verb.lower()}", None)
                reply = await carry_out(argument) if carry_out else "500 what?"
            if line in self._script.cuts and reply.startswith("2"):
                return
            self._say(reply)
            if reply.startswith("421"):
                return

    async def _user(self, name: str) -> str:
        return f"230 hello {name}"

    async def _feat(self, _: str) -> str:
        return "\r\n".join(["211-", *(f" {name}" for name in self._script.features), "211 end"])

    async def _type(self, name: str) -> str:
        self._binary = name == "I"
        return "200 fine"

    async def _noop(self, _: str) -> str:
        return "200 fine"

    async def _epsv(self, _: str) -> str:
        data = self._data = asyncio.get_running_loop().create_future()

        async def connected(*streams: asyncio.StreamReader | asyncio.StreamWriter) -> None:
            server.close()
            self._open.append(streams[1])
            data.set_result(streams)

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        return f"229 here (|||{server.sockets[0].getsockname()[1]}|)"

    async def _cwd(self, path: str) -> str:
        if path not in self._script.folders:
            return "550 no such folder"
        self._folder = path
        return "250 there"

    async def _mkd(self, path: str) -> str:
        self._script.folders.add(path)
        return "257 made"

    async def _list(self, _: str) -> str:
        lines = self._script.listed(self._folder, machine=False)
        return await self._send("LIST", "".join(f"{line}\r\n" for line in lines).encode())

    async def _mlsd(self, _: str) -> str:
        lines = self._script.listed(self._folder, machine=True)
        return await self._send("MLSD", "".join(f"{line}\r\n" for line in lines).encode())

    async def _rest(self, start: str) -> str:
        self._start = int(start)
        return "350 from there"

    async def _retr(self, path: str) -> str:
        start, self._start = self._start, 0
        if path not in self._script.files:
            return "550 no such file"
        return await self._send("RETR", self._script.files[path][start:])

    async def _send(self, verb: str, content: bytes) -> str:
        self._say("150 here it comes")
        _, writer = await self._data
        writer.write(content)
        if verb in self._script.hangs:
            await anyio.sleep_forever()
        writer.close()
        return self._script.done

    async def _stor(self, path: str) -> str:
        if path.rpartition("/")[0] not in {*self._script.folders, ""}:
            return "553 Could not create file."
        self._say("150 go on")
        reader, writer = await self._data
        self._script.files[path] = await reader.read()
        writer.close()
        return "226 done"

    async def _size(self, path: str) -> str:
        if not self._binary:
            return "550 SIZE not allowed in ASCII mode."
        content = self._script.files.get(path)
        return "550 no such file" if content is None else f"213 {len(content)}"

    async def _mdtm(self, path: str) -> str:
        return f"213 {MODIFIED}" if path in self._script.files else "550 no such file"

    async def _mlst(self, path: str) -> str:
        if path not in {*self._script.files, *self._script.folders}:
            return "550 no such thing"
        line = _line(path, self._script.files.get(path), machine=True)
        return f"250-here\r\n {line}\r\n250 end"

    async def _dele(self, path: str) -> str:
        return "550 no such file" if self._script.files.pop(path, None) is None else "250 gone"

    async def _rnfr(self, path: str) -> str:
        self._renamed = path
        return "350 to what?" if path in self._script.files else "550 no such file"

    async def _rnto(self, path: str) -> str:
        if path in self._script.folders or (
            path in self._script.files and not self._script.replaces
        ):
            return "550 there is such a file"
        self._script.files[path] = self._script.files.pop(self._renamed)
        return "250 renamed"

    async def _quit(self, _: str) -> str:
        return "421 bye"
