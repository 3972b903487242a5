"""An S3 server that spells ETags and times in two ways: nothing was replaced because of that."""

from __future__ import annotations

import pytest

from bench.servers import coordinator
from tests.support.command import MIB, digest, digests, done, make_file
from tests.support.servers import BUCKET, clean_environment

pytestmark = pytest.mark.servers


@pytest.fixture
def tree(tmp_path):
    for name, size in (("large", 40 * MIB + 1), ("middle", 20 * MIB), ("small", 3 * MIB)):
        make_file(tmp_path / "in" / name, size)
    return tmp_path / "in"


def test_what_was_sent_in_parts_comes_back(rclone_with_etags, tree, tmp_path):
    how = {"state": tmp_path / "state", "environ": rclone_with_etags.environ}
    done("push", f"{tree}/", f"s3://{BUCKET}/there/", **how)
    done("pull", f"s3://{BUCKET}/there/", tmp_path / "out", **how)
    assert digests(tmp_path / "out") == digests(tree)


@pytest.mark.parametrize("scheme", ["transfer+http", "mlflow-artifacts"])
def test_it_comes_back_through_a_coordinator(rclone_with_etags, tree, tmp_path, scheme):
    environ = clean_environment(rclone_with_etags.environ)
    with coordinator(f"s3://{BUCKET}/{scheme}", tmp_path, environ) as address:
        there = f"{scheme}://{address}/there/"
        done("push", f"{tree}/", there, state=tmp_path / "state")
        done("pull", there, tmp_path / "out", state=tmp_path / "state")
    assert digests(tmp_path / "out") == digests(tree)


def test_what_the_server_cannot_copy_goes_through_memory(rclone_with_etags, tree, tmp_path):
    how = {"state": tmp_path / "state", "environ": rclone_with_etags.environ}
    done("push", f"{tree}/", f"s3://{BUCKET}/from/", **how)
    done("push", f"s3://{BUCKET}/from/", f"s3://{BUCKET}/to/", **how)
    environ = dict(how["environ"])
    environ["AWS_ENDPOINT_URL"] = environ.pop("MLFLOW_S3_ENDPOINT_URL")
    by_sdk = {**how, "environ": environ}
    done("push", f"s3://{BUCKET}/from/middle", f"s3://{BUCKET}/alone", **by_sdk)
    # With a cache, the server writes to the folder itself only seconds later.
    done("pull", f"s3://{BUCKET}/to/", tmp_path / "out", **how)
    done("pull", f"s3://{BUCKET}/alone", tmp_path / "alone", **how)
    assert digests(tmp_path / "out") == digests(tree)
    assert digest(tmp_path / "alone") == digest(tree / "middle")
