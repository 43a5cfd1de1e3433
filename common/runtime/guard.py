"""Guards a test takes from real processes: LIANDONG_WITHOUT names them, refused unless LIANDONG_TESTING=1."""

from __future__ import annotations

import os
from collections.abc import Mapping

from common.kernel.guard import GUARDS, leave_out
from common.kernel.refusal import invalid

VARIABLE = "LIANDONG_WITHOUT"
TESTING = "LIANDONG_TESTING"


def obey(environment: Mapping[str, str]) -> None:
    """Leave out the guards that `environment` names, separated by commas. Raises Refusal outside of tests."""
    names = [name for name in environment.get(VARIABLE, "").split(",") if name]
    if names and environment.get(TESTING) != "1":
        raise invalid(f"{VARIABLE} is set, which takes away what keeps contacts safe; unset it")
    unknown = [name for name in names if name not in GUARDS]
    if unknown:
        raise invalid(f"{VARIABLE} names {', '.join(unknown)}, which no guard is called")
    leave_out(names)


obey(os.environ)
