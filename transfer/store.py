"""The one contract between the engine and whatever keeps objects.

A coordinator is a store: `S3Store` signs its own part URLs with the credentials
at hand, `CoordinatedStore` asks a remote coordinator for them, a folder writes
parts at their offsets. The engine cannot tell which it talks to. The required
core is small and has no defaults; what only some stores can do is a *facet*: an
attribute that is a protocol or None (unlike isinstance, it survives wrapping).

Everything that moves bytes is a `Source` poured into a `Sink`. A source can be
poured again from its start, which is what makes a retry legal. Where both ends
lie in files or sockets, the `extent` facet lets the kernel do the work.

All methods raise TransferError only; all may be cancelled at any await and then
leave nothing behind that `Parts.abort` or the store itself does not clean up.
Nothing here retries: the engine is the one authority for that.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias

from transfer.redaction import redact
from transfer.sizes import MIB

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from threading import Lock

    from typing_extensions import Buffer

    from transfer.checksums import Checksum
    from transfer.model import (
        Expected,
        Intent,
        ObjectInfo,
        Page,
        Part,
        PartLimits,
        Receipt,
        Span,
        Traits,
        Upload,
    )
    from transfer.settings import Settings
    from transfer.tally import Tally


@dataclass(frozen=True, slots=True)
class Extent:
    """A range of an open file: `fd` stays open as long as its owner does.

    `check` is called, in a thread, when all bytes of a source were read and
    before the last of them is let go: it raises SourceChangedError if they
    cannot be trusted. Who writes from a thread holds `lock` while it does:
    several writers of one file would spin on the kernel's lock.
    """

    fd: int
    span: Span
    check: Callable[[], None] | None = None
    lock: Lock | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """The stored object that a source is a range of; reading it costs a journey.

    A store of the same `realm` may copy it by itself, from one of its places to
    another; `place` is how that store calls the object. `check` is
    awaited after that: it raises SourceChangedError if the object is another by
    now, for not every server looks. An empty realm is nobody's.
    """

    span: Span
    realm: str = ""
    place: str = ""
    version: str | None = None
    check: Callable[[], Awaitable[None]] | None = None


class Sink(Protocol):
    """Where bytes go; offsets count from the start of the sink."""

    @property
    def extent(self) -> Extent | None:
        """The file behind the sink, if there is one and it may be written directly."""
        ...

    async def write(self, offset: int, data: Buffer) -> None:
        """Take bytes in; on return they may be overwritten by the caller."""
        ...


class Source(Protocol):
    """A range of bytes that can be read again from its start."""

    @property
    def size(self) -> int:
        """Length in bytes, known before the first is read."""
        ...

    @property
    def extent(self) -> Extent | None:
        """The file behind the source, if there is one and it may be read directly."""
        ...

    @property
    def origin(self) -> Origin | None:
        """The object behind the source, if it lies in a store elsewhere."""
        ...

    async def pour(self, sink: Sink, tally: Tally) -> None:
        """Write all bytes into the sink, in order, telling the tally of each.

        Raises SourceChangedError, before the last bytes are written, if they are
        not what was opened.
        """
        ...


class OpenObject(Protocol):
    """An object opened for reading, pinned to one version where the store can."""

    @property
    def info(self) -> ObjectInfo:
        """Size and version of what will be read."""
        ...

    def source(self, span: Span) -> Source:
        """Return a range of it."""
        ...


class Parts(Protocol):
    """Facet: multipart uploads, stateless, so that any process can go on with one."""

    @property
    def limits(self) -> PartLimits:
        """What the planner must keep to."""
        ...

    @property
    def resumable(self) -> bool:
        """Whether a later run can go on with an upload."""
        ...

    async def create(self, key: str, intent: Intent) -> Upload:
        """Open an upload; UnsupportedError if the store has no multipart after all."""
        ...

    async def reopen(self, upload: Upload | None, key: str, intent: Intent) -> Upload | None:
        """Return an upload to go on with: the one given, or one that the store remembers.

        None if there is none. Whether its parts are still there, `sent` says.
        Raises BusyError if its owner is alive.
        """
        ...

    async def send(self, upload: Upload, part: Part, source: Source, tally: Tally) -> Receipt:
        """Store one part; the same number again replaces it."""
        ...

    async def sent(self, upload: Upload, *, reread: bool = False) -> Sequence[Receipt]:
        """Return the parts the store has, by number; UploadGoneError if the upload is none.

        With `reread`, a store that holds the bytes at hand leaves out parts whose
        content is not any more what was noted.
        """
        ...

    async def complete(
        self, upload: Upload, receipts: Sequence[Receipt], expected: Expected
    ) -> ObjectInfo:
        """Put the object together, at once and whole; receipts by number, all of them.

        Compares the store's own list of parts first, and resolves an ambiguous
        answer by looking at the object: what this raises is final.
        """
        ...

    async def abort(self, upload: Upload) -> None:
        """Give the upload up and free its parts; one that is gone is fine."""
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP exchange as a value; a presigned URL in it is a secret.

    `span` asks for a range and has the answer checked against it. `patience` is
    how long the first byte of the answer may take, in seconds, beyond the
    mover's own time-out (a Complete may think for minutes). An answer that no
    sink takes may have `most` bytes.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    span: Span | None = None
    patience: float | None = None
    tls: Tls | None = None
    body: bytes | memoryview = b""
    most: int = MIB

    def __repr__(self) -> str:
        return f"<{self.method} {redact(self.url)}>"


@dataclass(frozen=True, slots=True)
class Tls:
    """How a server is trusted: files are paths; a client certificate may be one PEM file."""

    verify: bool = True
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """The answer: header names in lower case; `body` only where no sink took it."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300


class Mover(Protocol):
    """Moves the bytes of HTTP exchanges; no library's type shows."""

    async def exchange(
        self,
        request: Request,
        *,
        source: Source | None = None,
        sink: Sink | None = None,
        tally: Tally | None = None,
    ) -> Response:
        """Send the request with the source as its body; pour a 2xx answer into the sink.

        Any status is an answer, not an error; redirects are not followed. The
        body of an answer that no sink takes is kept up to `request.most`.
        Raises ConnectionLostError, TlsError, StalledError, ProtocolError (an answer that
        is no HTTP, or not the range asked for), DamagedInTransitError (an
        answer shorter than announced), and what source and sink raise.
        """
        ...


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request that holds its own permission, good for `expires_in` more seconds.

    `etag` is what the receipt of a part says where the store's answer will have none.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    expires_in: float
    etag: str = ""

    def __repr__(self) -> str:
        return f"<signed {self.method} {redact(self.url)}>"


class Signer(Protocol):
    """Facet: permissions that somebody without credentials can use, by plain HTTP."""

    async def sign_part(
        self, upload: Upload, part: Part, checksum: Checksum | None, lifetime: float
    ) -> SignedRequest:
        """Permit one part: exactly this number and length, and content where it can be bound."""
        ...

    async def sign_put(self, key: str, intent: Intent, lifetime: float) -> SignedRequest:
        """Permit one whole object of exactly the intended size."""
        ...

    async def sign_read(self, info: ObjectInfo, lifetime: float) -> SignedRequest:
        """Permit reading the object; the reader adds Range, and If-Match on the version.

        A permission with a condition of its own in its headers takes no If-Match beside it.
        """
        ...


class Leftovers(Protocol):
    """Facet: what transfers that died have left, under names that listings leave out."""

    async def scan(self, prefix: str, token: str | None = None) -> Page:
        """List such files below a prefix as `Store.scan` lists objects."""
        ...

    async def remove(self, key: str) -> None:
        """Remove one of them; none there is fine."""
        ...


class Store(Protocol):
    """Objects under keys, below one root."""

    @property
    def url(self) -> str:
        """The root as people write it, without secrets: for messages."""
        ...

    @property
    def traits(self) -> Traits:
        """What to plan with."""
        ...

    @property
    def parts(self) -> Parts | None:
        """Multipart, or None: then every object goes in one PUT."""
        ...

    @property
    def signer(self) -> Signer | None:
        """Presigned requests, or None."""
        ...

    @property
    def leftovers(self) -> Leftovers | None:
        """Unfinished files, or None: then nothing unfinished has a name."""
        ...

    async def stat(self, key: str) -> ObjectInfo:
        """Look at an object; NotFoundError if there is none."""
        ...

    async def scan(self, prefix: str, token: str | None = None, *, folders: bool = False) -> Page:
        """List keys that start with `prefix`, in some fixed order, a page at a time.

        With `folders`, keys that have a further slash behind the prefix are
        summed up as folders. The prefix is "" or ends with a slash.
        """
        ...

    def open(
        self, key: str, info: ObjectInfo | None = None
    ) -> AbstractAsyncContextManager[OpenObject]:
        """Open an object for reading; `info` from a listing saves the look."""
        ...

    async def put(self, key: str, source: Source, intent: Intent, tally: Tally) -> ObjectInfo:
        """Store an object in one go, visible whole or not at all."""
        ...

    async def delete(self, key: str) -> None:
        """Remove an object; none there is fine."""
        ...


@dataclass(frozen=True, slots=True)
class Context:
    """What a store is opened with.

    `confined` is set where the keys come from somebody else (the coordinator):
    a store must then keep them below its root, links included. `notify` tells
    the user something that stops nothing.
    """

    settings: Settings
    mover: Mover
    confined: bool = False
    notify: Callable[[str], None] = logging.getLogger("transfer.store").warning


Opener: TypeAlias = "Callable[[str, Context], AbstractAsyncContextManager[Store]]"
