from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtensionOID

from common.kernel.refusal import Refusal
from common.wire import tls
from common.wire.tls import HQ, Identity

NOW = datetime.now(UTC)
EVERYONE = [HQ, Identity("province", "45"), Identity("operator", "admin"), Identity("vendor", "gx-sms"),
            Identity("bss", "bss-45")]  # fmt: skip


def names(pem: bytes) -> x509.SubjectAlternativeName:
    found = x509.load_pem_x509_certificate(pem).extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME)
    assert isinstance(found.value, x509.SubjectAlternativeName)
    return found.value


@pytest.mark.parametrize("who", EVERYONE, ids=str)
def test_a_certificate_names_its_holder_in_one_uri_and_in_dns(who: Identity) -> None:
    pem = tls.issue(tls.new_authority(NOW), who, NOW)
    san = names(pem.certificate)
    assert san.get_values_for_type(x509.UniformResourceIdentifier) == [who.uri]
    assert who.dns_name in san.get_values_for_type(x509.DNSName)
    assert isinstance(x509.load_pem_x509_certificate(pem.certificate).public_key(), ec.EllipticCurvePublicKey)
    assert tls.identity({"peer_uri": [who.uri.encode()]}) == who


def test_hq_answers_to_its_name_and_to_this_machine() -> None:
    san = names(tls.issue(tls.new_authority(NOW), HQ, NOW).certificate)
    assert san.get_values_for_type(x509.DNSName) == ["hq", "localhost"]
    assert [str(address) for address in san.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]


def test_the_signer_gives_the_name_whatever_the_request_says() -> None:
    request = tls.new_request(HQ)
    signed = tls.sign(tls.new_authority(NOW), request.certificate, Identity("province", "45"), NOW)
    assert names(signed).get_values_for_type(x509.UniformResourceIdentifier) == ["spiffe://liandong/province/45"]


def test_a_certificate_is_checked_against_its_authority() -> None:
    authority, other = tls.new_authority(NOW), tls.new_authority(NOW)
    certificate = x509.load_pem_x509_certificate(tls.issue(authority, HQ, NOW).certificate)
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.certificate))
    with pytest.raises(InvalidSignature):
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(other.certificate))
    assert certificate.not_valid_after_utc - NOW < timedelta(days=366)


@pytest.mark.parametrize(
    "uris",
    [
        [],
        [b"spiffe://liandong/province/45", b"spiffe://liandong/hq"],
        [b"spiffe://elsewhere/province/45"],
        [b"spiffe://liandong/province/"],
        [b"spiffe://liandong/province/45/more"],
        [b"spiffe://liandong/hq/45"],
        [b"spiffe://liandong/emperor/1"],
        [b"https://liandong/hq"],
        [b"\xff\xfe"],
    ],
)
def test_a_certificate_that_does_not_name_exactly_one_of_us_is_refused(uris: list[bytes]) -> None:
    with pytest.raises(Refusal) as refused:
        tls.identity({"peer_uri": uris})
    assert refused.value.reason == "IDENTITY_NOT_ALLOWED"


def test_keys_are_for_their_owner_only_even_over_an_open_file(tmp_path: Path) -> None:
    (tmp_path / "hq.key").touch(0o644)
    tls.write(tmp_path, "hq", tls.issue(tls.new_authority(NOW), HQ, NOW))
    for name in ("hq.crt", "hq.key"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
