"""What the command line asks HQ: campaign/v1, a call a command."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message
from liandong.campaign.v1 import campaign_pb2 as pb
from liandong.campaign.v1 import coordination_pb2, trigger_pb2
from liandong.campaign.v1.campaign_pb2_grpc import CampaignServiceStub
from liandong.campaign.v1.coordination_pb2_grpc import CoordinationServiceStub
from liandong.campaign.v1.trigger_pb2_grpc import TriggerServiceStub
from liandong.types.v1 import host_pb2
from pydantic import Field

from common.kernel.host_list import HostPart
from common.kernel.refusal import invalid
from common.runtime.settings import Section, Tls, explain
from common.wire import tls
from common.wire.faults import of_error
from common.wire.server import build_channel

CALL_SECONDS = 60
APPROVE_SECONDS = 600
"""Approval and a dry run build the audience."""
REPLAY_SECONDS = 3_600
"""Every decision ever made is made again."""
PAGE_SIZE = 100

Answer = TypeVar("Answer", bound=Message)


class OperatorClient:
    """An operator's connection to HQ; use it as an async context. Calls raise the Refusal they are answered with."""

    def __init__(self, address: str, credentials: grpc.ChannelCredentials) -> None:
        self._channel = build_channel(address, credentials, lane="operator")
        self._stub: Any = CampaignServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._coordination: Any = CoordinationServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._triggers: Any = TriggerServiceStub(self._channel)  # type: ignore[no-untyped-call]

    async def __aenter__(self) -> OperatorClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._channel.close()

    async def validate(self, yaml: str) -> pb.AudienceCount:
        answer = await self._ask(pb.ValidateCampaignResponse, "ValidateCampaign", pb.ValidateCampaignRequest(yaml=yaml))
        return answer.audience

    async def apply(self, yaml: str) -> pb.ApplyCampaignResponse:
        return await self._ask(pb.ApplyCampaignResponse, "ApplyCampaign", pb.ApplyCampaignRequest(yaml=yaml))

    async def approve(self, name: str, version: int) -> pb.Campaign:
        request = pb.ApproveCampaignRequest(name=name, version=version)
        answer = await self._ask(pb.ApproveCampaignResponse, "ApproveCampaign", request, APPROVE_SECONDS)
        return answer.campaign

    async def pause(self, name: str) -> pb.Campaign:
        request = pb.PauseCampaignRequest(name=name)
        return (await self._ask(pb.PauseCampaignResponse, "PauseCampaign", request)).campaign

    async def resume(self, name: str) -> pb.Campaign:
        request = pb.ResumeCampaignRequest(name=name)
        return (await self._ask(pb.ResumeCampaignResponse, "ResumeCampaign", request)).campaign

    async def cancel(self, name: str) -> pb.Campaign:
        request = pb.CancelCampaignRequest(name=name)
        return (await self._ask(pb.CancelCampaignResponse, "CancelCampaign", request)).campaign

    async def status(self, name: str) -> pb.Campaign:
        request = pb.GetCampaignRequest(name=name)
        return (await self._ask(pb.GetCampaignResponse, "GetCampaign", request)).campaign

    async def campaigns(self) -> list[pb.Campaign]:
        found: list[pb.Campaign] = []
        token = ""
        while True:
            request = pb.ListCampaignsRequest(page_size=PAGE_SIZE, page_token=token)
            answer = await self._ask(pb.ListCampaignsResponse, "ListCampaigns", request)
            found += answer.campaigns
            token = answer.next_page_token
            if not token:
                return found

    async def report(self, name: str) -> dict[str, Any]:
        answer = await self._ask(pb.GetReportResponse, "GetReport", pb.GetReportRequest(name=name), APPROVE_SECONDS)
        report: dict[str, Any] = json.loads(answer.report_json)
        return report

    async def apply_policy(self, yaml: str) -> coordination_pb2.ApplyPolicyResponse:
        request = coordination_pb2.ApplyPolicyRequest(document_yaml=yaml)
        return await self._ask(coordination_pb2.ApplyPolicyResponse, "ApplyPolicy", request)

    async def policy(self) -> coordination_pb2.GetPolicyResponse:
        return await self._ask(coordination_pb2.GetPolicyResponse, "GetPolicy", coordination_pb2.GetPolicyRequest())

    async def apply_triggers(self, name: str, yaml: str) -> trigger_pb2.TriggersChange:
        request = trigger_pb2.ApplyTriggersRequest(name=name, document_yaml=yaml)
        return (await self._ask(trigger_pb2.ApplyTriggersResponse, "ApplyTriggers", request)).change

    async def put_host_part(self, part: HostPart) -> None:
        message = host_pb2.HostPart(**asdict(part))
        await self._ask(trigger_pb2.PutHostPartResponse, "PutHostPart", trigger_pb2.PutHostPartRequest(part=message))

    async def pause_trigger(self, rule: str) -> trigger_pb2.TriggersChange:
        request = trigger_pb2.PauseTriggerRuleRequest(rule=rule)
        return (await self._ask(trigger_pb2.PauseTriggerRuleResponse, "PauseTriggerRule", request)).change

    async def resume_trigger(self, rule: str) -> trigger_pb2.TriggersChange:
        request = trigger_pb2.ResumeTriggerRuleRequest(rule=rule)
        return (await self._ask(trigger_pb2.ResumeTriggerRuleResponse, "ResumeTriggerRule", request)).change

    async def withdraw_triggers(self, name: str) -> trigger_pb2.TriggersChange:
        request = trigger_pb2.WithdrawTriggersRequest(name=name)
        return (await self._ask(trigger_pb2.WithdrawTriggersResponse, "WithdrawTriggers", request)).change

    async def triggers(self) -> trigger_pb2.GetTriggersResponse:
        return await self._ask(trigger_pb2.GetTriggersResponse, "GetTriggers", trigger_pb2.GetTriggersRequest())

    async def explain(self, who: Mapping[str, int], campaign: str, at: int) -> dict[str, Any]:
        """`who`: {"msisdn": …} or {"subscriber_key": …}. `at` 0: now."""
        named: dict[str, Any] = dict(who)
        request = coordination_pb2.ExplainRequest(**named, campaign=campaign, at=at)
        answer = await self._ask(coordination_pb2.ExplainResponse, "Explain", request)
        told: dict[str, Any] = json.loads(answer.document_json)
        return told

    async def dry_run(self, subject: Mapping[str, str]) -> dict[str, Any]:
        """`subject`: {"campaign": name} or {"yaml": text of a file}."""
        request = coordination_pb2.DryRunRequest(**subject)
        answer = await self._ask(coordination_pb2.DryRunResponse, "DryRun", request, APPROVE_SECONDS)
        told: dict[str, Any] = json.loads(answer.document_json)
        return told

    async def replay(self, campaign: str) -> dict[str, Any]:
        request = coordination_pb2.ReplayRequest(campaign=campaign)
        answer = await self._ask(coordination_pb2.ReplayResponse, "Replay", request, REPLAY_SECONDS)
        told: dict[str, Any] = json.loads(answer.document_json)
        return told

    async def record(self, said: Sequence[coordination_pb2.ConsentRecord]) -> int:
        """All of it or, by a Refusal, none; answers how many."""
        request = coordination_pb2.RecordConsentsRequest(records=said)
        return (await self._ask(coordination_pb2.RecordConsentsResponse, "RecordConsents", request)).recorded

    async def export(self, msisdn: int) -> dict[str, Any]:
        request = coordination_pb2.ExportSubscriberRequest(msisdn=msisdn)
        answer = await self._ask(coordination_pb2.ExportSubscriberResponse, "ExportSubscriber", request)
        told: dict[str, Any] = json.loads(answer.document_json)
        return told

    async def erase(self, msisdn: int) -> dict[str, Any]:
        request = coordination_pb2.EraseSubscriberRequest(msisdn=msisdn)
        answer = await self._ask(coordination_pb2.EraseSubscriberResponse, "EraseSubscriber", request, APPROVE_SECONDS)
        told: dict[str, Any] = json.loads(answer.document_json)
        return told

    async def _ask(self, _kind: type[Answer], method: str, request: Message, seconds: float = CALL_SECONDS) -> Answer:
        stubs = (self._stub, self._coordination, self._triggers)
        stub = next(each for each in stubs if hasattr(each, method))
        try:
            answer: Answer = await getattr(stub, method)(request, timeout=seconds)
        except grpc.aio.AioRpcError as error:
            refusal = of_error(error)
            if refusal is None:
                raise
            raise refusal from error
        return answer


class OperatorSettings(Section):
    hq_address: str = Field(min_length=3)
    tls: Tls


def connect(operator: Path) -> OperatorClient:
    """Raises Refusal where the settings file is missing or wrong."""
    try:
        settings = OperatorSettings.model_validate(tomllib.loads(operator.read_text(encoding="utf-8")))
    except OSError as error:
        message = (
            f"{operator}: {error.strerror}; `liandong hq init` makes operator/operator.toml, name it by --operator"
        )
        raise invalid(message) from error
    except ValueError as error:
        raise invalid(f"{operator}: {explain(error)}") from error
    home = operator.parent
    own = tls.read(home / settings.tls.certificate, home / settings.tls.key)
    credentials = tls.channel_credentials(tls.read_pem(home / settings.tls.authority), own)
    return OperatorClient(settings.hq_address, credentials)
