"""What goes wrong, as clients are told of it: our own client gets its own error back."""

from __future__ import annotations

import pytest

from backends.coordinated.client import Server
from tests.coordinator.inside import MLFLOW, OWN, SigningStore, inside, new_upload
from transfer import errors
from transfer.store import Response, Tls

SERVER = Server("http://127.0.0.1:5500", {}, Tls(), Tls(), None, 1.0)


def seen(answer) -> errors.TransferError:
    """Return the error as our client reads the answer."""
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return SERVER.error("ask", Response(answer.status_code, headers, answer.content))


@pytest.mark.parametrize(
    "case",
    [
        (errors.NotFoundError("x"), 404, errors.NotFoundError),
        (errors.UploadGoneError("x"), 404, errors.UploadGoneError),
        (errors.ExistsError("x"), 412, errors.ExistsError),
        (errors.PreconditionError("x"), 412, errors.PreconditionError),
        (errors.UnsupportedError("x"), 501, errors.UnsupportedError),
        (errors.RejectedError("x"), 400, errors.RejectedError),
        (errors.BadKeyError("x"), 400, errors.BadKeyError),
        (errors.PlanError("x"), 400, errors.PlanError),
        (errors.IntegrityError("x"), 409, errors.IntegrityError),
        (errors.SourceChangedError("x"), 409, errors.SourceChangedError),
        (errors.DamagedInTransitError("x"), 503, errors.DamagedInTransitError),
        (errors.StalledError("x"), 503, errors.StalledError),
        (errors.ConnectionLostError("x"), 503, errors.ConnectionLostError),
        (errors.UnavailableError("x"), 503, errors.UnavailableError),
        (errors.ProtocolError("x"), 502, errors.ProtocolError),
        # It is the store that is not trusted, by the coordinator: the client is at no fault.
        (errors.TlsError("AKIAX"), 500, errors.StoreError),
        (errors.StoreError("x"), 500, errors.StoreError),
        # Whoever asks has done nothing wrong, and need not look for their own keys.
        (errors.AccessError("AKIAX"), 502, errors.StoreRefusedError),
        (errors.CredentialsError("AKIAX", hint="AWS_SECRET"), 502, errors.StoreRefusedError),
        (errors.ExpiredError("AKIAX"), 502, errors.StoreRefusedError),
        (errors.DiskFullError("cannot write /AKIAX"), 507, errors.DiskFullError),
    ],
    ids=lambda case: type(case[0]).__name__,
)
async def test_errors_of_the_store(ask_signing, signing, monkeypatch, case):
    raised, status, told = case

    async def refuse(*args, **more):
        raise raised

    monkeypatch.setattr(signing.store, "stat", refuse)
    monkeypatch.setattr(signing.store.parts, "create", refuse)
    for answer in (
        await ask_signing.get(f"{OWN}/objects/x"),
        await ask_signing.post(f"{OWN}/uploads", new_upload("x")),
    ):
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert set(answer.json()) == {"title", "status", "detail", "code"}
        error = seen(answer)
        assert type(error) is told
        assert error.retryable is told.retryable
        assert "AKIA" not in answer.text
        assert "AWS_SECRET" not in answer.text
    answer = await ask_signing.get(f"{MLFLOW}/presigned/x")
    assert answer.status_code == status
    assert set(answer.json()) == {"error_code", "message"}
    assert "AKIA" not in answer.text


async def test_throttling_is_passed_on(ask_signing, signing, monkeypatch):
    async def refuse(*args):
        raise errors.ThrottledError("slow down", retry_after=7.9)

    monkeypatch.setattr(signing.store, "stat", refuse)
    answer = await ask_signing.get(f"{OWN}/objects/x")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")
    error = seen(answer)
    assert isinstance(error, errors.ThrottledError)
    assert error.retry_after == 7.0


async def test_the_operator_finds_in_the_log_what_clients_are_not_told(
    ask_signing, signing, monkeypatch, caplog
):
    async def refuse(*args):
        raise errors.CredentialsError("AKIAX is not known", hint="check AWS_ACCESS_KEY_ID")

    monkeypatch.setattr(signing.store, "stat", refuse)
    await ask_signing.get(f"{OWN}/objects/x")
    assert "AKIAX is not known; check AWS_ACCESS_KEY_ID" in caplog.text


async def test_a_token_that_is_not_known_is_the_clients_own_fault(guarded):
    answer = await (await guarded.asker("trf_wrong")).get(f"{OWN}/objects/x")
    assert answer.status_code == 401
    error = seen(answer)
    assert type(error) is errors.CredentialsError
    reader = await guarded.tenant("r", read_only=True)
    error = seen(await reader("DELETE", f"{OWN}/objects/x"))
    assert type(error) is errors.AccessError


async def test_a_database_that_fails_is_temporary(tmp_path):
    from sqlalchemy.exc import OperationalError  # noqa: PLC0415

    async with inside(tmp_path, SigningStore()) as running:
        ask = await running.asker()
        engine = running.coordinator.database._engine.sync_engine

        def broken(*args, **more):
            raise OperationalError("SELECT canary", {"canary": 1}, Exception("database is locked"))

        from sqlalchemy import event  # noqa: PLC0415

        event.listen(engine, "before_cursor_execute", broken)
        running.store.store("x", b"1")
        # What the memory of checksums cannot say, nobody is told wrongly.
        for answer in (
            await ask.post(f"{OWN}/uploads", new_upload("x")),
            await ask.get(f"{OWN}/uploads/{'0' * 32}"),
        ):
            assert answer.status_code == 503
            assert "canary" not in answer.text
            assert type(seen(answer)) is errors.UnavailableError
        event.remove(engine, "before_cursor_execute", broken)
        assert (await ask.post(f"{OWN}/uploads", new_upload("x"))).status_code == 200
