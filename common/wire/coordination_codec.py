"""Between the messages about coordination (stops, consents, erasures, policies, triggers) and the kernel's values."""

from __future__ import annotations

from typing import Any

from liandong.federation.v1 import feed_pb2, uplink_pb2
from liandong.types.v1 import host_pb2

from common.kernel.consent import EVIDENCE_CHARS_MAX, PURPOSE_CHARS_MAX, Consents
from common.kernel.erasure import Erasures
from common.kernel.host_list import HostPart, problem
from common.kernel.incarnation import Retold
from common.kernel.policy import PolicyDocument, PolicyEvent
from common.kernel.stop import Stops, StopScope
from common.kernel.trigger_version import TriggerEvent, TriggerVersion
from common.wire import columns
from common.wire.columns import check_rows, malformed

Fields = dict[str, Any]


def stops(value: Stops) -> Fields:
    check_rows("stops", len(value), value.lifted, value.stopped_at, value.scopes)
    return Fields(
        subscriber_keys=value.keys.tolist(),
        lifted=value.lifted.tolist(),
        stopped_at=value.stopped_at.tolist(),
        scopes=value.scopes.tolist() if value.scopes.any() else (),
    )


def read_stops(message: feed_pb2.StopBlock) -> Stops:
    scopes = message.scopes or [0] * len(message.subscriber_keys)
    check_rows("stops", len(message.subscriber_keys), message.lifted, message.stopped_at, scopes)
    keys = columns.keys("stops", message.subscriber_keys)
    times, lifted = columns.times(message.stopped_at), columns.mask(message.lifted)
    return Stops(keys, times, lifted, columns.codes("stops", scopes, StopScope))


def consents(value: Consents) -> Fields:
    check_rows("consents", len(value), value.purposes, value.evidences, value.given_at, value.expires_at)
    purposes, refs = columns.dictionary(value.purposes)
    return Fields(
        subscriber_keys=value.keys.tolist(),
        purposes=purposes,
        purpose_refs=refs,
        evidences=value.evidences,
        given_at=value.given_at.tolist(),
        expires_at=value.expires_at.tolist(),
        withdrawn=value.withdrawn.tolist(),
    )


def read_consents(message: feed_pb2.ConsentBlock) -> Consents:
    where = "consents"
    rest = (message.purpose_refs, message.evidences, message.given_at, message.expires_at, message.withdrawn)
    check_rows(where, len(message.subscriber_keys), *rest)
    if any(not 0 < len(purpose) <= PURPOSE_CHARS_MAX for purpose in message.purposes):
        raise malformed(where, f"a purpose without 1 to {PURPOSE_CHARS_MAX} characters")
    if any(len(evidence) > EVIDENCE_CHARS_MAX for evidence in message.evidences):
        raise malformed(where, f"evidence of more than {EVIDENCE_CHARS_MAX} characters")
    refs = columns.refs(where, message.purpose_refs, message.purposes)
    return Consents(
        keys=columns.keys(where, message.subscriber_keys),
        purposes=[message.purposes[ref] for ref in refs.tolist()],
        evidences=list(message.evidences),
        given_at=columns.times(message.given_at),
        expires_at=columns.times(message.expires_at),
        withdrawn=columns.mask(message.withdrawn),
    )


def erasures(value: Erasures) -> Fields:
    check_rows("erasures", len(value), value.erased_at, value.lifted)
    return Fields(
        subscriber_keys=value.keys.tolist(),
        erased_at=value.erased_at.tolist(),
        lifted=value.lifted.tolist() if value.lifted.any() else (),
    )


def read_erasures(message: feed_pb2.ErasureBlock) -> Erasures:
    lifted = message.lifted or [False] * len(message.subscriber_keys)
    check_rows("erasures", len(message.subscriber_keys), message.erased_at, lifted)
    keys = columns.keys("erasures", message.subscriber_keys)
    return Erasures(keys, columns.times(message.erased_at), columns.mask(lifted))


def policy(value: PolicyDocument) -> Fields:
    return Fields(version=value.version, document=value.document)


def read_policy(message: feed_pb2.Policy) -> PolicyDocument:
    return PolicyDocument(message.version, message.document)


def policy_event(value: PolicyEvent) -> Fields:
    return Fields(version=value.version, objection=value.objection)


def read_policy_event(message: uplink_pb2.PolicyEvent) -> PolicyEvent:
    return PolicyEvent(message.version, message.objection)


def trigger_version(value: TriggerVersion) -> Fields:
    return Fields(
        name=value.name,
        version=value.version,
        document=value.document,
        paused=value.paused,
        withdrawn=value.withdrawn,
    )


def read_trigger_version(message: feed_pb2.TriggerVersion) -> TriggerVersion:
    return TriggerVersion(message.version, message.name, message.document, tuple(message.paused), message.withdrawn)


def host_part(value: HostPart) -> Fields:
    return Fields(digest=value.digest, number=value.number, count=value.count, content=value.content)


def read_host_part(message: host_pb2.HostPart) -> HostPart:
    part = HostPart(message.digest, message.number, message.count, message.content)
    if what := problem(part):
        raise malformed("host part", what)
    return part


def trigger_event(value: TriggerEvent) -> Fields:
    return Fields(name=value.name, version=value.version, objection=value.objection)


def read_trigger_event(message: uplink_pb2.TriggerEvent) -> TriggerEvent:
    return TriggerEvent(message.name, message.version, message.objection)


def retold(value: Retold) -> Fields:
    return Fields(incarnation=value.incarnation)


def read_retold(message: uplink_pb2.Retold) -> Retold:
    if message.incarnation > columns.KEY_MAX:
        raise malformed("retold", "an incarnation out of range")
    return Retold(message.incarnation)
