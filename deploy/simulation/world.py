"""One seed: a federation in one process, its weather and its story, then calm weather in which all must come right."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from random import Random

from sqlalchemy import Connection

from common.delivery.tables import vault
from common.kernel.policy import CLOCK_MARGIN_SECONDS
from common.runtime import bulk
from common.wire.streams import TOPICS
from deploy.simulation import ending, faults, lies, story, weather
from deploy.simulation.end_check import check_end
from deploy.simulation.headquarters import Headquarters
from deploy.simulation.kinds import STORY
from deploy.simulation.network import Network
from deploy.simulation.node import Node
from deploy.simulation.people import FIRST_KEY, Person
from deploy.simulation.plans import Plan
from deploy.simulation.province import Province
from deploy.simulation.timeline import Endless, Timeline
from deploy.simulation.violation import Violation
from deploy.simulation.weather import CALM
from deploy.simulation.witness import Witness
from hq.store import provinces

MORNING = 1_790_042_400.0
"""10:00 in Shanghai."""
HOUR, DAY = 3_600.0, 86_400.0
TRACE_LINES = 4_000
SETTLING_SECONDS = 14 * DAY
RENEWED_SECONDS = 3 * DAY
"""After so long in calm weather every node has heard what time it is."""
DEADLY = {
    **dict.fromkeys(("commit", "renew_session", "_open", "_take", "apply", "append", "join", "keep_mark"), 0.4),
    **dict.fromkeys(("acquire", "admit", "answered", "apply_replies", "finish_all", "give_up", "step"), 5.0),
    **dict.fromkeys(("_begin", "put_subscribers", "sweep_block"), 10.0),
    "date": 20.0,
}
"""How likely a process dies at some commits, as against others: the most would take all the kills, the rarest none."""
BACKUPS_A_COMMIT = 0.02
DOWN_SECONDS = (1.0, 8_000.0)


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of a seed. `rule` and `message` are empty where everything held."""

    seed: int
    rule: str
    message: str
    contacts: int
    events: int
    faults: int
    digest: str
    trace: tuple[str, ...] = ()
    twice: bool = False
    """It was run twice and ended alike."""
    kinds: Mapping[str, int] = field(default_factory=dict)
    """How often each kind of fault happened, and each thing the story can hold."""
    steps: frozenset[str] = frozenset()
    """What was committed, by name: a process may die before and after each."""


class World:
    def __init__(self, seed: int, codes: tuple[str, ...]) -> None:
        self.seed = seed
        self.random = Random(seed)  # noqa: S311 - a seed must give the same run every time
        self.timeline = Timeline(MORNING)
        self.weather = weather.drawn(self.random)
        self.clocks_step = self.weather.clock_steps_a_day > 0
        self.kinds: Counter[str] = Counter()
        self.steps: set[str] = set()
        self.network = Network(self)
        self.witness = Witness(self)
        self._calm_since = 0.0
        self.has_orders = self.random.random() < 0.5
        self.has_wishes = self.random.random() < 0.4
        self.someone_moves = self.random.random() < 0.3
        self.topics = [topic for topic in TOPICS if self.has_orders or topic != "orders"]
        """A topic on which nothing will ever be said need not be watched."""
        self.plans: list[Plan] = []
        self._trace: deque[tuple[float, str, str, tuple[object, ...]]] = deque(maxlen=TRACE_LINES)
        self.hq = Headquarters(self)
        self._provinces = {code: Province(self, code, self.hq) for code in codes}
        self.nodes: list[Node] = [self.hq, *self._provinces.values()]
        homes = [self.random.choice(codes) for _ in range(self.random.randint(4, 8))]
        self.people = [Person(FIRST_KEY + number, home) for number, home in enumerate(homes)]

    def run(self) -> Ended:
        rule = message = ""
        try:
            self._begin()
            seconds = self.random.uniform(0.5, 2.0) * DAY
            story.plan(self, seconds)
            lies.plan(self, seconds)
            faults.plan(self, seconds)
            self.timeline.run(self.timeline.now + seconds)
            self._heal()
            self.timeline.run(self.timeline.now + SETTLING_SECONDS)
            ending.check(self.hq, list(self._provinces.values()))
            if not self.clocks_step:
                check_end(self)
        except Violation as violation:
            rule, message = violation.rule, str(violation)
        except Endless:
            rule, message = "liveness", "liveness: something is tried for ever"
        except Exception as error:  # noqa: BLE001 - whatever breaks a node is a finding
            rule, message = "error", f"{type(error).__name__}: {error}"
            self.error = error
        return Ended(
            self.seed,
            rule,
            message,
            len(self.witness.contacts),
            self.timeline.happened,
            sum(self.kinds[kind] for kind in self.kinds if not kind.startswith(STORY)),
            self._digest(),
            tuple(self.trace()) if rule else (),
            kinds=dict(self.kinds),
            steps=frozenset(self.steps),
        )

    def province(self, code: str) -> Province:
        return self._provinces[code]

    def happens(self, chance: float, kind: str) -> bool:
        if chance > 0 and self.random.random() < chance:
            self.kinds[kind] += 1
            return True
        return False

    def tell(self, who: str, what: str, *details: object) -> None:
        self._trace.append((self.timeline.now, who, what, details))

    def trace(self) -> list[str]:
        return [f"{at - MORNING:12.3f} {who:>8} {what % details}" for at, who, what, details in self._trace]

    def wake_links(self) -> None:
        """Somebody may be reachable again."""
        for province in self._provinces.values():
            if province.link is not None:
                province.link.try_again()

    def renew_links(self) -> None:
        for province in self._provinces.values():
            if province.up and province.link is not None:
                province.link.renew_soon()

    def suspect(self, province: str) -> None:
        """Its link may be silent from now on."""
        link = self._provinces[province].link
        if link is not None:
            link.suspect()

    # Drawn

    def crashes(self, work: str, when: str) -> bool:
        """Whether a process dies before, or after, the commit of `work`."""
        self.steps.add(work)
        if self.weather.crash == 0 or self.random.random() >= self.weather.crash * DEADLY.get(work, 1.0) / 2:
            return False
        self.kinds[f"crash {when} {work}"] += 1
        return True

    def backs_up(self) -> bool:
        """Whether a backup is made of just what a commit left: much of it is there for moments only."""
        return self.weather.restores_a_day > 0 and self.random.random() < BACKUPS_A_COMMIT

    def clock_off(self) -> float:
        """How wrong a machine's wall clock is at first: within what nodes bear of each other."""
        return self.random.uniform(-6.0, 6.0) if self.weather.clock_steps_a_day else 0.0

    def renewal_gap(self) -> float:
        """0: never."""
        if not self.clocks_step:
            return 0.0
        if self.weather is not CALM:
            return self.random.uniform(0.5, 3.0) * HOUR
        return 12 * HOUR if self.timeline.now < self._calm_since + RENEWED_SECONDS else 0.0

    def downtime(self) -> float:
        return self.spread(*DOWN_SECONDS)

    def sweep_gap(self) -> float:
        return self.random.uniform(2, 12) * HOUR if self.weather is not CALM else self.random.uniform(20, 60) * HOUR

    def spread(self, least: float, most: float) -> float:
        """As likely between 1 and 10 as between 10 and 100."""
        return float(least * (most / least) ** self.random.random())

    def _begin(self) -> None:
        self.hq.set_up(_enroll, [province.name for province in self._provinces.values()], self.people)
        for province in self._provinces.values():
            province.set_up(_know, [person for person in self.people if person.home == province.name])
        for node in self.nodes:
            node.boot()

    def _heal(self) -> None:
        self.tell("world", "is calm from here on")
        self.weather = CALM
        self._calm_since = self.timeline.now
        for node in self.nodes:
            node.machine.off_seconds = 0.0
            if abs(node.clock.now() - self.timeline.now) > CLOCK_MARGIN_SECONDS / 2:
                node.set_right()
        for node in self.nodes:
            if not node.up:
                node.boot()
        self.wake_links()
        self.renew_links()

    def _digest(self) -> str:
        """Equal for two runs of a seed, or the simulation is not deterministic."""
        state = (self.random.getstate(), self.timeline.happened, self.timeline.now, self.witness.contacts)
        return blake2b(repr(state).encode(), digest_size=8).hexdigest()


def _enroll(connection: Connection, codes: list[str], people: list[Person]) -> None:
    for code in codes:
        provinces.enroll(connection, code, 0)
    _know(connection, people)


def _know(connection: Connection, people: list[Person]) -> None:
    columns: dict[str, bulk.Column] = {
        "subscriber_key": [person.key for person in people],
        "msisdn": [person.msisdn for person in people],
        "province": [int(person.home) for person in people],
        "active": [True] * len(people),
    }
    bulk.insert_new(connection, vault, columns)
