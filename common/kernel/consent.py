"""Consents, as columns: what a person agreed to, on what evidence, until when."""

from __future__ import annotations

from dataclasses import dataclass

from common.kernel.columns import Keys, Mask, Rows, Times

LOCATION = "location"
"""The purpose every contact needs that a person's whereabouts triggered."""
INTERNET = "internet"
"""The purpose every contact needs that was triggered by what a person visits, reads or looks for."""
PURPOSE_CHARS_MAX = 32
EVIDENCE_CHARS_MAX = 200


@dataclass(frozen=True, slots=True)
class Consents:
    """`purposes` are LOCATION, INTERNET or a channel class. `withdrawn` takes the consent back at `given_at`.

    Of several for one (subscriber, purpose) the one with the latest `given_at` says; of two at once the withdrawal.
    """

    keys: Keys
    purposes: list[str]
    evidences: list[str]
    given_at: Times
    expires_at: Times
    withdrawn: Mask

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, rows: Rows) -> Consents:
        places = rows.tolist()
        return Consents(
            self.keys[rows],
            [self.purposes[place] for place in places],
            [self.evidences[place] for place in places],
            self.given_at[rows],
            self.expires_at[rows],
            self.withdrawn[rows],
        )
