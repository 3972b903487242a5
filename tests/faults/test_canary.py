"""No secret is said to anybody, whatever goes wrong: keys, session tokens, signatures, bearers.

The commands say all they can, to people and to programs, while the store lies in
every way that ends in words; then everything that was said or written is searched.
"""

from __future__ import annotations

import logging
import os
import re
from urllib.parse import quote

import pytest

from tests.faults.harness import BUCKET, Canary, Key, StrictStore, lies
from tests.faults.harness.kill import Serving, transfer
from tests.support.servers import clean_environment
from transfer.engine import Engine
from transfer.errors import TransferError
from transfer.settings import Settings

MIB = 1024**2
KEY = Key("CANARYACCESS", "canary/secret+key=1", token="canary/session+token==")
SIGNED = re.compile(
    r"X-Amz-(Signature|Credential|Security-Token)=|[?&]signature=|Signature=[0-9a-f]{64}"
    r"|AWS4-HMAC-SHA256 Credential",
    re.IGNORECASE,
)
# What ends an attempt in words of somebody: the store's, a proxy's, the network's.
WORDS = {
    "403": lambda _: lies.refuse(403, "AccessDenied"),
    "500": lambda _: lies.refuse(500),
    "503": lambda _: lies.slow_down("0"),
    "expired": lambda _: lies.refuse(400, "ExpiredToken"),
    "early": lambda _: lies.early(403, after=1000),
    "drop": lambda _: lies.drop(after=1000),
    "redirect": lambda canary: lies.redirect(307, f"{canary.url}?X-Amz-Signature=0"),
    "page": lambda _: lies.html(),
    "broken": lambda _: lies.invalid_xml(),
    "no http": lambda _: lies.raw(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "lost": lambda _: lies.lose_answer(),
}


@pytest.fixture
async def canary():
    async with Canary() as canary:
        yield canary


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source.bin"
    path.write_bytes(os.urandom(11 * MIB))
    return path


def secrets_in(text, *more):
    values = [KEY.secret, KEY.token, *more]
    spelt = {one for value in values for one in (value, quote(value, safe=""), quote(value))}
    return [value for value in spelt if value in text] + SIGNED.findall(text)


def written_below(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return "\n".join(path.read_text(errors="replace") for path in files)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("route", ["s3", "coordinator"])
async def test_nothing_is_said_by_the_commands(tmp_path, source, canary, route):
    async with StrictStore(keys=[KEY]) as store:
        server = clean_environment({**store.environ, "TRANSFER_STATE_DIR": str(tmp_path / "there")})
        mine = {
            "TRANSFER_STATE_DIR": str(tmp_path / "state"),
            "TRANSFER_ATTEMPTS": "2",
            "TRANSFER_OUTAGE_PATIENCE": "1",
            "TRANSFER_TOKEN": "canary-bearer",
        }
        served = Serving(f"s3://{BUCKET}", "-vv", environ=server, folder=tmp_path)
        async with served:
            url = f"s3://{BUCKET}/a"
            environ = clean_environment({**store.environ, **mine})
            if route == "coordinator":
                url = f"transfer+http://{served.address}/a"
                environ = clean_environment(mine)
                environ["TRANSFER_TOKEN"] = ""
            said = await _everything(store, canary, url, source, environ, tmp_path)
        said += (tmp_path / "serve.log").read_text()
    said += written_below(tmp_path / "state")
    assert len(said) > 10_000
    assert secrets_in(said, "canary-bearer", "ab" * 32) == []
    assert canary.seen == []


async def _everything(store, canary, url, source, environ, folder):  # noqa: PLR0917
    """Push and pull through each lie; return all that was said."""
    said = ""
    pushed, pulled = ("UploadPart", "CompleteMultipartUpload"), ("GetObject",)
    for number, (name, make) in enumerate(WORDS.items()):
        how = "--json" if number % 2 else "-vv"
        for way, operations in (("push", pushed), ("pull", pulled)):
            store.lies.clear()
            places = (str(source), url) if way == "push" else (url, str(folder / "back"))
            for operation in operations:
                store.lies.add(operation, make(canary), nth=(1, 2, 3))
            line = (way, how, "--part-size", "5MiB", *places)
            async with transfer(*line, environ=environ, folder=folder, name=f"{name}") as run:
                await run.ended()
                said += run.text
    return said


@pytest.mark.parametrize("name", WORDS)
async def test_nothing_is_said_by_errors_events_and_logs(  # noqa: PLR0917
    tmp_path, source, canary, caplog, monkeypatch, name
):
    """The same in a program: its own logging is at its most talkative."""
    for logger in ("transfer", "backends", "aiohttp", "asyncio", "concurrent.futures"):
        caplog.set_level(logging.DEBUG, logger=logger)
    async with StrictStore(keys=[KEY]) as store:
        for variable, value in store.environ.items():
            monkeypatch.setenv(variable, value)
        store.lies.add(
            ("UploadPart", "CompleteMultipartUpload"), WORDS[name](canary), nth=(1, 2, 3)
        )
        settings = Settings(
            s3_endpoint_url=store.url,
            aws_region="us-east-1",
            upload_part_size=5 * MIB,
            attempts=2,
            outage_patience=0.5,
            state_dir=str(tmp_path / "state"),
        )
        said = []
        async with Engine(settings) as engine:
            said.append(repr(engine.settings))
            report = await engine.run(
                source, f"s3://{BUCKET}/a", on_event=lambda event: said.append(repr(event))
            )
            for failure in report.failed:
                said += _chain(failure.error)
    text = "\n".join([*said, caplog.text, written_below(tmp_path / "state")])
    assert any(entry.lied for entry in store.log)
    assert secrets_in(text) == []
    assert canary.seen == []


def _chain(error):
    """Return an error and all that it came from, as a traceback would show them."""
    said = []
    while error is not None:
        said += [str(error), repr(error), repr(error.args), repr(getattr(error, "__notes__", ""))]
        error = error.__cause__ or error.__context__
    return said


def test_the_search_finds_what_it_searches_for():
    assert secrets_in(f"a {KEY.secret} b")
    assert secrets_in(f"?X-Amz-Security-Token={quote(KEY.token, safe='')}&")
    assert secrets_in("Authorization: AWS4-HMAC-SHA256 Credential=X/2026")
    assert secrets_in("the store said: 403 AccessDenied") == []
    assert issubclass(TransferError, Exception)
