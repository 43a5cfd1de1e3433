"""What the operators' commands share: asking HQ, choosing a language."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import grpc
import grpc.aio
import typer

from common.kernel.refusal import Fault, Refusal
from deploy.operator_client import OperatorClient, connect

T = TypeVar("T")

Operator = Annotated[Path, typer.Option("--operator", help="The operator's settings file.", envvar="LIANDONG_OPERATOR")]
Language = Annotated[Literal["zh", "en"], typer.Option("--lang", help="Language of what is printed.")]
OPERATOR = Path("operator.toml")


def ask(operator: Path, question: Callable[[OperatorClient], Awaitable[T]]) -> T:
    """Raises the Refusal it is answered with, or one that says why there was no answer."""

    async def asked() -> T:
        async with connect(operator) as hq:
            return await question(hq)

    try:
        return asyncio.run(asked())
    except grpc.aio.AioRpcError as error:
        raise _unanswered(operator, error) from error


def _unanswered(operator: Path, error: grpc.aio.AioRpcError) -> Refusal:
    why, reason = error.details() or error.code().name, "DRAINING"
    if error.code() is not grpc.StatusCode.UNAVAILABLE:
        return Refusal(Fault.DRAINING, reason, f"HQ did not do it ({why}); look at HQ's log, then try again")
    remedy = f"see that `liandong hq serve` runs, and that {operator} names its hq_address and authority"
    return Refusal(Fault.DRAINING, reason, f"HQ does not answer ({why}); {remedy}")
