"""Makes a new province node: its directory, settings, and the certificate request that HQ signs."""

from __future__ import annotations

from pathlib import Path

from common.kernel.province import PROVINCES
from common.kernel.refusal import conflict, invalid
from common.wire import tls

SETTINGS = """\
# A province node. Any key may also be set in the environment: LIANDONG_LISTEN, LIANDONG_TLS__KEY, ...
# Relative paths are read from this file's directory. Unknown keys are refused.

code = "{code}"                              # GB/T 2260; the certificate says the same
data_dir = "data"
# database_url = "postgresql+psycopg://province@127.0.0.1/province"   # left out: SQLite in data_dir
hq_address = "{hq}"          # this node dials HQ; HQ never dials out
# stop_freshness_seconds = 3600          # stricter than the contact policy: no word on stops for so long, no contact
listen = "{listen}"              # vendors of level-two channels report here, with a certificate each
federation_key_file = "federation.key"   # comes with the certificate from HQ; keep it secret

[tls]
authority = "authority.crt"
certificate = "province.crt"
key = "province.key"

# One for each level-two channel: who sends it, and the name in that vendor's certificate.
# [[vendors]]
# channel = "local_sms"
# address = "127.0.0.1:7811"
# name = "gx-sms"

# Where this province's orders and pool changes are pulled from.
# [bss]
# source_system = "bss-{code}"
# address = "127.0.0.1:7911"
# name = "bss-{code}"

# Where events come from, for `liandong triggers serve`: pushed into this node's journal, or on Kafka.
# [triggers]
# source = "journal"                     # or "kafka", or "spark": then also brokers = "127.0.0.1:9092"
# forecast_at_least = 0.8                # from which score `liandong triggers forecast` tells whose data will not last
"""


def new_province(directory: Path, code: str, hq: str, listen: str) -> Path:
    """Settings and `province.csr` in `directory`, which must not hold a node yet; answers the settings file."""
    if code not in map(str, PROVINCES):
        raise invalid(f"{code!r} is no province code; give the two digits of GB/T 2260, such as 45 for Guangxi")
    settings = directory / "province.toml"
    if settings.exists():
        raise conflict(f"{settings} is there already; choose another directory")
    (directory / "data").mkdir(parents=True, exist_ok=True)
    request = tls.new_request(tls.Identity("province", code))
    tls.write_private(directory / "province.key", request.key)
    (directory / "province.csr").write_bytes(request.certificate)
    settings.write_text(SETTINGS.format(code=code, hq=hq, listen=listen), encoding="utf-8")
    return settings
