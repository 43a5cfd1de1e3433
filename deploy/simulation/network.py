"""Between nodes: messages that are lost, doubled, late and cut off, one way or both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from common.kernel.refusal import Refusal
from deploy.simulation.timeline import Act

if TYPE_CHECKING:
    from deploy.simulation.node import Node
    from deploy.simulation.weather import Weather
    from deploy.simulation.world import World

CALL_SECONDS = 20.0
BREAKS = 0.15
"""Of the messages a link loses, so many take the stream down that carried them."""
LATE_SECONDS = (1.0, 4_000.0)


class NoReply(Exception):
    """A call that nobody answered."""


Answered = Callable[[Any], None]
"""Takes what the other side answered, a Refusal, or NoReply."""


class End(Protocol):
    """Where messages arrive."""

    name: str

    def receive(self, act: Act, *arguments: Any) -> None: ...


@dataclass(slots=True)
class _Call:
    answered: Answered
    open: bool = True


class Network:
    def __init__(self, world: World) -> None:
        self._world = world
        self._timeline = world.timeline
        self._random = world.random
        self._cut: dict[tuple[str, str], int] = {}

    def cut(self, sender: str, receiver: str) -> None:
        """One way; cuts add up until as many were mended."""
        self._cut[sender, receiver] = self._cut.get((sender, receiver), 0) + 1

    def mend(self, sender: str, receiver: str) -> None:
        self._cut[sender, receiver] -= 1

    def passes(self, sender: str, receiver: str) -> bool:
        return not self._cut.get((sender, receiver))

    def call(self, caller: Node, callee: Node, serve: Callable[[], Any], answered: Answered) -> None:
        """`serve` runs at the callee, perhaps twice, late or never; `answered` runs once, while the caller lives."""
        call = _Call(answered)
        for _ in range(2 if self._happens(self._weather.repeat, "repeat") else 1):
            self.send(caller.name, callee, self._serve, caller, caller.life, callee.name, serve, call)
        caller.plan(CALL_SECONDS, self._answer, call, NoReply())

    def send(self, sender: str, receiver: End, act: Act, *arguments: Any) -> bool:
        """False where it is known already that it never arrives."""
        if not self.passes(sender, receiver.name) or self._happens(self._weather.loss, "loss"):
            return False
        self._timeline.after(self.delay(), self._arrive, sender, receiver, act, arguments)
        return True

    def stream(self, sender: str, receiver: End, last: float, broken: Act, act: Act, *arguments: Any) -> float:
        """As `send`, but nothing overtakes what came at `last`, and what does not arrive breaks the stream.

        Answers when it arrives.
        """
        arrives: float = max(self._timeline.now + self.delay(), last + 0.001)
        wait = arrives - self._timeline.now
        if self._happens(self._weather.loss * BREAKS, "stream break"):
            self._timeline.after(wait, broken)
        else:
            self._timeline.after(wait, self._arrive_in_order, sender, receiver, broken, act, arguments)
        return arrives

    def delay(self) -> float:
        if self._happens(self._weather.late, "late"):
            least, most = LATE_SECONDS
            return float(least * (most / least) ** self._random.random())
        return 0.01 + self._random.random()

    def _arrive(self, sender: str, receiver: End, act: Act, arguments: tuple[Any, ...]) -> None:
        if self.passes(sender, receiver.name):
            receiver.receive(act, *arguments)

    def _arrive_in_order(self, sender: str, receiver: End, broken: Act, act: Act, arguments: tuple[Any, ...]) -> None:
        if self.passes(sender, receiver.name):
            receiver.receive(act, *arguments)
        else:
            broken()

    def _serve(self, caller: Node, life: int, callee: str, serve: Callable[[], Any], call: _Call) -> None:
        try:
            answer = serve()
        except Refusal as refusal:
            answer = refusal
        self.send(callee, _Caller(caller, life), self._answer, call, answer)

    def _answer(self, call: _Call, answer: Any) -> None:
        if call.open:
            call.open = False
            call.answered(answer)

    @property
    def _weather(self) -> Weather:
        return self._world.weather

    def _happens(self, chance: float, kind: str) -> bool:
        return self._world.happens(chance, kind)


class _Caller:
    """A caller that must still be the same process when the answer comes."""

    def __init__(self, node: Node, life: int) -> None:
        self.name = node.name
        self._node = node
        self._life = life

    def receive(self, act: Act, *arguments: Any) -> None:
        if self._node.life == self._life:
            self._node.receive(act, *arguments)
