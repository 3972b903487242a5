from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest
import trustme

from transfer.errors import UsageError
from transfer.mover.trust import Trust, make_context
from transfer.store import Tls

if TYPE_CHECKING:
    from pathlib import Path


def test_servers_are_verified():
    context = make_context(Tls())
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_verification_can_be_switched_off():
    context = make_context(Tls(verify=False))
    assert context.verify_mode is ssl.CERT_NONE
    assert not context.check_hostname


def test_bundle_of_ones_own_replaces_that_of_the_system(tmp_path: Path):
    bundle = tmp_path / "ca.pem"
    trustme.CA(organization_name="ours").cert_pem.write_to_path(str(bundle))
    names = [
        dict(pair for row in found["subject"] for pair in row)["organizationName"]
        for found in make_context(Tls(ca_file=str(bundle))).get_ca_certs()
    ]
    assert names == ["ours"]


def test_certificate_of_the_client_may_be_one_file_or_two(tmp_path: Path):
    issued = trustme.CA().issue_cert("client")
    both, key = tmp_path / "both.pem", tmp_path / "key.pem"
    issued.private_key_and_cert_chain_pem.write_to_path(str(both))
    issued.private_key_pem.write_to_path(str(key))
    make_context(Tls(client_cert=str(both)))
    make_context(Tls(client_cert=str(both), client_key=str(key)))


def test_bundle_that_cannot_be_read(tmp_path: Path):
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    for path in (broken, tmp_path / "missing.pem"):
        with pytest.raises(UsageError, match=f"cannot read the CA bundle {path}"):
            make_context(Tls(ca_file=str(path)))
        with pytest.raises(UsageError, match=f"cannot read the client certificate {path}"):
            make_context(Tls(client_cert=str(path)))


async def test_contexts_are_made_once():
    trust = Trust()
    assert await trust.context(Tls()) is await trust.context(Tls())
    assert await trust.context(Tls()) is not await trust.context(Tls(verify=False))
