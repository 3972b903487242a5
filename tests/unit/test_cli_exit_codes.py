from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer import errors
from transfer.cli.exit_codes import EPILOG, code_of, code_of_run

CODES = {
    errors.TransferError: 1,
    errors.UsageError: 2,
    errors.UnknownSchemeError: 2,
    errors.MissingExtraError: 2,
    errors.PlanError: 2,
    errors.BadKeyError: 2,
    errors.LocalError: 1,
    errors.DiskFullError: 1,
    errors.StoreError: 1,
    errors.NotFoundError: 3,
    errors.UploadGoneError: 1,
    errors.ExistsError: 7,
    errors.PreconditionError: 7,
    errors.AccessError: 4,
    errors.CredentialsError: 4,
    errors.StoreRefusedError: 4,
    errors.UnsupportedError: 1,
    errors.ProtocolError: 1,
    errors.TlsError: 1,
    errors.HostKeyError: 1,
    errors.RejectedError: 1,
    errors.TemporaryError: 5,
    errors.ConnectionLostError: 5,
    errors.StalledError: 5,
    errors.UnavailableError: 5,
    errors.UnsettledError: 5,
    errors.ExpiredError: 5,
    errors.ThrottledError: 5,
    errors.BusyError: 5,
    errors.TakenOverError: 7,
    errors.IntegrityError: 6,
    errors.DamagedInTransitError: 6,
    errors.SourceChangedError: 6,
    errors.InterruptedTransferError: 130,
}


def test_every_error_has_its_code():
    named = {
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.TransferError)
    }
    assert named == set(CODES)
    assert {kind: code_of(kind) for kind in CODES} == CODES


def test_what_is_no_error_of_ours_is_a_failure():
    assert code_of(ValueError) == 1


@pytest.mark.parametrize(
    ("failures", "others", "code"),
    [
        ([], 0, 0),
        ([], 5, 0),
        ([errors.NotFoundError], 0, 3),
        ([errors.NotFoundError], 1, 1),
        ([errors.StalledError, errors.ThrottledError], 0, 5),
        ([errors.StalledError, errors.ThrottledError], 1, 1),
        ([errors.StalledError, errors.AccessError], 0, 1),
        ([errors.LocalError] * 3, 0, 1),
        ([errors.AccessError, errors.CredentialsError], 0, 4),
        ([errors.CredentialsError, errors.LocalError, errors.BadKeyError], 0, 4),
        ([errors.CredentialsError, errors.NotFoundError], 0, 4),
        ([errors.CredentialsError, errors.LocalError], 1, 1),
        ([errors.CredentialsError, errors.IntegrityError], 0, 1),
    ],
)
def test_a_run_tells_what_its_failures_share(failures, others, code):
    assert code_of_run(failures, others) == code


@given(st.lists(st.sampled_from(sorted(CODES, key=repr))), st.integers(0, 3))
def test_a_run_is_done_only_if_nothing_failed(failures, others):
    code = code_of_run(failures, others)
    assert (code == 0) == (not failures)
    assert code in {0, 1, *map(code_of, failures)}


def test_help_explains_the_codes():
    for code in {0, 143, *CODES.values()}:
        assert f" {code} " in EPILOG or f" {code}," in EPILOG
