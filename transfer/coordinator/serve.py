"""Running the coordinator: checks before it starts, uvicorn, a clean end."""

from __future__ import annotations

import logging
import os
import re
import socket
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import uvicorn

from transfer.coordinator.app import create_app
from transfer.coordinator.ending import Server
from transfer.coordinator.reaper import reap_forever
from transfer.coordinator.state import ServeOptions, open_coordinator
from transfer.errors import UsageError
from transfer.locations import local_path
from transfer.registry import locate

if TYPE_CHECKING:
    from transfer.coordinator.state import Coordinator
    from transfer.settings import Settings

__all__ = ["ServeOptions", "serve"]

_LOG = logging.getLogger("transfer.coordinator")
# Seconds, as milliseconds in a C int; what is longer is never.
_LONGEST = 2**31 // 1000
_WEB = re.compile(r"https?://[^/?#\s]+")


def serve(options: ServeOptions, settings: Settings) -> None:
    """Serve until stopped by a signal; blocks. Raises what keeps it from starting."""
    check_options(options)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )
    logging.getLogger("transfer.coordinator.requests").setLevel(logging.INFO)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    anyio.run(_serve, options, settings)


def check_options(options: ServeOptions) -> None:
    """Raise UsageError for options that cannot be meant."""
    if bool(options.tls_cert) != bool(options.tls_key):
        raise UsageError("--tls-cert and --tls-key go together")
    if options.tls_cert and options.tls_key:
        _check_certificate(options.tls_cert, options.tls_key)
    if not 0 <= options.port < 65536:
        raise UsageError(f"{options.port} is no port")
    for flag, url in (
        ("--public-url", options.public_url),
        ("--public-endpoint-url", options.public_endpoint_url),
    ):
        if url and not _WEB.match(url):
            raise UsageError(f"{flag} is no address of a web server", hint="write https://HOST")
    place = locate(options.artifacts_destination)
    if place.scheme == "file":
        _check_folder(Path(local_path(place)))


def _check_folder(path: Path) -> None:
    """Raise UsageError for what is no folder, or one that cannot be made."""
    there = next(folder for folder in (path, *path.parents) if os.access(folder, os.F_OK))
    if not there.is_dir():
        raise UsageError(f"the destination {path} is no folder")
    if os.access(there, os.W_OK | os.X_OK):
        return
    if there != path:
        hint = "check the permissions"
        raise UsageError(f"the destination {path} cannot be made in {there}", hint=hint)
    _LOG.warning("%s cannot be written to: it is there for downloads only", path)


def listen(host: str, port: int) -> list[socket.socket]:
    """Return sockets on all addresses of a host; UsageError if there is none to be had."""
    sockets: list[socket.socket] = []
    refused: OSError | None = None
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise UsageError(f"cannot listen on {host}: {error.strerror}") from None
    for family, kind, protocol, _, address in found:
        try:
            sockets.append(_bound(family, kind, protocol, address))
        except OSError as error:
            refused = error
    if not sockets and refused is not None:
        reason = os.strerror(refused.errno or 0)
        raise UsageError(f"cannot listen on {host}:{port}: {reason}", hint="choose another --port")
    return sockets


def _bound(family: int, kind: int, protocol: int, address: tuple[Any, ...]) -> socket.socket:
    """Return a socket on one address; asyncio sets TCP_NODELAY only where TCP is spelled out."""
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(address)
        bound.listen(2048)
    except OSError:
        bound.close()
        raise
    return bound


def _give_up_the_deaf(listening: socket.socket, stall_timeout: float) -> None:
    """Have the kernel break connections whose peer takes nothing: closing would wait for it."""
    option: int | None = getattr(socket, "TCP_USER_TIMEOUT", None)
    if option is not None and stall_timeout <= _LONGEST:
        listening.setsockopt(socket.IPPROTO_TCP, option, int(stall_timeout * 1000))


def _check_certificate(certificate: str, key: str) -> None:
    for name in (certificate, key):
        if not Path(name).is_file():
            raise UsageError(f"cannot read {name}")
    try:
        # An empty password, or OpenSSL would ask for one on the terminal.
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key, password="")
    except OSError as error:
        reason = getattr(error, "reason", None) or error.strerror
        raise UsageError(
            f"--tls-cert {certificate} and --tls-key {key} cannot be used: {reason}"
        ) from None


async def _serve(options: ServeOptions, settings: Settings) -> None:
    async with open_coordinator(options, settings) as coordinator:
        sockets = await anyio.to_thread.run_sync(listen, options.host, options.port)
        for listening in sockets:
            _give_up_the_deaf(listening, settings.stall_timeout)
        await _announce(coordinator, sockets[0].getsockname()[1])
        config = uvicorn.Config(
            create_app(coordinator),
            log_config=None,
            # The strict reader: others take two Hosts, headers without end, and more.
            http="h11",
            ws="none",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="off",
            timeout_graceful_shutdown=4,
            ssl_certfile=options.tls_cert,
            ssl_keyfile=options.tls_key,
        )
        server, lifetime = Server(config), settings.upload_lifetime
        async with anyio.create_task_group() as group:
            group.start_soon(reap_forever, coordinator.uploads, coordinator.database, lifetime)
            await server.serve(sockets)
            group.cancel_scope.cancel()
    server.end()


async def _announce(coordinator: Coordinator, port: int) -> None:
    options = coordinator.options
    scheme = "https" if options.tls_cert else "http"
    # What listens everywhere is reached by its name.
    host = socket.gethostname() if options.host in {"0.0.0.0", "::"} else options.host  # noqa: S104
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    _LOG.info("serving %s", coordinator.destination.shown)
    address = (options.public_url or f"{scheme}://{place}").rstrip("/")
    _LOG.info(
        "clients use transfer+%s/KEY, MLflow's use mlflow-artifacts://%s/PATH",
        address,
        address.partition("://")[2],
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
