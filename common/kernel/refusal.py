"""Refusals: what went wrong, for whom, and whose move is next."""

from __future__ import annotations

from enum import StrEnum


class Fault(StrEnum):
    """Whose move is next. `common.wire.faults` gives each exactly one gRPC status."""

    INVALID = "invalid"
    """Never send it again unchanged."""
    MISSING = "missing"
    CONFLICT = "conflict"
    """The state does not allow it; look, then decide."""
    HELD = "held"
    FORBIDDEN = "forbidden"
    BUSY = "busy"
    """Send it again after `retry_seconds`."""
    DRAINING = "draining"


class Refusal(Exception):
    """A request refused whole: nothing of it was applied.

    `reason` is a name of `liandong.types.v1.ErrorReason` without its prefix, public and permanent. `message`
    says what happened, where, and what to do. `metadata` is for programs.
    """

    def __init__(
        self,
        fault: Fault,
        reason: str,
        message: str,
        *,
        metadata: dict[str, str] | None = None,
        retry_seconds: float = 0.0,
    ) -> None:
        super().__init__(message)
        self.fault = fault
        self.reason = reason
        self.message = message
        self.metadata = metadata or {}
        self.retry_seconds = retry_seconds


def invalid(message: str, reason: str = "ARGUMENT_INVALID", **metadata: str) -> Refusal:
    return Refusal(Fault.INVALID, reason, message, metadata=metadata)


def missing(message: str) -> Refusal:
    return Refusal(Fault.MISSING, "NOT_FOUND", message)


def conflict(message: str, reason: str = "STATE_CONFLICT", **metadata: str) -> Refusal:
    return Refusal(Fault.CONFLICT, reason, message, metadata=metadata)
