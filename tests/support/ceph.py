"""Ceph's object gateway (radosgw) as a fixture: one monitor, one disk, one gateway.

It checks signatures, expiry and Content-MD5, and keeps multipart uploads as Amazon
does. What it needs comes from Debian (`make servers`).
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3
import pytest

from bench.servers import ACCESS_KEY, SECRET_KEY, free_port, running, wait_for
from tests.support.servers import BUCKET, S3Server, clean_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_PATH = f"{os.defpath}:/usr/sbin"
_PROGRAMS = ("ceph", "ceph-authtool", "ceph-mon", "ceph-osd", "monmaptool", "radosgw")
KMS_KEY = "a-key-of-these-tests"
_MON, _OSD = ("mon", "allow *"), ("osd", "allow *")

_CONFIG = """
[global]
fsid = {fsid}
mon_host = {monitor}
public_network = 127.0.0.0/8
ms_bind_ipv6 = false
keyring = {folder}/admin.keyring
auth_allow_insecure_global_id_reclaim = false
run_dir = {folder}/run
admin_socket = {folder}/run/$name.asok
log_file = {folder}/$name.log
crash_dir = {folder}/run
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_pool_default_pgp_num = 8
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
mon_data_avail_crit = 1
mon_data_avail_warn = 2
[mon.a]
mon_data = {folder}/mon
[osd.0]
osd_data = {folder}/osd
keyring = {folder}/osd/keyring
osd_objectstore = bluestore
# Sparse: it takes what is written.
bluestore_block_size = 10737418240
osd_memory_target = 939524096
osd_class_load_list = *
osd_class_default_list = *
[client.rgw.a]
rgw_data = {folder}/rgw
keyring = {folder}/rgw/keyring
rgw_frontends = beast endpoint=127.0.0.1:{port}
rgw_enable_usage_log = false
rgw_crypt_require_ssl = false
rgw_crypt_s3_kms_backend = testing
rgw_crypt_s3_kms_encryption_keys = {kms_key}=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=
"""


@dataclass(frozen=True)
class _Cluster:
    """The folder of a cluster, and how its programs are called."""

    folder: Path

    def command(self, program: str, *words: str) -> list[str]:
        """Return the command line of a daemon or an administrator."""
        name = shutil.which(program, path=_PATH)
        return [str(name), "--conf", str(self.folder / "ceph.conf"), *words]

    def run(self, program: str, *words: str) -> str:
        """Run a program to its end; return what it printed."""
        return _run(self.command(program, *words))

    def tool(self, program: str, *words: str) -> None:
        """Run a program that wants no configuration."""
        _run([str(shutil.which(program, path=_PATH)), *words])

    def daemon(self, program: str, *words: str):
        """Run a daemon while the block lasts."""
        log = self.folder / f"{program}.out"
        return running(self.command(program, *words, "-f"), log, clean_environment())


def _run(command: list[str]) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, env=clean_environment(), timeout=60, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@contextmanager
def ceph_server(folder: Path) -> Iterator[S3Server]:
    """Make and run a cluster with one account and one bucket; it takes a quarter of a minute."""
    cluster = _Cluster(folder)
    port = free_port()
    _make_monitor(cluster, port)
    with cluster.daemon("ceph-mon", "-i", "a"):
        disk = str(uuid.uuid4())
        cluster.run("ceph", "osd", "new", disk, "0")
        _let_in(cluster, "osd.0", "osd", "mon", "allow profile osd", *_OSD)
        _let_in(cluster, "client.rgw.a", "rgw", *_MON, *_OSD)
        cluster.run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", disk)
        with cluster.daemon("ceph-osd", "-i", "0"):
            _wait_until(lambda: "1 up" in cluster.run("ceph", "osd", "stat"))
            with cluster.daemon("radosgw", "-n", "client.rgw.a"):
                yield _opened(cluster, f"http://127.0.0.1:{port}")


def _make_monitor(cluster: _Cluster, port: int) -> None:
    folder, fsid = cluster.folder, str(uuid.uuid4())
    for name in ("mon", "osd", "rgw", "run"):
        (folder / name).mkdir()
    monitor = f"[v2:127.0.0.1:{free_port()},v1:127.0.0.1:{free_port()}]"
    (folder / "ceph.conf").write_text(
        _CONFIG.format(fsid=fsid, folder=folder, monitor=monitor, port=port, kms_key=KMS_KEY)
    )
    keyring, admin, monmap = (
        str(folder / name) for name in ("mon.keyring", "admin.keyring", "monmap")
    )
    make = ("--create-keyring", "--gen-key", "-n")
    allowed = [word for cap in (_MON, _OSD) for word in ("--cap", *cap)]
    cluster.tool("ceph-authtool", keyring, *make, "mon.", "--cap", *_MON)
    cluster.tool("ceph-authtool", admin, *make, "client.admin", *allowed)
    cluster.tool("ceph-authtool", keyring, "--import-keyring", admin)
    cluster.tool("monmaptool", "--create", "--fsid", fsid, "--addv", "a", monitor, monmap)
    cluster.run("ceph-mon", "-i", "a", "--mkfs", "--monmap", monmap, "--keyring", keyring)


def _let_in(cluster: _Cluster, who: str, place: str, *caps: str) -> None:
    keyring = str(cluster.folder / place / "keyring")
    cluster.run("ceph", "auth", "get-or-create", who, *caps, "-o", keyring)


def _wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end, "the disk of the Ceph cluster does not come up"
        time.sleep(0.2)


def _opened(cluster: _Cluster, url: str) -> S3Server:
    """Make the account and the bucket, and store something: the first PUT makes a pool."""
    wait_for(url, cluster.folder / "radosgw.out", 60)
    keys = ("--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY)
    user = ("user", "create", "--uid", "tests", "--display-name", "tests")
    cluster.run("radosgw-admin", "-n", "client.rgw.a", *user, *keys)
    server = S3Server(url, None)
    client = sdk(server)
    client.create_bucket(Bucket=BUCKET)
    client.put_object(Bucket=BUCKET, Key=secrets.token_hex(4), Body=b"")
    client.close()
    return server


def sdk(server: S3Server):
    """Return the SDK's client of a server."""
    return boto3.client(
        "s3",
        endpoint_url=server.url,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        region_name="us-east-1",
    )


@pytest.fixture(scope="session")
def ceph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Ceph's gateway for the whole session."""
    missing = [name for name in _PROGRAMS if shutil.which(name, path=_PATH) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed (Debian: see tests/debian.txt)")
    with ceph_server(tmp_path_factory.mktemp("ceph")) as server:
        yield server
