"""Something that must hold does not."""

from __future__ import annotations


class Violation(Exception):
    def __init__(self, rule: str, message: str) -> None:
        super().__init__(f"{rule}: {message}")
        self.rule = rule
