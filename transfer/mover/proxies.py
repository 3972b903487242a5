"""Which proxy a URL goes through, by HTTP_PROXY, HTTPS_PROXY and NO_PROXY.

The variables arrive through the settings: aiohttp's `trust_env` would also read
`.netrc` and put its passwords into presigned requests.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from transfer.settings import Settings


@dataclass(frozen=True, slots=True)
class Proxies:
    """The three variables; None is unset."""

    http: str | None = None
    https: str | None = None
    no_proxy: str | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> Proxies:
        """Take over what the environment said."""
        return cls(settings.http_proxy, settings.https_proxy, settings.no_proxy)

    def choose(self, url: str) -> str | None:
        """Return the proxy for a URL, None to go directly."""
        parts = urlsplit(url)
        proxy = self.https if parts.scheme == "https" else self.http
        if proxy is None or self._bypassed(parts.hostname or "", parts.port):
            return None
        return proxy if "://" in proxy else f"http://{proxy}"

    def _bypassed(self, host: str, port: int | None) -> bool:
        entries = [entry.strip().lower() for entry in (self.no_proxy or "").split(",")]
        return any(entry and _covers(entry, host.lower(), port) for entry in entries)


def _covers(entry: str, host: str, port: int | None) -> bool:
    """Match as curl does: "*", a suffix of the name, a network, with or without a port."""
    if entry == "*":
        return True
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        pass
    name, _, number = entry.partition(":")
    if number and number != str(port):
        return False
    name = name.removeprefix("*").removeprefix(".")
    return host == name or host.endswith("." + name)
