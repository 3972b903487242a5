from __future__ import annotations

from tests.support.left_out import left_out


def test_what_is_missing_is_named_once_and_counted():
    azurite = "Skipped: azurite is not installed (npm): make servers does it"
    lines = left_out([azurite, "Skipped: no multipart uploads", azurite])
    assert lines == [
        "left out: 2 tests: azurite is not installed (npm): make servers does it",
    ]


def test_tests_that_were_not_chosen_are_named_too():
    [one, marks] = left_out(["sshd is not installed (Debian: openssh-server)"], "not slow")
    assert one.startswith("left out: 1 test: sshd")
    assert "'not slow'" in marks
    assert "make test-all" in marks


def test_a_run_that_had_everything_says_nothing():
    assert left_out(["Skipped: rclone ignores If-None-Match"]) == []
