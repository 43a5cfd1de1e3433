"""Leaves guards out of the product, in one process and for a while."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any

from common.kernel.refusal import invalid
from deploy.simulation.guards import GUARDS

UNTOUCHED = frozenset({f"deploy.simulation.{name}" for name in ("barred", "ending", "guards", "permitted", "witness")})
"""Whoever watches does so with the product's own rules."""


@contextmanager
def left_out(names: Sequence[str]) -> Iterator[None]:
    """Without these guards in this process; on leaving they are back."""
    with ExitStack() as stack:
        for name in names:
            for place, instead in _guard(name).items():
                _put(stack, place, instead)
        yield


def found(place: str) -> tuple[Any, str, Any]:
    """What holds the attribute that a place ("module:attribute") names, its name there, and its value."""
    module, _, path = place.partition(":")
    *owners, attribute = path.split(".")
    holder = import_module(module)
    for owner in owners:
        holder = getattr(holder, owner)
    return holder, attribute, getattr(holder, attribute)


def _guard(name: str) -> Mapping[str, Any]:
    if name not in GUARDS:
        raise invalid(f"no guard is called {name}; there are {', '.join(GUARDS)}")
    return GUARDS[name].instead


def _put(stack: ExitStack, place: str, instead: Any) -> None:
    """Wherever it is known by that name: many modules import it from where it is written."""
    owner, attribute, value = found(place)
    modules = [module for name, module in sys.modules.items() if name not in UNTOUCHED]
    importing = [each for each in modules if vars(each).get(attribute) is value and each is not owner]
    for holder in (owner, *importing):
        stack.callback(setattr, holder, attribute, value)
        setattr(holder, attribute, instead)
