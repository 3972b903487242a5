"""From one store to another, which is no place on this machine: in bounded memory.

Each store is read from and written to; the pairs are chosen so that the variables
of both fit into one environment.
"""

from __future__ import annotations

import pytest

from tests.support.command import MIB, digest, digests, done, make_file, make_tree
from tests.support.places import behind_coordinator, make_place

pytestmark = [pytest.mark.servers, pytest.mark.timeout(500)]

LARGE = 300 * MIB
# What the interpreter and the libraries take, and the buffers; not the file.
MOST_MEMORY = 250 * MIB
PAIRS = [
    ("s3-rclone", "gs-strict"),
    ("gs-strict", "azurite"),
    ("azurite", "sftp-openssh"),
    ("sftp-openssh", "ftp-pyftpdlib"),
    ("ftp-pyftpdlib", "s3-rclone"),
    ("sftp-rclone", "webdav-rclone"),
    ("webdav-rclone", "gs-emulator"),
    ("gs-emulator", "ftps-pyftpdlib"),
    ("ftps-pyftpdlib", "sftp-rclone"),
    ("ftp-vsftpd", "webdav-nginx"),
    ("webdav-nginx", "http-nginx"),
    ("http-nginx", "ftp-vsftpd"),
    *[
        pytest.param(*pair, marks=pytest.mark.slow)
        for pair in (("s3-ceph", "hdfs"), ("hdfs", "azurite"), ("azurite", "s3-ceph"))
    ],
    *[
        pytest.param(*pair, marks=pytest.mark.mlflow)
        for pair in (("mlflow", "s3-rclone"), ("sftp-openssh", "mlflow"))
    ],
]


@pytest.fixture
def source(request):
    made = make_place(request.param, request.getfixturevalue)
    yield made
    made.empty()


@pytest.fixture
def target(request):
    made = make_place(request.param, request.getfixturevalue)
    yield made
    made.empty()


@pytest.fixture
def how(source, target, tmp_path):
    """The variables of somebody who is let in by both."""
    twice = {
        name
        for name in source.environ.keys() & target.environ.keys()
        if source.environ[name] != target.environ[name]
    }
    assert twice <= {"HOME"}
    return {"environ": {**target.environ, **source.environ}, "state": tmp_path / "state"}


def moved(source, target, size, how, folder):
    """Move a file from one to the other; return how that ran."""
    made, back = make_file(folder / "in.bin", size), folder / "out.bin"
    one, other = source.at("models/a model+1%.bin"), target.at("copies/a model+2%.bin")
    done("push", made, one, **how)
    ran = done("push", one, other, **how)
    done("pull", other, back, **how)
    assert digest(back) == digest(made)
    assert not target.left()
    return ran


@pytest.mark.parametrize(("source", "target"), PAIRS, indirect=True)
def test_a_file_goes_from_store_to_store(source, target, how, tmp_path):
    moved(source, target, 12 * MIB + 7, how, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("source", "target"), PAIRS, indirect=True)
def test_a_large_file_goes_from_store_to_store_in_bounded_memory(source, target, how, tmp_path):
    assert moved(source, target, LARGE, how, tmp_path).peak < MOST_MEMORY


@pytest.mark.parametrize(
    ("source", "target"),
    [("s3-rclone", "sftp-openssh"), ("sftp-rclone", "gs-strict")],
    indirect=True,
)
def test_a_tree_goes_from_store_to_store_and_through_a_coordinator(source, target, how, tmp_path):
    names = ["a b.bin", "100%25.bin", "dir/e\u0301", "dir/\u00e9", "dir/er/#?", ".hidden"]
    tree = make_tree(tmp_path / "in", names)
    done("push", f"{tree}/", source.at("tree/"), **how)
    folder = tmp_path / "coordinator"
    folder.mkdir()
    with behind_coordinator(target, folder) as coordinated:
        done("push", source.at("tree/"), coordinated.at("copy/"), **how)
        done("pull", coordinated.at("copy/"), tmp_path / "out", **how)
    assert digests(tmp_path / "out") == digests(tree)
