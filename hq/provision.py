"""Makes a new HQ: its directory, settings, certificate authority and keys; and lets others in."""

from __future__ import annotations

import secrets
from datetime import datetime
from pathlib import Path

from common.kernel.refusal import conflict, invalid, missing
from common.kernel.subscriber import FEDERATION_KEY_BYTES_MIN
from common.wire import tls

SETTINGS = """\
# HQ of the federation. Any key may also be set in the environment: LIANDONG_LISTEN, LIANDONG_TLS__KEY, ...
# Relative paths are read from this file's directory. Unknown keys are refused.

data_dir = "data"                        # the store, snapshots of people, audiences, selections
# database_url = "postgresql+psycopg://hq@127.0.0.1/hq"   # left out: SQLite in data_dir
listen = "{listen}"              # provinces, operators and vendors all come in here, with a certificate each
federation_key_file = "federation.key"   # makes subscriber keys from numbers; the same at every node; keep it secret

[tls]
authority = "authority.crt"
certificate = "hq.crt"
key = "hq.key"

# One for each level-one channel: who sends it, and the name in that vendor's certificate.
# [[vendors]]
# channel = "sms"
# address = "127.0.0.1:7801"
# name = "sms-gateway"

# Where national orders are pulled from.
# [cbss]
# source_system = "cbss"
# address = "127.0.0.1:7901"
# name = "cbss"
"""

OPERATOR_SETTINGS = """\
# How the operators' commands reach HQ: liandong campaign ..., liandong report ...
hq_address = "{listen}"

[tls]
authority = "authority.crt"
certificate = "operator.crt"
key = "operator.key"
"""


def new_hq(directory: Path, listen: str, now: datetime, federation_key: bytes | None = None) -> Path:
    """Everything HQ needs in `directory`, which must not hold one yet, and `operator/` for the first operator.

    Answers the settings file. The authority's key stays in `authority.key`: whoever has it can let anyone in.
    """
    settings = directory / "hq.toml"
    if settings.exists():
        raise conflict(f"{settings} is there already; choose another directory")
    authority = tls.new_authority(now)
    (directory / "data").mkdir(parents=True, exist_ok=True)
    tls.write(directory, "authority", authority)
    tls.write(directory, "hq", tls.issue(authority, tls.HQ, now))
    tls.write_private(directory / "federation.key", federation_key or secrets.token_bytes(FEDERATION_KEY_BYTES_MIN))
    settings.write_text(SETTINGS.format(listen=listen), encoding="utf-8")
    operator = directory / "operator"
    certify(directory, "operator", "admin", operator, now)
    (operator / "operator.toml").write_text(OPERATOR_SETTINGS.format(listen=listen), encoding="utf-8")
    return settings


def certify(directory: Path, kind: str, name: str, out: Path, now: datetime) -> None:
    """A certificate and key for an operator, vendor or BSS, as `<kind>.crt`, `<kind>.key` and `authority.crt`."""
    if kind not in ("operator", "vendor", "bss"):
        raise invalid(f"{kind!r} is not certified here; operator, vendor or bss is (provinces use `province enroll`)")
    tls.write(out, kind, tls.issue(_authority(directory), tls.Identity(kind, name), now))
    (out / "authority.crt").write_bytes((directory / "authority.crt").read_bytes())


def enroll(directory: Path, request: bytes, out: Path, now: datetime) -> str:
    """Sign a province's request; its certificate, the authority and the federation key go to `out`.

    Answers the province code, as the request names it: look at it before you hand `out` over.
    """
    who = tls.requested(request)
    if who.kind != "province":
        raise invalid(f"the request is from {who}, not from a province; make it with `liandong province init`")
    certificate = tls.sign(_authority(directory), request, who, now)
    out.mkdir(parents=True, exist_ok=True)
    (out / "province.crt").write_bytes(certificate)
    (out / "authority.crt").write_bytes((directory / "authority.crt").read_bytes())
    tls.write_private(out / "federation.key", (directory / "federation.key").read_bytes())
    return who.name


def _authority(directory: Path) -> tls.Pem:
    key = directory / "authority.key"
    if not key.is_file():
        raise missing(f"{key}: the authority's key is not here; run this where `liandong hq init` was run")
    return tls.read(directory / "authority.crt", key)
