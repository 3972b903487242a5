"""Cloud Storage through the installed command: there and back, directly and by a coordinator."""

from __future__ import annotations

import hashlib
import json
import re
import secrets

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.conformance.suite import AWKWARD
from tests.faults.harness import BUCKET, StrictGcs
from tests.faults.harness.kill import Serving, transfer
from tests.support.servers import clean_environment

MIB = 1024**2
LARGE = 21 * MIB + 7


@pytest.fixture
async def server():
    async with StrictGcs() as server:
        yield server


@pytest.fixture
def environ(tmp_path):
    return clean_environment(
        {
            "HOME": str(tmp_path),
            "XDG_STATE_HOME": str(tmp_path / "state"),
            "MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE": "5MiB",
        }
    )


def tree(folder, names) -> dict[str, str]:
    """Make a tree of awkward names; return the SHA-256 of each file."""
    sizes = {"a large+file.bin": LARGE, "empty": 0, **dict.fromkeys(names, 3000)}
    for name, size in sizes.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(secrets.token_bytes(size))
    return digests(folder)


def digests(folder) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


async def command(*arguments: str, environ, folder, code: int = 0) -> str:
    """Run the command to its end; return what it said."""
    name = f"run-{secrets.token_hex(4)}"
    async with transfer(*arguments, environ=environ, folder=folder, name=name) as run:
        assert await run.ended() == code, run.text
        return run.text


async def there_and_back(url: str, names, environ, folder) -> None:
    made = tree(folder / "in", names)
    await command("push", f"{folder / 'in'}/", url, environ=environ, folder=folder)
    await command("pull", url, str(folder / "out"), environ=environ, folder=folder)
    assert digests(folder / "out") == made


@pytest.mark.parametrize("who", ["service_account", "authorized_user"])
async def test_a_tree_goes_to_the_strict_store_and_back(server, environ, tmp_path, who):
    environ |= server.environ_with(getattr(server, who)(), tmp_path)
    await there_and_back(f"gs://{BUCKET}/direct/", AWKWARD, environ, tmp_path)
    parts = server.count("UploadPart")
    assert parts == (5 if who == "service_account" else 0)
    assert server.count("resumable.put") == (0 if parts else 1)
    assert server.open_uploads == []


@pytest.mark.parametrize("who", ["service_account", "authorized_user"])
async def test_a_tree_goes_by_a_coordinator_and_back(server, environ, tmp_path, who):
    theirs = environ | server.environ_with(getattr(server, who)(), tmp_path)
    async with Serving(f"gs://{BUCKET}/behind", environ=theirs, folder=tmp_path) as serving:
        url = f"transfer+http://{serving.address}/"
        await there_and_back(url, AWKWARD, environ, tmp_path)
        log = serving.run.text
    passed = re.findall(r"(?:PUT|GET) /api/transfer/1/data/", log)
    signed = who == "service_account"
    assert bool(passed) is not signed
    assert server.count("UploadPart") == (5 if signed else 0)
    for secret in ("X-Goog-Signature=", "upload_id=", "ya29."):
        assert secret not in log


async def test_a_push_that_was_killed_goes_on(server, environ, tmp_path):
    environ |= server.environ_with(server.service_account(), tmp_path)
    environ |= {"TRANSFER_CONCURRENCY": "1"}
    data = secrets.token_bytes(LARGE)
    (tmp_path / "file").write_bytes(data)
    push = ("push", "file", f"gs://{BUCKET}/k")
    async with transfer(*push, environ=environ, folder=tmp_path) as run:
        await run.kill_when(lambda: server.count("UploadPart", status=200) >= 2)
    for journal in (tmp_path / "state").rglob("*"):
        assert not journal.is_file() or b"X-Goog-Signature" not in journal.read_bytes()
    text = await command(*push, environ=environ, folder=tmp_path)
    assert "1 file" in text
    assert server.objects["k"].data == data
    assert server.count("CreateMultipartUpload") == 1
    numbers = [entry.part for entry in server.seen("UploadPart", status=200)]
    assert len(numbers) < 10
    assert set(numbers) == {1, 2, 3, 4, 5}


async def test_no_clobber_holds_for_large_files_too(server, environ, tmp_path):
    environ |= server.environ_with(server.service_account(), tmp_path)
    (tmp_path / "file").write_bytes(secrets.token_bytes(LARGE))
    push = ("push", "--no-clobber", "file", f"gs://{BUCKET}/k")
    await command(*push, environ=environ, folder=tmp_path)
    [begin] = server.seen("objects.insert")
    assert begin.status == 200
    assert server.count("CreateMultipartUpload") == 0
    assert "exists" in await command(*push, environ=environ, folder=tmp_path, code=7)


@pytest.mark.parametrize(
    ("who", "said"),
    [
        ("foreign key", "SignatureDoesNotMatch"),
        ("revoked", "400 (invalid_grant"),
        ("no file", "No such file"),
        ("no credentials", "no Google credentials found"),
        ("no bucket", "NoSuchBucket"),
    ],
)
async def test_what_is_wrong_is_said_in_one_line(server, environ, tmp_path, who, said):
    (tmp_path / "file").write_bytes(b"x")
    foreign = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    credentials = {
        "foreign key": server.service_account(key=foreign),
        "revoked": server.authorized_user() | {"refresh_token": "revoked"},
    }.get(who, server.service_account())
    environ |= server.environ_with(credentials, tmp_path)
    if who == "no file":
        environ["GOOGLE_APPLICATION_CREDENTIALS"] = str(tmp_path / "none")
    elif who == "no credentials":
        # A metadata server that is not there, at once.
        del environ["GOOGLE_APPLICATION_CREDENTIALS"]
        environ["GCE_METADATA_HOST"] = "127.0.0.1:9"
    bucket = "no-such-bucket" if who == "no bucket" else BUCKET
    push = ("push", "file", f"gs://{bucket}/k")
    code = 3 if who == "no bucket" else 4
    text = await command(*push, environ=environ, folder=tmp_path, code=code)
    [line] = text.strip().splitlines()
    assert said in line
    for secret in (json.dumps(credentials["token_uri"]), "PRIVATE KEY", "X-Goog-Signature"):
        assert secret not in line
