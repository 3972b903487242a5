"""MLflow's servers in front of Azure: what they sign for a client."""

from __future__ import annotations

import base64
from urllib.parse import quote

import pytest

from backends.coordinated.mlflow import _blocks_fit


def urls(pattern: str, count: int) -> list[str]:
    """Sign as MLflow does, with a SAS that does not matter here."""
    ids = [base64.b64encode(pattern.format(number).encode()) for number in range(1, count + 1)]
    return [f"https://a.blob.x/c/sub dir/k?comp=block&blockid={quote(i)}&sig=s" for i in ids]


@pytest.mark.parametrize(
    ("pattern", "count", "fit"),
    [
        ("mlflow_block_{}", 9, True),
        ("mlflow_block_{}", 10, False),
        ("mlflow_block_{:05d}", 10, True),
    ],
)
def test_ten_parts_of_an_old_server_are_not_begun(pattern: str, count: int, fit: bool):
    assert _blocks_fit(urls(pattern, count)) is fit


def test_stores_without_block_ids_are_fine():
    assert _blocks_fit([f"https://bucket.x/k?partNumber={n}&X-Amz-Signature=s" for n in (1, 10)])
