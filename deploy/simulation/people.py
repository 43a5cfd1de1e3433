"""The handful of people a simulated federation has."""

from __future__ import annotations

from dataclasses import dataclass

FIRST_KEY = 1_000
FIRST_MSISDN = 86_138_0000_0000


@dataclass(slots=True)
class Person:
    key: int
    home: str
    """As the province's BSS has it."""
    moved: bool = False

    @property
    def msisdn(self) -> int:
        return msisdn_of(self.key)


def key_of(msisdn: int) -> int:
    return msisdn - FIRST_MSISDN + FIRST_KEY


def msisdn_of(key: int) -> int:
    return key - FIRST_KEY + FIRST_MSISDN
