"""What is written down about one person's wishes: a consent, a withdrawal, a stop, or the lifting of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from common.kernel.channel import ChannelClass
from common.kernel.columns import Keys
from common.kernel.consent import EVIDENCE_CHARS_MAX, INTERNET, LOCATION, Consents
from common.kernel.policy import CLOCK_MARGIN_SECONDS
from common.kernel.refusal import Refusal, invalid
from common.kernel.stop import Stops, StopScope
from common.kernel.subscriber import normalise_msisdn

PURPOSES = (LOCATION, INTERNET, *map(str, ChannelClass))
"""What a person may consent to."""
SCOPES = {scope.name.lower(): scope for scope in StopScope}
SECONDS_MAX = (1 << 32) - 1
WRONG_SHOWN = 10
STATEMENTS_MAX = 5_000
"""How many are taken at a time, all or none."""


class Change(IntEnum):
    """Codes equal those of `liandong.campaign.v1.ConsentChange`."""

    GIVEN = 1
    WITHDRAWN = 2
    STOPPED = 3
    LIFTED = 4


AGREED = (Change.GIVEN, Change.WITHDRAWN)


@dataclass(frozen=True, slots=True)
class Statement:
    """Times are Unix seconds; a `given_at` of 0 is now, but for a consent."""

    msisdn: int
    purpose: str
    """One of PURPOSES; of a stop or its lifting, one of SCOPES."""
    evidence: str
    """Where the proof is kept."""
    given_at: int
    expires_at: int
    change: Change


def fault(said: Statement, now: int) -> str:
    """What is wrong with it and what to do, or nothing."""
    if normalise_msisdn(str(said.msisdn)) != said.msisdn:
        return "msisdn is no mainland mobile number; write it as 8613800000001"
    names = PURPOSES if said.change in AGREED else tuple(SCOPES)
    if said.purpose not in names:
        return f"purpose {said.purpose!r} is not known; use one of {', '.join(names)}"
    if len(said.evidence) > EVIDENCE_CHARS_MAX:
        return f"evidence has {len(said.evidence)} characters; say in {EVIDENCE_CHARS_MAX} where the proof is kept"
    if not 0 <= said.given_at <= now + CLOCK_MARGIN_SECONDS:
        return "given_at is in the future; a wish counts from when it was said"
    return _consent_fault(said, now) if said.change is Change.GIVEN else ""


def _consent_fault(said: Statement, now: int) -> str:
    if not said.evidence.strip():
        return "there is no evidence; say where the proof of the consent is kept"
    if said.given_at == 0:
        return "given_at is missing; say when the consent was given"
    if said.expires_at <= said.given_at:
        return "expires_at is not after given_at; a consent ends later than it begins"
    if said.expires_at <= now:
        return "expires_at is over; a consent that has ended allows nothing"
    return "" if said.expires_at <= SECONDS_MAX else "expires_at is past the year 2106; give an earlier one"


def refuse(what: str, faults: Sequence[tuple[int, str]], of: int) -> Refusal:
    """All of it, for its `faults` (row, why)."""
    rows = "; ".join(f"row {row}: {why}" for row, why in faults[:WRONG_SHOWN])
    more = f"; and {len(faults) - WRONG_SHOWN} more" if len(faults) > WRONG_SHOWN else ""
    message = f"{what}: {len(faults)} of {of} rows are wrong, so nothing was recorded: {rows}{more}"
    return invalid(message, "CONSENT_INVALID", rows=",".join(str(row) for row, _ in faults[:WRONG_SHOWN]))


def columns_of(said: Sequence[Statement], keys: Keys, now: int) -> tuple[Consents, Stops]:
    """What they come to, `keys` being those of their numbers."""
    agreed = np.array([each.change in AGREED for each in said], dtype=np.bool_)
    at = np.array([each.given_at or now for each in said], dtype=np.uint32)
    consents = [each for each in said if each.change in AGREED]
    stops = [each for each in said if each.change not in AGREED]
    return (
        Consents(
            keys=keys[agreed],
            purposes=[each.purpose for each in consents],
            evidences=[each.evidence for each in consents],
            given_at=at[agreed],
            expires_at=np.maximum(np.array([each.expires_at for each in consents], dtype=np.uint32), at[agreed]),
            withdrawn=np.array([each.change is Change.WITHDRAWN for each in consents], dtype=np.bool_),
        ),
        Stops(
            keys=keys[~agreed],
            stopped_at=at[~agreed],
            lifted=np.array([each.change is Change.LIFTED for each in stops], dtype=np.bool_),
            scopes=np.array([SCOPES[each.purpose] for each in stops], dtype=np.uint8),
        ),
    )
