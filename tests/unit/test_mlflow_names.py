from __future__ import annotations

import pytest

from backends.coordinated.mlflow import check_key
from transfer.errors import BadKeyError


@pytest.mark.parametrize(
    "key", ["a b/c", "100%", "100%.bin", "a+b", "ünï/名前", "%zz", "", "a?b", "a;b/c"]
)
def test_names_that_stay_what_they_are(key):
    check_key(key)


@pytest.mark.parametrize(
    "key",
    ["a%20b", "100%25", "dir%2Fer/x", "%2e%2e/x", "a#b", "a?", "a;", "dir?/x", "a\nb", "\x7f"],
)
def test_names_that_are_taken_for_others_are_refused(key):
    with pytest.raises(BadKeyError) as caught:
        check_key(key)
    assert "MLflow" in str(caught.value)
    assert "rename it" in caught.value.hint
