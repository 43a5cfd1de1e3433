from __future__ import annotations

import asyncio

import grpc.aio
import pytest
from grpc_status import rpc_status
from hypothesis import given
from hypothesis import strategies as st
from liandong.types.v1.reason_pb2 import ErrorReason

from common.kernel.refusal import Fault, Refusal
from common.wire import faults
from common.wire.server import allowed

REASONS = [name.removeprefix(faults.PREFIX) for name in ErrorReason.keys() if not name.endswith("UNSPECIFIED")]  # noqa: SIM118
plain = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=40)


class Answer(grpc.RpcError):
    def __init__(self, refusal: Refusal) -> None:
        status = rpc_status.to_status(faults.to_status(refusal))
        self.code = lambda: status.code
        self.trailing_metadata = lambda: status.trailing_metadata


@given(
    st.builds(Refusal, st.sampled_from(Fault), st.sampled_from(REASONS), plain,
              metadata=st.dictionaries(plain, plain, max_size=3), retry_seconds=st.sampled_from([0.0, 0.25, 3.0]))
)  # fmt: skip
def test_a_refusal_arrives_as_it_was_made(refusal: Refusal) -> None:
    read = faults.of_error(Answer(refusal))
    assert read is not None
    for name in ("fault", "reason", "message", "metadata", "retry_seconds"):
        assert getattr(read, name) == getattr(refusal, name)


def test_a_reason_that_is_not_in_the_contract_cannot_be_sent() -> None:
    with pytest.raises(ValueError, match="MADE_UP"):
        faults.to_status(Refusal(Fault.INVALID, "MADE_UP", "?"))


def test_a_failure_that_is_no_refusal_is_none() -> None:
    async def story() -> None:
        async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await channel.unary_unary("/none/none")(b"", timeout=2)
            assert faults.of_error(failed.value) is None

    asyncio.run(story())


def test_who_is_not_listed_may_not_call_and_the_longest_prefix_decides() -> None:
    access = {"/a.B/": frozenset({"province"}), "/a.B/Secret": frozenset({"operator"})}
    assert allowed(access, "/a.B/Open") == {"province"}
    assert allowed(access, "/a.B/Secret") == {"operator"}
    assert allowed(access, "/a.C/Open") == frozenset()
