"""Calls to a coordinator or an MLflow server: addresses, who we are, JSON, errors."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, ValidationError

from backends.azure import errors as azure_errors
from backends.logins import authorization
from backends.s3.errors import error_of_answer
from transfer.errors import ProtocolError, ThrottledError, TransferError, UsageError, error_class
from transfer.redaction import host_of, redact
from transfer.statuses import error_of_status, retry_after
from transfer.store import Request, Tls
from transfer.wire import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transfer.settings import Settings
    from transfer.store import Mover, Response

M = TypeVar("M", bound=BaseModel)

_OWN_SCHEMES = {"transfer+http": "http", "transfer+https": "https"}


@dataclass(frozen=True, slots=True)
class Server:
    """A coordinator or MLflow server as its client sees it; `base` has no slash behind."""

    base: str
    headers: Mapping[str, str]
    tls: Tls
    data_tls: Tls
    mover: Mover
    timeout: float

    def __repr__(self) -> str:
        return f"<Server {redact(self.base)}>"

    async def call(
        self,
        method: str,
        path: str,
        content: BaseModel | Mapping[str, object] | None = None,
        *,
        patience: float | None = None,
    ) -> Response:
        """Make a call and return the answer, whatever its status."""
        headers = {**self.headers, "Accept": "application/json"}
        body = b""
        if content is not None:
            headers["Content-Type"] = "application/json"
            text = (
                content.model_dump_json() if isinstance(content, BaseModel) else json.dumps(content)
            )
            body = text.encode()
        request = Request(
            method,
            self.base + path,
            headers,
            patience=patience or self.timeout,
            tls=self.tls,
            body=body,
        )
        try:
            return await self.mover.exchange(request)
        except TransferError as error:
            error.control = True
            raise

    async def ask(
        self,
        method: str,
        path: str,
        answer: type[M],
        content: BaseModel | Mapping[str, object] | None = None,
        *,
        patience: float | None = None,
    ) -> M:
        """Make a call and return its answer as a message; raises the error it tells of."""
        found = await self.call(method, path, content, patience=patience)
        if not found.ok:
            error = self.error(f"{method} {self.base}{path.partition('?')[0]}", found)
            error.control = True
            raise error
        return self.read(answer, found)

    def read(self, model: type[M], answer: Response) -> M:
        """Read an answer; ProtocolError if it is not what it must be."""
        try:
            return model.model_validate_json(answer.body)
        except ValidationError:
            raise ProtocolError(
                f"{host_of(self.base)} answered what no coordinator says"
                f" (no valid {model.__name__})",
                hint="check the address",
            ) from None

    def error(self, what: str, answer: Response) -> TransferError:
        """Return the error that an answer tells of, whoever gave it: coordinator or store."""
        kind = answer.headers.get("content-type", "")
        if "problem+json" in kind:
            return _error_of_problem(self.read(Problem, answer), answer)
        if kind.startswith("application/json"):
            return error_of_status(answer.status, answer.headers, f"{what}: {_message(answer)}")
        if "x-ms-request-id" in answer.headers:
            return azure_errors.error_of(what, answer)
        return error_of_answer(what, answer.status, answer.headers, answer.body)

    def tls_for(self, url: str) -> Tls:
        """Return how to trust the host of a presigned URL: our server, or a store."""
        ours = urlsplit(self.base)
        theirs = urlsplit(url)
        same = (ours.scheme, ours.netloc) == (theirs.scheme, theirs.netloc)
        return self.tls if same else self.data_tls


def server_of(root: str, settings: Settings, mover: Mover) -> Server:
    """Return the server that a root (`mlflow-artifacts://host:5000`, ...) speaks of."""
    base, user = _address(root, settings)
    if urlsplit(base).scheme not in {"http", "https"}:
        raise UsageError(f"{redact(base)} is no http or https address")
    return Server(
        base,
        authorization(settings, user),
        Tls(
            verify=not settings.tracking_insecure_tls,
            ca_file=settings.tracking_server_cert,
            client_cert=settings.tracking_client_cert,
        ),
        Tls(verify=not settings.s3_ignore_tls, ca_file=settings.aws_ca_bundle),
        mover,
        settings.request_timeout,
    )


def quoted(path: str) -> str:
    """Return a key as the path of a URL, encoded once."""
    return quote(path, safe="/~")


def _address(root: str, settings: Settings) -> tuple[str, str]:
    """Return the base address and the user part, if the URL has one."""
    scheme, _, rest = root.partition(":")
    authority = rest.removeprefix("//")
    user, at, host = authority.rpartition("@")
    if scheme in _OWN_SCHEMES:
        if not host:
            raise UsageError(
                f"{redact(root)} names no host", hint=f"write {scheme}://HOST:PORT/KEY"
            )
        return f"{_OWN_SCHEMES[scheme]}://{host}", user if at else ""
    tracking = (settings.tracking_uri or "").rstrip("/")
    parts = urlsplit(tracking)
    is_http = parts.scheme in {"http", "https"}
    if host:
        return f"{parts.scheme if is_http else 'http'}://{host}", user if at else ""
    if not is_http:
        raise UsageError(
            "mlflow-artifacts:/ without a host needs MLFLOW_TRACKING_URI to be an http or https"
            " address",
            hint="set it, or write mlflow-artifacts://HOST:PORT/PATH",
        )
    tracking_user, at, tracking_host = parts.netloc.rpartition("@")
    return f"{parts.scheme}://{tracking_host}{parts.path}", tracking_user if at else ""


def _error_of_problem(problem: Problem, answer: Response) -> TransferError:
    kind = error_class(problem.code)
    if kind is ThrottledError:
        return ThrottledError(problem.detail, retry_after=retry_after(answer.headers))
    if kind is TransferError:
        return error_of_status(answer.status, answer.headers, problem.detail)
    return kind(problem.detail)


def _message(answer: Response) -> str:
    """Return what an MLflow server says went wrong."""
    try:
        content = json.loads(answer.body)
    except ValueError:
        content = None
    said = content.get("message") or content.get("detail") if isinstance(content, dict) else None
    text = " ".join(str(said).split())[:300] if said else "no reason given"
    return f"{answer.status}: {text}"
