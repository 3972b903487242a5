from __future__ import annotations

import pytest

from transfer.store import Request, Response, SignedRequest

URL = "https://host/bucket/key?X-Amz-Signature=secret"


@pytest.mark.parametrize("value", [Request("PUT", URL), SignedRequest("PUT", URL, {}, 60.0)])
def test_presigned_url_is_not_in_the_repr(value: object):
    assert "secret" not in repr(value)
    assert "PUT https://host/bucket/key" in repr(value)


@pytest.mark.parametrize(
    ("status", "ok"), [(199, False), (200, True), (206, True), (299, True), (300, False)]
)
def test_only_2xx_is_ok(status: int, ok: bool):
    assert Response(status, {}).ok is ok
