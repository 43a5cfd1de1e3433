"""Named moments around every durable step, at which a test may make this process die, fail or hang.

LIANDONG_FAILPOINT is a comma-separated list of `name:nth:action`: at the nth time the process reaches `name` it kills
itself (`kill`), raises (`raise`) or stands still (`hang=SECONDS`). Refused unless LIANDONG_TESTING=1.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from common.kernel.refusal import Refusal, invalid

VARIABLE = "LIANDONG_FAILPOINT"
TESTING = "LIANDONG_TESTING"


class FailpointError(Exception):
    """What a failpoint told to `raise` raises."""


@dataclass(slots=True)
class _Armed:
    times_left: int
    act: Callable[[], None]


_armed: dict[str, _Armed] = {}


def reach(name: str) -> None:
    """Does nothing, unless a test armed `name`."""
    if _armed and name in _armed:
        _count_down(name)


def arm(environment: Mapping[str, str]) -> None:
    """Forget what was armed and arm what `environment` says. Raises Refusal outside of tests."""
    told = environment.get(VARIABLE, "")
    if told and environment.get(TESTING) != "1":
        raise invalid(f"{VARIABLE} is set, which makes this process fail; unset it, or set {TESTING}=1 in a test")
    _armed.clear()
    _armed.update(_parsed(each) for each in told.split(",") if each)


def _count_down(name: str) -> None:
    armed = _armed[name]
    armed.times_left -= 1
    if armed.times_left == 0:
        del _armed[name]
        # The last words of a process that dies here, for whoever reads its log.
        os.write(2, f"failpoint {name}\n".encode())
        armed.act()


def _parsed(told: str) -> tuple[str, _Armed]:
    try:
        name, nth, action = told.split(":")
        kind, _, seconds = action.partition("=")
        acts: dict[str, Callable[[], None]] = {"kill": _kill, "raise": _raise, "hang": _hang(float(seconds or 0))}
        return name, _Armed(int(nth), acts[kind])
    except (ValueError, KeyError):
        raise _not_understood(told) from None


def _not_understood(told: str) -> Refusal:
    return invalid(f"{VARIABLE} holds {told!r}; write name:nth:kill, name:nth:raise or name:nth:hang=SECONDS")


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _raise() -> None:
    raise FailpointError


def _hang(seconds: float) -> Callable[[], None]:
    return lambda: time.sleep(seconds)


arm(os.environ)
