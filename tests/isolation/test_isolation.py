"""A province can neither read, count nor change another province's row, whatever it asks."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import cycle
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from liandong.federation.v1 import uplink_pb2

from common.wire import tls
from deploy.local.federation import HQ
from tests.isolation.contracts import (
    ABSENT,
    FOREIGN,
    MALFORMED,
    OWN,
    Probe,
    Steps,
    Values,
    leaves,
    methods,
    shapes,
    wire_name,
)
from tests.isolation.world import CANARY, MINE, THEIRS, Answer, Isolation, values_of

pytestmark = pytest.mark.slow
PROVINCE = tls.Identity("province", MINE)
EVERY_METHOD = {wire_name(method): method for method in methods()}
FEDERATION = [name for name in EVERY_METHOD if name.startswith("/liandong.federation.")]
OPEN = "/liandong.federation.v1.LinkService/OpenSession"
WATCH = "/liandong.federation.v1.FeedService/WatchFeed"
QUIETLY = [name for name in FEDERATION if name != OPEN]
"""Those that cannot make HQ believe it came back from a backup."""
REACHED = {
    "/liandong.federation.v1.LinkService/OpenSession",
    "/liandong.federation.v1.LinkService/RenewSession",
    "/liandong.federation.v1.LinkService/CloseSession",
    "/liandong.federation.v1.FeedService/WatchFeed",
    "/liandong.federation.v1.FeedService/CommitFeed",
    "/liandong.federation.v1.UplinkService/Append",
    "/liandong.federation.v1.GrantService/AcquireGrants",
}
"""What must answer a request made here, or the probes prove nothing."""


class Caller:
    """Province 45, with a fresh session for each call so that one call cannot be the reason of another's answer."""

    def __init__(self, isolation: Isolation, channel: grpc.Channel) -> None:
        self._isolation = isolation
        self._channel = channel
        self._people = cycle(isolation.my_keys)

    def ask(self, probe: Probe, **own: Any) -> Answer:
        """`own` are values of fields, by name, other than those usual here."""
        return self._isolation.call(self._channel, probe, self._values(probe, own))

    def tell(self, payload: str, own: Mapping[str, Any]) -> list[Answer]:
        """HQ's answers to an entry with this payload, to whichever stream it is appended."""
        method = EVERY_METHOD["/liandong.federation.v1.UplinkService/Append"]
        return [self.ask(Probe(method, shape), **own) for shape in shapes(method) if _has(shape, payload)]

    def _values(self, probe: Probe, own: Mapping[str, Any]) -> Mapping[str, Values]:
        opened = self._isolation.opened(self._channel)
        stream = probe.shape.get(("stream",))
        places = {place.stream: place for place in opened.committed_positions}
        # Somebody else each time: a grant leaves the next one for the same person none.
        person = next(self._people)
        now: dict[str, Any] = {"subscriber_key_deltas": person, "request_id": f"request-{person}"}
        now |= {"fence": opened.fence, "hq_incarnation": opened.incarnation}
        epochs = {place.topic: place.epoch for place in opened.feed_positions}
        now["epoch"] = epochs.get(probe.shape.get(("topic",), 0), 1)
        if stream in places:
            now |= {"sequence": places[stream].sequence + 1, "epoch": max(1, places[stream].epoch)}
        values = self._isolation.values
        return {**values, OWN: {**values[OWN], **now, **own}}


def _has(shape: Mapping[Steps, int], payload: str) -> bool:
    (oneof,) = uplink_pb2.OutboxEntry.DESCRIPTOR.oneofs
    return oneof.fields[shape["entries", oneof.name]].name == payload


@pytest.fixture
def caller(isolation: Isolation) -> Iterator[Caller]:
    with isolation.channel(HQ, PROVINCE) as channel:
        yield Caller(isolation, channel)


def groups(method: MethodDescriptor) -> Iterator[list[Mapping[Steps, int]]]:
    """Shapes of a request, those of one alternative of every oneof together."""
    found = defaultdict(list)
    for shape in shapes(method):
        found[tuple(choice for path, choice in shape.items() if len(path) > 1)].append(shape)
    yield from found.values()


def probed(caller: Caller, method: MethodDescriptor) -> Iterator[Mapping[Steps, int]]:
    """The shapes worth probing: of each group those that are answered, or all where none is."""
    for group in groups(method):
        answered = [shape for shape in group if caller.ask(Probe(method, shape)).answered]
        yield from answered or group


def leak(isolation: Isolation, answer: Answer) -> str:
    """What of province 13 an answer tells."""
    numbers = {value for message in answer.said for value in values_of(message) if isinstance(value, int)}
    return CANARY * (CANARY in answer.told) + " ".join(map(str, numbers & isolation.secrets))


REVERSED = 3
"""The change of an order record that ends the order."""
OWN_PLACES = {
    "incarnation",
    "fence",
    "seconds",
    "nanos",
    "epoch",
    "chain",
    "snapshot_cursor",
    "committed_cursor",
    "committed_sequence",
}
"""What changes in a caller's own logs as it calls."""


NO_SECRET = {"source_systems"}
"""Names of systems: whoever takes another's name is told that it is taken."""


def same(one: Answer, other: Answer, volatile: set[str]) -> bool:
    return one.code == other.code and _shown(one, volatile) == _shown(other, volatile)


def _shown(answer: Answer, volatile: set[str]) -> list[str]:
    """Refusals name numbers of the caller's own logs, which move on."""
    if not answer.answered:
        return [re.sub(r"\d+", "#", answer.told)]
    return [line for line in answer.told.splitlines() if line.split(":")[0].strip() not in volatile]


def volatile(caller: Caller, probe: Probe) -> set[str]:
    """Names of what differs between two answers to one request."""
    one, other = ([str(message) for message in caller.ask(probe).said] for _ in range(2))
    lines = set("\n".join(one).splitlines()) ^ set("\n".join(other).splitlines())
    return OWN_PLACES | {line.split(":")[0].strip() for line in lines}


@pytest.mark.parametrize("name", FEDERATION)
def test_requests_made_here_reach_what_they_ask(caller: Caller, name: str) -> None:
    """Else the test below would prove nothing."""
    method = EVERY_METHOD[name]
    answers = [caller.ask(Probe(method, shape)) for shape in shapes(method)]
    assert name not in REACHED or any(answer.answered for answer in answers), answers


@pytest.mark.parametrize("name", QUIETLY)
def test_other_provinces_ids_are_as_good_as_none(isolation: Isolation, caller: Caller, name: str) -> None:
    _as_good_as_none(isolation, caller, name)


@pytest.mark.parametrize("name", sorted(FEDERATION, key=lambda name: name != WATCH))
def test_an_hq_that_believes_it_forgot_takes_no_more_of_others_ids(restored: Isolation, name: str) -> None:
    """It takes more on trust than usual. What it says is looked at before anything is told to it."""
    with restored.channel(HQ, PROVINCE) as channel:
        caller = Caller(restored, channel)
        if restored.incarnation() == 1:
            caller.ask(Probe(EVERY_METHOD[OPEN], {}), hq_incarnation=2)
        _as_good_as_none(restored, caller, name)


def _as_good_as_none(isolation: Isolation, caller: Caller, name: str) -> None:
    method, before = EVERY_METHOD[name], isolation.their_rows()
    told, differing, broken = [], [], []
    for shape in probed(caller, method):
        base = Probe(method, shape)
        changing = volatile(caller, base)
        answers = []
        for path in leaves(method, shape):
            tried = [replace(base, path=path, kind=kind) for kind in (FOREIGN, ABSENT, MALFORMED)]
            foreign, absent, malformed = (caller.ask(probe) for probe in tried)
            answers += zip(tried, (foreign, absent, malformed), strict=True)
            if path[-1] not in NO_SECRET and not same(foreign, absent, changing | {path[-1]}):
                differing.append(f"{tried[0]}: {foreign}, absent: {absent}")
        whole = replace(base, kind=FOREIGN)
        answers.append((whole, caller.ask(whole)))
        told += [f"{found}: {probe}: {answer}" for probe, answer in answers if (found := leak(isolation, answer))]
        broken += [f"{probe}: {answer}" for probe, answer in answers if answer.code in ("INTERNAL", "UNKNOWN")]
    assert told == []
    assert differing == []
    assert broken == []
    assert isolation.their_rows() == before


def test_a_province_cannot_end_an_order_that_another_told(isolation: Isolation, caller: Caller) -> None:
    foreign = isolation.values[FOREIGN]
    told = {name: foreign[name] for name in ("source_systems", "order_numbers", "offers")}
    told |= {"revisions": 9, "changes": REVERSED}
    codes = {answer.code for answer in caller.tell("orders", told)}
    assert "PERMISSION_DENIED NOT_YOURS" in codes
    assert "OK" not in codes
    assert isolation.owners(foreign["offer"]) == [isolation.marked_key]


NOT_FOR_IT = ("PERMISSION_DENIED IDENTITY_NOT_ALLOWED", "PERMISSION_DENIED NOT_YOURS")
"""A province pushes events to its own node alone."""


@pytest.mark.parametrize("node", [HQ, THEIRS])
def test_a_provinces_certificate_opens_nothing_but_the_federation(isolation: Isolation, node: str) -> None:
    with isolation.channel(node, PROVINCE) as channel:
        for name, method in EVERY_METHOD.items():
            if node != HQ or name not in FEDERATION:
                for kind in (OWN, FOREIGN):
                    answer = isolation.call(channel, Probe(method, next(shapes(method)), kind=kind))
                    assert answer.code in (*NOT_FOR_IT, "UNIMPLEMENTED"), (name, answer)
                    assert not leak(isolation, answer)


@pytest.mark.parametrize("who", [tls.Identity("operator", "admin"), tls.Identity("vendor", "vendor-13"), tls.HQ])
def test_only_provinces_reach_the_federation(isolation: Isolation, who: tls.Identity) -> None:
    with isolation.channel(HQ, who) as channel:
        for name in FEDERATION:
            answer = isolation.call(channel, Probe(EVERY_METHOD[name], next(shapes(EVERY_METHOD[name]))))
            assert answer.code == "PERMISSION_DENIED IDENTITY_NOT_ALLOWED", name


VENDOR_METHODS = [name for name in EVERY_METHOD if "ChannelCallbackService" in name]


@pytest.mark.parametrize("name", VENDOR_METHODS)
@pytest.mark.parametrize(("node", "vendor"), [(HQ, "vendor-13"), (THEIRS, "vendor-45"), (THEIRS, "vendor-hq")])
def test_a_vendor_reports_for_its_own_node_and_channels_only(
    isolation: Isolation, name: str, node: str, vendor: str
) -> None:
    before = isolation.their_rows()
    with isolation.channel(node, tls.Identity("vendor", vendor)) as channel:
        for channel_name in ("sms", "app_push", "local_sms", "outbound_call", "nobody"):
            values = {**isolation.values, OWN: {**isolation.values[FOREIGN], "channel": channel_name}}
            answer = isolation.call(channel, Probe(EVERY_METHOD[name], next(shapes(EVERY_METHOD[name]))), values)
            assert answer.code == "PERMISSION_DENIED NOT_YOURS", answer
    assert isolation.their_rows() == before


EVENT_METHODS = [name for name in EVERY_METHOD if name.startswith("/liandong.event.")]


@pytest.mark.parametrize("name", EVENT_METHODS)
@pytest.mark.parametrize(
    ("who", "code"),
    [
        (tls.Identity("bss", "bss-45"), "PERMISSION_DENIED NOT_YOURS"),
        (tls.Identity("vendor", "vendor-13"), "PERMISSION_DENIED IDENTITY_NOT_ALLOWED"),
        (PROVINCE, "PERMISSION_DENIED NOT_YOURS"),
    ],
)
def test_only_a_provinces_own_systems_push_events_to_it(
    isolation: Isolation, name: str, who: tls.Identity, code: str
) -> None:
    journal = isolation.local.home(THEIRS) / "data" / "events"
    before = {path: path.stat().st_size for path in journal.rglob("*.seg")}
    with isolation.channel(THEIRS, who) as channel:
        assert isolation.call(channel, Probe(EVERY_METHOD[name], next(shapes(EVERY_METHOD[name])))).code == code
    assert {path: path.stat().st_size for path in journal.rglob("*.seg")} == before != {}
