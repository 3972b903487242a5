"""The application: routes, errors and guard put together around one coordinator."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fastapi import FastAPI, Request
from starlette.responses import PlainTextResponse, Response

from transfer.coordinator import data_api, mlflow_api, own_api
from transfer.coordinator.access import LOOPBACK
from transfer.coordinator.guard import Guard
from transfer.coordinator.problems import answer_of, of_the_store
from transfer.coordinator.requests import Shared, coordinator_of
from transfer.errors import TransferError

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from transfer.coordinator.state import Coordinator

_LOG = logging.getLogger(__name__)


def create_app(coordinator: Coordinator) -> ASGIApp:
    """Return the ASGI application of a coordinator."""
    app = make_routes()
    app.state.coordinator = coordinator
    return Guard(app, _hosts(coordinator))


def make_routes() -> FastAPI:
    """Return the application without its state."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.include_router(data_api.router)
    app.include_router(own_api.router)
    for base in ("/api/2.0", "/ajax-api/2.0"):
        app.include_router(mlflow_api.router, prefix=base)
    app.add_api_route("/health", health, methods=["GET", "HEAD"])
    for base in ("/api/3.0", "/ajax-api/3.0"):
        app.add_api_route(f"{base}/mlflow/server-info", server_info, methods=["GET"])
    app.add_exception_handler(TransferError, _on_error)
    app.add_exception_handler(Exception, _on_bug)
    return app


async def health() -> Response:
    """Say that the server is there."""
    return PlainTextResponse("OK")


async def server_info(here: Shared) -> dict[str, Any]:
    """Say what this server can do, to anybody."""
    return mlflow_api.server_info(here)


async def _on_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, TransferError):
        raise error
    known = of_the_store(error)
    known.message = coordinator_of(request).destination.without_root(known.message)
    return answer_of(request, known)


async def _on_bug(request: Request, error: Exception) -> Response:
    _LOG.error("%s %a failed", request.method, request.scope["path"], exc_info=error)
    return answer_of(request, TransferError("the coordinator failed: see its log"))


def _hosts(coordinator: Coordinator) -> frozenset[str] | None:
    """Return the Host names to serve; None is any, where tokens guard or nobody knows our names."""
    options = coordinator.options
    guarded = options.open_to_anybody and options.on_loopback
    if not guarded and not options.allowed_hosts:
        return None
    named = {*LOOPBACK, *(host.lower() for host in options.allowed_hosts)}
    if coordinator.public_url:
        named.add(urlsplit(coordinator.public_url).hostname or "")
    return frozenset(named)
