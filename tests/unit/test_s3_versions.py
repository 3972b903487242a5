"""ETags as versions: the same one is spelt in one way only."""

from __future__ import annotations

import pytest

from backends.s3.bucket import version_of


@pytest.mark.parametrize(
    ("etag", "version"),
    [
        ('"9b2c"', '"9b2c"'),
        ("9b2c", '"9b2c"'),
        ('"9b2c-3"', '"9b2c-3"'),
        ('W/"9b2c"', 'W/"9b2c"'),
        ('""', None),
        ("", None),
        (None, None),
    ],
)
def test_an_etag_is_always_in_quotes(etag, version):
    assert version_of(etag) == version
