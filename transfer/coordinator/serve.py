"""Running the coordinator: checks before it starts, uvicorn, a clean end."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import uvicorn

from transfer.coordinator.app import create_app
from transfer.coordinator.state import ServeOptions, open_coordinator
from transfer.errors import UsageError

if TYPE_CHECKING:
    from transfer.coordinator.state import Coordinator
    from transfer.settings import Settings

__all__ = ["ServeOptions", "serve"]

_LOG = logging.getLogger("transfer.coordinator")


def serve(options: ServeOptions, settings: Settings) -> None:
    """Serve until stopped by a signal; blocks. Raises what keeps it from starting."""
    check_options(options)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )
    logging.getLogger("transfer.coordinator.requests").setLevel(logging.INFO)
    anyio.run(_serve, options, settings)


def check_options(options: ServeOptions) -> None:
    """Raise UsageError for options that cannot be meant."""
    if bool(options.tls_cert) != bool(options.tls_key):
        raise UsageError("--tls-cert and --tls-key go together")
    for name in (options.tls_cert, options.tls_key):
        if name and not Path(name).is_file():
            raise UsageError(f"cannot read {name}")
    if not 0 <= options.port < 65536:
        raise UsageError(f"{options.port} is no port")


async def _serve(options: ServeOptions, settings: Settings) -> None:
    async with open_coordinator(options, settings) as coordinator:
        await _announce(coordinator)
        config = uvicorn.Config(
            create_app(coordinator),
            host=options.host,
            port=options.port,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="off",
            timeout_graceful_shutdown=4,
            ssl_certfile=options.tls_cert,
            ssl_keyfile=options.tls_key,
        )
        server = uvicorn.Server(config)
        await server.serve()
        if not server.started:
            raise UsageError(f"cannot listen on {options.host}:{options.port}: is it in use?")


async def _announce(coordinator: Coordinator) -> None:
    options = coordinator.options
    scheme = "https" if options.tls_cert else "http"
    _LOG.info("serving %s", coordinator.destination.store.url)
    _LOG.info(
        "clients use transfer+%s://%s:%d/KEY, MLflow's use mlflow-artifacts://%s:%d/PATH",
        scheme,
        options.host,
        options.port,
        options.host,
        options.port,
    )
    if options.open_to_anybody:
        if options.on_loopback:
            _LOG.info("open to everybody on this machine; --require-auth asks for tokens")
        else:
            _LOG.warning("open to EVERYBODY who can connect, as --insecure-no-auth asked for")
        return
    if not await coordinator.tokens.all():
        _LOG.warning("there is no token yet: nobody gets in before `transfer token create`")
    if not options.tls_cert and not options.on_loopback:
        _LOG.warning(
            "tokens travel unencrypted: use --tls-cert and --tls-key, or a proxy that does"
        )
