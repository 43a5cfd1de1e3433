"""Who a node is on the wire: its own small certificate authority, and identities read from certificates.

mTLS both ways. A certificate names its holder in exactly one URI SAN, spiffe://liandong/<kind>[/<name>].
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from common.kernel.refusal import Fault, Refusal, invalid, missing

TRUST_DOMAIN = "liandong"
AUTHORITY_DAYS = 3650
CERTIFICATE_DAYS = 365
CLOCK_MARGIN = timedelta(hours=1)
"""Certificates are valid from this long before they were signed: other clocks may be behind."""
KINDS = ("hq", "province", "operator", "vendor", "bss")
_URI = re.compile(rf"spiffe://{TRUST_DOMAIN}/(?:(hq)|({'|'.join(KINDS[1:])})/([a-z0-9][a-z0-9_.-]{{0,62}}))")
_PEER_URI = "peer_uri"


@dataclass(frozen=True, slots=True)
class Identity:
    """`name` is empty for HQ, the two-digit code for a province."""

    kind: str
    name: str = ""

    @property
    def uri(self) -> str:
        return f"spiffe://{TRUST_DOMAIN}/{self.kind}" + (f"/{self.name}" if self.name else "")

    @property
    def dns_name(self) -> str:
        """What a client verifies: gRPC clients look at DNS names only, never at the URI."""
        return f"{self.kind}-{self.name}" if self.name else self.kind

    def __str__(self) -> str:
        return f"{self.kind} {self.name}".strip()


HQ = Identity("hq")


@dataclass(frozen=True, slots=True)
class Pem:
    """A certificate and its private key."""

    certificate: bytes
    key: bytes


def parse_identity(uri: str) -> Identity:
    match = _URI.fullmatch(uri)
    if match is None:
        raise invalid(f"{uri!r} names nobody here; expected spiffe://{TRUST_DOMAIN}/<{'|'.join(KINDS)}>[/<name>]")
    return Identity(match[1] or match[2], match[3] or "")


def identity(auth_context: Mapping[str, Iterable[bytes]]) -> Identity:
    """The caller, from its verified certificate; refused where that names nobody or more than one."""
    uris = [uri.decode("ascii", "replace") for uri in auth_context.get(_PEER_URI, ())]
    try:
        (uri,) = uris
        return parse_identity(uri)
    except (ValueError, Refusal):
        message = f"the certificate must carry one URI SAN of {TRUST_DOMAIN}, not {uris}; enroll this node again"
        raise Refusal(Fault.FORBIDDEN, "IDENTITY_NOT_ALLOWED", message) from None


def new_authority(now: datetime) -> Pem:
    """A certificate authority of our own. Who holds its key can name anyone: keep it off the nodes."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _common_name(f"{TRUST_DOMAIN} authority")
    builder = (
        _valid(x509.CertificateBuilder(), now, AUTHORITY_DAYS)
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return Pem(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM), _key_pem(key))


def new_request(who: Identity) -> Pem:
    """A certificate request (in place of the certificate) and its key, which never leaves the node."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(_common_name(str(who)))
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(who.uri)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Pem(request.public_bytes(serialization.Encoding.PEM), _key_pem(key))


def requested(request: bytes) -> Identity:
    """Who a certificate request asks to be. Nothing proves it: the signer decides."""
    try:
        names = x509.load_pem_x509_csr(request).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        (uri,) = names.get_values_for_type(x509.UniformResourceIdentifier)
    except (ValueError, x509.ExtensionNotFound) as error:
        raise invalid(
            f"not a certificate request of a node ({error}); make one with `liandong province init`"
        ) from error
    return parse_identity(uri)


def sign(authority: Pem, request: bytes, who: Identity, now: datetime) -> bytes:
    """The certificate for `who`. Of the request only the public key is used: names are the signer's to give."""
    parse_identity(who.uri)
    asked = x509.load_pem_x509_csr(request)
    if not asked.is_signature_valid:
        raise invalid("the certificate request is not signed by its own key; make a new one")
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    key = serialization.load_pem_private_key(authority.key, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise invalid("the authority's key is not an elliptic-curve key; make the authority with `liandong hq init`")
    builder = (
        _valid(x509.CertificateBuilder(), now, CERTIFICATE_DAYS)
        .subject_name(_common_name(str(who)))
        .issuer_name(issuer.subject)
        .public_key(asked.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign=False), critical=True)
        .add_extension(x509.SubjectAlternativeName(_names(who)), critical=False)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def issue(authority: Pem, who: Identity, now: datetime) -> Pem:
    """Request and sign in one step, where one machine holds everything."""
    request = new_request(who)
    return Pem(sign(authority, request.certificate, who, now), request.key)


def write_private(path: Path, content: bytes) -> None:
    """Readable by its owner only, from the first byte on."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(content)


def write(directory: Path, name: str, pem: Pem) -> None:
    """`<name>.crt` and `<name>.key` in `directory`, both 0600."""
    directory.mkdir(parents=True, exist_ok=True)
    write_private(directory / f"{name}.crt", pem.certificate)
    write_private(directory / f"{name}.key", pem.key)


def read(certificate: Path, key: Path) -> Pem:
    return Pem(read_pem(certificate), read_pem(key))


def read_pem(path: Path) -> bytes:
    """Raises Refusal NOT_FOUND saying where such files come from."""
    try:
        return path.read_bytes()
    except OSError as error:
        message = (
            f"{path}: {error.strerror}; HQ's own come from `liandong hq init`, a province's from "
            "`liandong province enroll`, all others from `liandong hq certify`"
        )
        raise missing(message) from error


def server_credentials(authority: bytes, own: Pem) -> grpc.ServerCredentials:
    """Callers without a certificate of `authority` fail in the handshake."""
    return grpc.ssl_server_credentials([(own.key, own.certificate)], authority, require_client_auth=True)


def channel_credentials(authority: bytes, own: Pem) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(authority, own.key, own.certificate)


def _names(who: Identity) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(who.uri), x509.DNSName(who.dns_name)]
    if who == HQ:
        names += [x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1"))]
    return names


def _valid(builder: x509.CertificateBuilder, now: datetime, days: int) -> x509.CertificateBuilder:
    return (
        builder.serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_MARGIN)
        .not_valid_after(now + timedelta(days=days))
    )


def _usage(*, sign: bool) -> x509.KeyUsage:
    unused: dict[str, Any] = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only"), False
    )
    return x509.KeyUsage(digital_signature=not sign, key_cert_sign=sign, crl_sign=sign, decipher_only=False, **unused)


def _common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
