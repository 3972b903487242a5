"""From one store to another of the same kind: the store copies by itself where it can."""

from __future__ import annotations

import os

import anyio.to_thread
import asyncssh
import boto3
import pytest

from backends.s3.parts import LIMITS
from backends.sftp.partial import LINE
from tests.faults.harness import BUCKET as STRICT_BUCKET
from tests.faults.harness import StrictStore
from tests.faults.harness.clients import boto
from tests.support.servers import ACCESS_KEY, BUCKET, SECRET_KEY
from transfer.checksums import Algorithm, checksum_of
from transfer.engine import Engine
from transfer.errors import SourceChangedError
from transfer.model import Intent, Part, Span, Verified
from transfer.settings import Settings
from transfer.store import Origin
from transfer.tally import Tally

PART = LIMITS.min_size
SMALL, LARGE = os.urandom(1000), os.urandom(2 * PART + 1000)


def client_of(server):
    return boto3.client(
        "s3",
        endpoint_url=server.url,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        region_name="us-east-1",
    )


@pytest.fixture
def copied(monkeypatch):
    """Copy with an engine of this environment; returns the report and what passed the mover."""

    async def copy(environ, source, target):
        # What libraries read for themselves.
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "HOME"):
            if name in environ:
                monkeypatch.setenv(name, environ[name])
        settings = Settings.from_env(environ | {"MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE": str(PART)})
        async with Engine(settings) as engine:
            assert engine._stores is not None
            mover = engine._stores._context.mover
            passed, exchange = [], mover.exchange

            async def counted(request, **how):
                if how.get("source") is not None or how.get("sink") is not None:
                    passed.append(request.method)
                return await exchange(request, **how)

            monkeypatch.setattr(mover, "exchange", counted)
            report = await engine.copy(source, target)
        return report, passed

    return copy


@pytest.mark.servers
@pytest.mark.parametrize("name", ["moto", pytest.param("ceph", marks=pytest.mark.slow)])
async def test_objects_of_one_server_are_copied_by_it(name, request, copied):
    server = request.getfixturevalue(name)
    client = client_of(server)
    for bucket in ("copy-from", "copy-to"):
        client.create_bucket(Bucket=bucket)
    for key, data in (("d/small +%", SMALL), ("d/large", LARGE), ("d/empty", b"")):
        client.put_object(Bucket="copy-from", Key=key, Body=data)
    report, passed = await copied(server.environ, "s3://copy-from/d", "s3://copy-to/")
    assert (len(report.done), report.moved) == (3, len(SMALL) + len(LARGE))
    assert passed == ["PUT"]  # the empty one
    for key, data in (("d/small +%", SMALL), ("d/large", LARGE), ("d/empty", b"")):
        assert client.get_object(Bucket="copy-to", Key=key)["Body"].read() == data
    client.close()


@pytest.mark.servers
async def test_what_a_server_does_not_copy_is_moved(rclone, copied):
    client = client_of(rclone)
    for name, data in (("small", SMALL), ("large", LARGE)):
        client.put_object(Bucket=BUCKET, Key=f"copies/{name}", Body=data)
    client.close()
    report, passed = await copied(rclone.environ, f"s3://{BUCKET}/copies/", f"s3://{BUCKET}/moved/")
    assert len(report.done) == 2
    assert passed.count("PUT") == 4
    assert (rclone.folder / BUCKET / "moved" / "small").read_bytes() == SMALL
    assert (rclone.folder / BUCKET / "moved" / "large").read_bytes() == LARGE


async def test_a_part_that_is_bound_to_its_content_is_read_once_from_elsewhere(copied):
    async with StrictStore() as store:
        await anyio.to_thread.run_sync(put_by_hand, store)
        url = f"s3://{STRICT_BUCKET}"
        report, _ = await copied(store.environ, f"{url}/a", f"{url}/b")
        assert report.done[0].verified is Verified.CONTENT
        assert [entry.status for entry in store.seen("GetObject")] == [206] * 3
        parts = store.seen("UploadPart")
        assert [entry.status for entry in parts if "x-amz-checksum-crc32c" in entry.headers] == [
            200
        ] * 3
        assert store.objects["b"].data == LARGE
        assert store.open_uploads == []


def put_by_hand(store):
    client = boto(store)
    crc = checksum_of(Algorithm.CRC32C, LARGE).base64
    client.put_object(Bucket=STRICT_BUCKET, Key="a", Body=LARGE, ChecksumCRC32C=crc)
    client.close()


@pytest.mark.servers
async def test_an_object_replaced_meanwhile_is_not_copied(moto, open_store):
    client = client_of(moto)
    client.create_bucket(Bucket="replaced")
    client.put_object(Bucket="replaced", Key="a", Body=LARGE)
    async with open_store("s3://replaced", moto.environ) as store:
        upload = await store.parts.create("b", Intent(len(LARGE), PART))
        async with store.open("a") as opened:
            source = opened.source(Span(0, PART))
            assert isinstance(source.origin, Origin)
            client.put_object(Bucket="replaced", Key="a", Body=SMALL)
            with pytest.raises(SourceChangedError):
                await store.parts.send(upload, Part(1, Span(0, PART)), source, Tally())
        await store.parts.abort(upload)
    client.close()


@pytest.mark.servers
@pytest.mark.parametrize("name", ["webdav", "nginx"])
async def test_files_of_one_webdav_server_are_copied_by_it(name, request, copied, tmp_path):
    server = request.getfixturevalue(name)
    url = server.with_login() if name == "webdav" else f"{server.url}/dav"
    large, small = tmp_path / "large", tmp_path / "small +%"
    large.write_bytes(LARGE)
    small.write_bytes(SMALL)
    await copied({}, f"{tmp_path}/", f"{url}/copied-from/d e/")
    report, passed = await copied({}, f"{url}/copied-from/", f"{url}/copied-to/")
    assert (len(report.done), passed) == (2, [])
    back = tmp_path / "back"
    await copied({}, f"{url}/copied-to/", f"{back}/")
    assert (back / "d e/large").read_bytes() == LARGE
    assert (back / "d e/small +%").read_bytes() == SMALL
    await copied({}, str(small), f"{url}/copied-from/d e/large")
    again, _ = await copied({}, f"{url}/copied-from/d e/large", f"{url}/copied-to/d e/large")
    assert again.done[0].size == len(SMALL)


@pytest.mark.servers
async def test_objects_of_cloud_storage_are_copied_by_it(gcs_emulator, copied, tmp_path):
    environ = {"STORAGE_EMULATOR_HOST": gcs_emulator}
    file = tmp_path / "large"
    file.write_bytes(LARGE)
    await copied(environ, str(file), f"gs://{BUCKET}/copied/a b%")
    report, passed = await copied(environ, f"gs://{BUCKET}/copied/a b%", f"gs://{BUCKET}/copied/ü")
    assert (report.done[0].verified, passed) == (Verified.CONTENT, [])
    back = tmp_path / "back"
    await copied(environ, f"gs://{BUCKET}/copied/ü", str(back))
    assert back.read_bytes() == LARGE


@pytest.fixture
def passed_by_ssh(monkeypatch):
    """Count the bytes of files that are read from and written to SSH servers; not receipts."""
    passed = {"read": 0, "written": 0}
    read, write = asyncssh.SFTPClientFile.read, asyncssh.SFTPClientFile.write

    async def counted_read(file, size=-1, offset=None):
        data = await read(file, size, offset)
        passed["read"] += len(data)
        return data

    async def counted_write(file, data, offset=None):
        passed["written"] += len(data) if len(data) > LINE else 0
        return await write(file, data, offset)

    monkeypatch.setattr(asyncssh.SFTPClientFile, "read", counted_read)
    monkeypatch.setattr(asyncssh.SFTPClientFile, "write", counted_write)
    return passed


def put_on_disk(folder):
    (folder / "copies from").mkdir()
    for name, data in (("small +%", SMALL), ("large", LARGE), ("empty", b"")):
        (folder / "copies from" / name).write_bytes(data)


def check_on_disk(folder):
    for name, data in (("small +%", SMALL), ("large", LARGE), ("empty", b"")):
        assert (folder / "copies to" / "d" / name).read_bytes() == data
    assert len(list((folder / "copies to" / "d").iterdir())) == 3


@pytest.mark.servers
async def test_files_of_one_ssh_server_are_copied_by_it(sshd, copied, passed_by_ssh):
    put_on_disk(sshd.folder)
    report, _ = await copied(sshd.environ, f"{sshd.url}/copies from/", f"{sshd.url}/copies to/d/")
    assert (len(report.done), report.moved) == (3, len(SMALL) + len(LARGE))
    assert {done.verified for done in report.done} == {Verified.SIZE}
    assert passed_by_ssh["written"] == 0
    assert passed_by_ssh["read"] < len(SMALL)  # no more than receipts
    check_on_disk(sshd.folder)


@pytest.mark.servers
async def test_an_ssh_server_that_forbids_copies_gets_the_bytes(
    sshd, copied, passed_by_ssh, monkeypatch
):
    """OpenSSH does not offer what it forbids; others do, so the refusal is made up here."""
    asked = []

    async def forbidden(*_):
        asked.append(1)
        raise asyncssh.SFTPPermissionDenied("no")

    monkeypatch.setattr(asyncssh.SFTPClient, "remote_copy", forbidden)
    (sshd.folder / "forbidden").write_bytes(LARGE)
    url = f"{sshd.url}/forbidden"
    report, _ = await copied(sshd.environ, url, f"{url} copy")
    assert asked
    assert report.moved == passed_by_ssh["written"] == len(LARGE)
    assert (sshd.folder / "forbidden copy").read_bytes() == LARGE


@pytest.mark.servers
async def test_an_ssh_server_without_copies_gets_the_bytes(
    rclone_ssh, copied, passed_by_ssh, tmp_path
):
    put_on_disk(tmp_path)
    url = rclone_ssh.url.rstrip("/")
    # By itself: it remembers which folders it has.
    await copied(rclone_ssh.environ, f"{tmp_path}/copies from/", f"{url}/copies from/")
    passed_by_ssh.update(read=0, written=0)
    report, _ = await copied(rclone_ssh.environ, f"{url}/copies from/", f"{url}/copies to/d/")
    assert len(report.done) == 3
    assert passed_by_ssh["written"] == len(SMALL) + len(LARGE)
    check_on_disk(rclone_ssh.folder)


@pytest.mark.servers
@pytest.mark.parametrize(
    ("content", "said"), [(SMALL, "became shorter"), (LARGE[::-1], "was changed")]
)
async def test_a_file_replaced_meanwhile_on_an_ssh_server_is_not_copied(
    content, said, sshd, open_below
):
    file = sshd.folder / "to be replaced"
    file.write_bytes(LARGE)
    os.utime(file, (1e9, 1e9))
    async with open_below(sshd.url, sshd.environ) as store:
        async with store.open(file.name) as opened:
            source = opened.source(Span(PART, 2 * PART))
            file.write_bytes(content)
            with pytest.raises(SourceChangedError, match=said):
                await store.put("copy", source, Intent(PART), Tally())
        assert not (sshd.folder / "copy").exists()
        assert not list(sshd.folder.glob(".transfer-*"))
