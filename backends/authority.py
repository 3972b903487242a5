"""Who is asked, and in whose name: the authority of an `sftp:` or `ftp:` URL.

A password in a URL stands in the list of processes and in the shell's history:
it works, and a notice says how to do better. User and password are
percent-decoded; the path behind them is literal by now (see `transfer.locations`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from backends.logins import password_seen
from transfer.errors import UsageError

if TYPE_CHECKING:
    from transfer.store import Context

_HOST = re.compile(r"(\[(?P<v6>[0-9A-Fa-f:.%]+)\]|(?P<name>[^:@/\[\]]+))(:(?P<port>[0-9]+))?")


@dataclass(frozen=True, slots=True)
class Authority:
    """A server and an account; None is what the library or the protocol takes by default.

    `folder` is the path of the store's root, without slashes at its ends.
    """

    scheme: str
    host: str
    port: int | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    folder: str = ""

    @property
    def url(self) -> str:
        """The root as people write it, without the password."""
        user = f"{quote(self.user, safe='')}@" if self.user else ""
        folder = f"/{self.folder}" if self.folder else ""
        return f"{self.scheme}://{user}{self.address}{folder}"

    @property
    def address(self) -> str:
        """Host and port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" if self.port else host

    def path_of(self, key: str) -> str:
        """Return the absolute path of a key."""
        return f"/{self.folder}/{key}" if self.folder else f"/{key}"


def parse_root(root: str) -> Authority:
    """Read `scheme://user:password@host:port/folder`; UsageError if it cannot be read."""
    scheme, _, rest = root.partition("://")
    authority, _, folder = rest.partition("/")
    account, at, place = authority.rpartition("@")
    found = _HOST.fullmatch(place)
    port = int(found["port"]) if found and found["port"] else None
    if found is None or (port is not None and not 1 <= port <= 65535):
        raise UsageError(
            f"the host in a {scheme}: URL cannot be read",
            hint=f"write {scheme}://user@host:port/path, with %2F for / and %40 for @ in a name",
        )
    user, _, password = account.partition(":")
    if at and not user:
        raise UsageError(f"a {scheme}: URL has an @ and no user before it")
    for part in (user, password):
        if any(ord(char) < 32 for char in unquote(part)):
            raise UsageError(f"user or password in a {scheme}: URL has a control character")
    return Authority(
        scheme,
        found["v6"] or found["name"],
        port,
        unquote(user) or None,
        unquote(password) or None,
        folder.strip("/"),
    )


def authority_of(root: str, context: Context) -> Authority:
    """Read a root; the password of the settings stands in for one that is not in the URL."""
    found = parse_root(root)
    if found.password is not None:
        context.notify(password_seen(found.url))
        return found
    password = context.settings.store_password
    return Authority(found.scheme, found.host, found.port, found.user, password, found.folder)
