"""What is wrong is refused with its reason, noted in the node's log or store, and changes nothing: over real mTLS."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from liandong.campaign.v1 import coordination_pb2 as operators
from liandong.campaign.v1 import trigger_pb2 as rules
from liandong.channel.v1 import channel_pb2 as vendors
from liandong.federation.v1 import feed_pb2, grant_pb2, uplink_pb2
from liandong.types.v1 import host_pb2, reason_pb2, task_pb2

from common.wire import faults, tls
from deploy.local.federation import HQ
from tests.isolation.contracts import ABSENT, OWN, message_class, methods, wire_name
from tests.isolation.world import MINE, NOW, SECONDS, THEIRS, Isolation
from tests.triggers.documents import NEWER_KEY, document

pytestmark = pytest.mark.slow
PROVINCE, OPERATOR = tls.Identity("province", MINE), tls.Identity("operator", "admin")
ANSWERS = {wire_name(method): message_class(method.output_type) for method in methods()}
APPLY, RECORD = (f"/liandong.campaign.v1.CoordinationService/{name}" for name in ("ApplyPolicy", "RecordConsents"))
TRIGGERS = "/liandong.campaign.v1.TriggerService/"
APPLY_TRIGGERS = f"{TRIGGERS}ApplyTriggers"
PUT_HOST_PART = f"{TRIGGERS}PutHostPart"
APPEND, ACQUIRE = "/liandong.federation.v1.UplinkService/Append", "/liandong.federation.v1.GrantService/AcquireGrants"
RECEIPTS = "/liandong.channel.v1.ChannelCallbackService/ReportReceipts"
DAY = 86_400
SESSIONS = {"session", "province"}
"""Opening a session writes here; what is refused must not."""


class Node:
    """One node with a caller's certificate."""

    def __init__(self, isolation: Isolation, channel: grpc.Channel, name: str) -> None:
        self.isolation = isolation
        self.name = name
        self._channel = channel

    def call(self, method: str, request: Message) -> Message:
        serialise = type(request).SerializeToString
        call = self._channel.unary_unary(method, serialise, ANSWERS[method].FromString)
        answer: Message = call(request, timeout=SECONDS)
        return answer

    def fence(self) -> int:
        return int(self.isolation.opened(self._channel).fence)

    def refused(self, method: str, request: Message) -> str:
        """The reason; and nothing in the node's store is other than before, and its log tells of it."""
        before, noted = self.isolation.rows(self.name, SESSIONS), len(self.isolation.log_lines(self.name))
        with pytest.raises(grpc.RpcError) as error:
            self.call(method, request)
        refusal = faults.of_error(error.value)
        assert refusal is not None, error.value
        assert self.isolation.rows(self.name, SESSIONS) == before
        said = self.isolation.log_lines(self.name)[noted:]
        assert any(method in line and refusal.reason in line for line in said), said
        return refusal.reason


@pytest.fixture
def as_(isolation: Isolation) -> Callable[..., Any]:
    @contextmanager
    def dialled(who: tls.Identity, node: str = HQ) -> Iterator[Node]:
        with isolation.channel(node, who) as channel:
            yield Node(isolation, channel, node)

    return dialled


def policy(**cap: Any) -> operators.ApplyPolicyRequest:
    rule: Mapping[str, Any] = {"scope": "all", "contacts": 2, "per": "24h", "province_share": 1, **cap}
    lines = ["mode: shared", "caps:", "  - " + "\n    ".join(f"{name}: {value}" for name, value in rule.items())]
    return operators.ApplyPolicyRequest(document_yaml="\n".join(lines))


@pytest.mark.parametrize(
    "wrong",
    [
        {"contacts": 0},
        {"contacts": -1},
        {"per": "-24h"},
        {"per": "0s"},
        {"province_share": 3},
        {"province_share": -1},
        {"scope": "everybody"},
        {"scope": "channel_class", "value": "telepathy"},
    ],
)
def test_a_policy_that_cannot_be_kept(as_: Callable[..., Any], wrong: dict[str, Any]) -> None:
    with as_(OPERATOR) as hq:
        assert hq.refused(APPLY, policy(**wrong)) == "POLICY_INVALID"


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("scenes", "rules: 3\n"),
        ("scenes", ""),
        ("scenes", "\x00"),
        ("scenes", document("data-80") + NEWER_KEY),
        ("scenes", document("local-surge")),
        ("scenes", document("data-80") + "hosts:\n  films: {file: /etc/passwd}\n"),
        ("scenes", document("data-80") + f"hosts:\n  films: {{digest: {'ab' * 32}}}\n"),
    ],
)
def test_trigger_rules_that_cannot_be_read(as_: Callable[..., Any], name: str, wrong: str) -> None:
    with as_(OPERATOR) as hq:
        request = rules.ApplyTriggersRequest(name=name, document_yaml=wrong)
        assert hq.refused(APPLY_TRIGGERS, request) == "TRIGGER_INVALID"


@pytest.mark.parametrize(
    "wrong",
    [{"digest": "films"}, {"digest": "AB" * 32}, {"number": 3}, {"count": 65}, {"count": 0, "number": 0},
     {"content": b""}, {"content": b"x" * (512 * 1024 + 1)}],
)  # fmt: skip
def test_a_part_of_a_list_that_is_none(as_: Callable[..., Any], wrong: dict[str, Any]) -> None:
    part = host_pb2.HostPart(**({"digest": "ab" * 32, "number": 1, "count": 3, "content": b"x"} | wrong))
    with as_(OPERATOR) as hq:
        assert hq.refused(PUT_HOST_PART, rules.PutHostPartRequest(part=part)) == "BLOCK_MALFORMED"


@pytest.mark.parametrize("name", ["", "../scenes", "x" * 1_000])
def test_a_trigger_document_without_a_plain_name(as_: Callable[..., Any], name: str) -> None:
    with as_(OPERATOR) as hq:
        request = rules.ApplyTriggersRequest(name=name, document_yaml=document("data-80"))
        assert hq.refused(APPLY_TRIGGERS, request) == "ARGUMENT_INVALID"


@pytest.mark.parametrize("name", ["", "x" * 1_000, "'; DROP TABLE vault; --"])
def test_a_rule_or_document_that_nobody_has(as_: Callable[..., Any], name: str) -> None:
    with as_(OPERATOR) as hq:
        assert hq.refused(f"{TRIGGERS}PauseTriggerRule", rules.PauseTriggerRuleRequest(rule=name)) == "NOT_FOUND"
        assert hq.refused(f"{TRIGGERS}ResumeTriggerRule", rules.ResumeTriggerRuleRequest(rule=name)) == "NOT_FOUND"
        assert hq.refused(f"{TRIGGERS}WithdrawTriggers", rules.WithdrawTriggersRequest(name=name)) == "NOT_FOUND"


def consent(**fields: Any) -> operators.RecordConsentsRequest:
    given: dict[str, Any] = {
        "msisdn": 8613800000001,
        "purpose": "location",
        "evidence": "form 7",
        "given_at": NOW - 2 * DAY,
        "expires_at": NOW + DAY,
        "change": operators.CONSENT_CHANGE_GIVEN,
    }
    return operators.RecordConsentsRequest(records=[operators.ConsentRecord(**given | fields)])


@pytest.mark.parametrize(
    "wrong",
    [
        {"expires_at": NOW - DAY},
        {"expires_at": NOW - 3 * DAY},
        {"evidence": ""},
        {"given_at": NOW + 3 * DAY, "expires_at": NOW + 9 * DAY},
        {"purpose": "everything"},
        {"msisdn": 12},
    ],
)
def test_a_consent_that_is_none(as_: Callable[..., Any], wrong: dict[str, Any]) -> None:
    with as_(OPERATOR) as hq:
        assert hq.refused(RECORD, consent(**wrong)) == "CONSENT_INVALID"


def asked(fence: int, key: int, request_id: str = "r1", **fields: Any) -> grant_pb2.AcquireGrantsRequest:
    tasks = feed_pb2.TaskBlock(work_order="asked", subscriber_key_deltas=[key], texts=["hello"], text_refs=[0])
    given: dict[str, Any] = {
        "channel": "local_sms",
        "offer": "plan",
        "start_at": NOW,
        "end_at": NOW + 3_600,
        "priority": 5,
    }
    return grant_pb2.AcquireGrantsRequest(fence=fence, request_id=request_id, tasks=tasks, **given | fields)


def test_a_grant_in_a_session_that_is_not_the_callers(as_: Callable[..., Any], isolation: Isolation) -> None:
    with as_(PROVINCE) as hq:
        for off in (1, -1, -1_000_000):
            assert hq.refused(ACQUIRE, asked(hq.fence() + off, isolation.my_keys[50])) == "SESSION_FENCED"


def test_a_grant_asked_for_again_is_answered_alike_and_with_another_content_refused(
    as_: Callable[..., Any], isolation: Isolation
) -> None:
    key = isolation.my_keys[60]
    with as_(PROVINCE) as hq:
        first = hq.call(ACQUIRE, asked(hq.fence(), key, "replayed"))
        before = isolation.rows(HQ, SESSIONS)
        assert hq.call(ACQUIRE, asked(hq.fence(), key, "replayed")) == first
        assert isolation.rows(HQ, SESSIONS) == before
        for other in ({"offer": "another"}, {"end_at": NOW + 7_200}, {"key": isolation.my_keys[61]}):
            again = asked(hq.fence(), request_id="replayed", **{"key": key} | other)
            assert hq.refused(ACQUIRE, again) == "REQUEST_MISMATCH"


def append(hq: Node, stream: Any, **payload: Message) -> uplink_pb2.AppendRequest:
    entry = uplink_pb2.OutboxEntry(sequence=1, **payload)  # type: ignore[arg-type]
    return uplink_pb2.AppendRequest(fence=hq.fence(), stream=stream, epoch=1, entries=[entry])


@pytest.mark.parametrize("name", ["grant/r1/1/local_sms/45", "spring/9/local_sms/45", "local/r7/local_sms/13"])
def test_a_work_order_a_province_gives_itself(as_: Callable[..., Any], name: str) -> None:
    """As a forged grant would be, or another's."""
    order = feed_pb2.WorkOrder(
        name=name, campaign="x", wave=1, channel="local_sms", offer="o", start_at=NOW, end_at=NOW + 60, task_count=1,
        state=feed_pb2.WORK_ORDER_STATE_ACCEPTED, version=9, leased=name.startswith("grant"),
    )  # fmt: skip
    with as_(PROVINCE) as hq:
        assert hq.refused(APPEND, append(hq, uplink_pb2.OUTBOX_STREAM_RESULTS, work_order=order)) == "NOT_YOURS"


@pytest.mark.parametrize("task", [1_000, 20_000])
@pytest.mark.parametrize("of", [OWN, ABSENT])
def test_a_result_of_a_task_never_issued(as_: Callable[..., Any], isolation: Isolation, of: str, task: int) -> None:
    results = uplink_pb2.ResultBlock(
        work_order=isolation.values[of]["work_order"],
        task_deltas=[task],
        states=[task_pb2.TASK_STATE_DELIVERED],
        reasons=[reason_pb2.TASK_REASON_UNSPECIFIED],
        responses=[task_pb2.RESPONSE_UNSPECIFIED],
        submitted_at=[NOW],
        settled_at=[NOW],
    )
    with as_(PROVINCE) as hq:
        assert hq.refused(APPEND, append(hq, uplink_pb2.OUTBOX_STREAM_RESULTS, results=results)) == "NOT_YOURS"


def test_a_receipt_from_the_future_is_kept_aside(as_: Callable[..., Any], isolation: Isolation) -> None:
    """The vendor must not repeat it for ever, so it is answered; what it says is not believed."""
    report = vendors.ReportReceiptsRequest(
        channel="local_sms",
        work_orders=["spring/1/local_sms/13"],
        work_order_refs=[0],
        tasks=[0],
        stages=[vendors.RECEIPT_STAGE_DELIVERED],
        happened_at=[NOW + 30 * DAY],
    )
    before = isolation.rows(THEIRS, {"stray_report"})
    with as_(tls.Identity("vendor", f"vendor-{THEIRS}"), THEIRS) as province:
        answer = province.call(RECEIPTS, report)
    assert answer == vendors.ReportReceiptsResponse(unmatched=1)
    assert isolation.rows(THEIRS, {"stray_report"}) == before
    stray = [key for key in isolation.rows(THEIRS, set()) if key[0] == "stray_report"]
    assert stray == [("stray_report", "local_sms", "spring/1/local_sms/13", "0", "receipt")]
