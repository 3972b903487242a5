"""SSL contexts, made once for each way of trusting a server."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from transfer.errors import UsageError

if TYPE_CHECKING:
    from transfer.store import Tls


class Trust:
    """A cache of SSL contexts: reading a CA bundle takes some ten milliseconds."""

    def __init__(self) -> None:
        self._contexts: dict[Tls, ssl.SSLContext] = {}

    async def context(self, tls: Tls) -> ssl.SSLContext:
        """Return the context; UsageError if a file of it cannot be read."""
        if tls not in self._contexts:
            import anyio.to_thread  # noqa: PLC0415 - worker processes have no event loop

            self._contexts[tls] = await anyio.to_thread.run_sync(make_context, tls)
        return self._contexts[tls]

    def context_now(self, tls: Tls) -> ssl.SSLContext:
        """Return the context, from a thread; two may make the same at once, which is no harm."""
        found = self._contexts.get(tls)
        if found is None:
            found = self._contexts[tls] = make_context(tls)
        return found


def make_context(tls: Tls) -> ssl.SSLContext:
    """Make a client context with the system's CAs, or with the ones given."""
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"cannot read the CA bundle {tls.ca_file}: {error}") from None
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.client_cert is not None:
        try:
            context.load_cert_chain(tls.client_cert, tls.client_key)
        except (OSError, ssl.SSLError) as error:
            raise UsageError(
                f"cannot read the client certificate {tls.client_cert}: {error}"
            ) from None
    return context
