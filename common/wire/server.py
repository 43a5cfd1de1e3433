"""The one place that builds gRPC servers and channels: limits, keepalive, who may call what, how errors look."""

from __future__ import annotations

import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from grpc_status import rpc_status

from common.kernel.refusal import Fault, Refusal, conflict, invalid
from common.wire import faults
from common.wire.columns import MESSAGE_BYTES_MAX
from common.wire.tls import HQ, Identity, identity

log = logging.getLogger(__name__)

RECEIVE_BYTES_MAX = 4 << 20
"""Above what anyone may send, so that a message a little too large gets our refusal and not the transport's."""
METADATA_BYTES_MAX = 16 << 10
KEEPALIVE_MS = 60_000
KEEPALIVE_TIMEOUT_MS = 20_000
MIN_PING_INTERVAL_MS = 30_000
RECONNECT_FIRST_MS = 200
RECONNECT_MAX_MS = 3_000
CONNECT_TIMEOUT_MS = 5_000
CONCURRENT_RPCS_MAX = 1_000

Access = Mapping[str, frozenset[str]]
"""Prefix of a full method name (`/package.Service/`) to the kinds of identity that may call it. The longest prefix
that fits decides; where none does, nobody may."""
Context = grpc.aio.ServicerContext[Any, Any]

_caller: ContextVar[Identity] = ContextVar("caller")


def caller() -> Identity:
    """Whose certificate made the call being answered. Only inside a method of a server built here."""
    return _caller.get()


def build_server(
    address: str, credentials: grpc.ServerCredentials, access: Access, *, concurrent_rpcs_max: int = CONCURRENT_RPCS_MAX
) -> tuple[grpc.aio.Server, int]:
    """A server not yet started and the port it is bound to (`address` may end in :0). There is no plaintext form."""
    options = [
        ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
        ("grpc.max_receive_message_length", RECEIVE_BYTES_MAX),
        ("grpc.max_metadata_size", METADATA_BYTES_MAX),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", MIN_PING_INTERVAL_MS),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        ("grpc.so_reuseport", 0),
    ]
    server = grpc.aio.server(interceptors=[Gate(access)], options=options, maximum_concurrent_rpcs=concurrent_rpcs_max)
    try:
        return server, server.add_secure_port(address, credentials)
    except RuntimeError as error:
        why = "the port is taken, the address is not this machine's, or certificate and key are no pair"
        raise conflict(f"cannot listen at {address}: {why}; look which, and change the settings") from error


def build_channel(
    address: str, credentials: grpc.ChannelCredentials, server: Identity = HQ, *, lane: str = "control"
) -> grpc.aio.Channel:
    """A channel to `server`, verified by its DNS name whatever the address. Channels of another `lane` never share a
    connection with this one."""
    options = [
        ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
        ("grpc.max_receive_message_length", RECEIVE_BYTES_MAX),
        ("grpc.max_metadata_size", METADATA_BYTES_MAX),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.initial_reconnect_backoff_ms", RECONNECT_FIRST_MS),
        ("grpc.min_reconnect_backoff_ms", CONNECT_TIMEOUT_MS),
        ("grpc.max_reconnect_backoff_ms", RECONNECT_MAX_MS),
        ("grpc.ssl_target_name_override", server.dns_name),
        ("grpc.enable_retries", 0),
        ("liandong.lane", lane),
    ]
    return grpc.aio.secure_channel(address, credentials, options=options)


def check_size(request: Any) -> None:
    """Refuse a request above MESSAGE_BYTES_MAX."""
    size = request.ByteSize()
    if size > MESSAGE_BYTES_MAX:
        raise invalid(
            f"the message has {size} bytes, at most {MESSAGE_BYTES_MAX} are taken; send fewer entries at a time",
            "BLOCK_TOO_LARGE",
            limit=str(MESSAGE_BYTES_MAX),
        )


@dataclass(frozen=True, slots=True)
class Gate(grpc.aio.ServerInterceptor):
    """Lets through calls that have a deadline and come from someone who may make them; answers refusals as such."""

    access: Access

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                self._streaming(method, handler.unary_stream), handler.request_deserializer, handler.response_serializer
            )
        return grpc.unary_unary_rpc_method_handler(
            self._answering(method, handler.unary_unary), handler.request_deserializer, handler.response_serializer
        )

    def _answering(self, method: str, behaviour: Callable[[Any, Context], Awaitable[Any]]) -> Any:
        async def answer(request: Any, context: Context) -> Any:
            try:
                self._admit(method, request, context)
                return await behaviour(request, context)
            except Exception as error:  # noqa: BLE001 - the last line before the wire
                await _abort(method, error, context)

        return answer

    def _streaming(self, method: str, behaviour: Callable[[Any, Context], AsyncIterator[Any]]) -> Any:
        async def answer(request: Any, context: Context) -> AsyncIterator[Any]:
            try:
                self._admit(method, request, context)
                async for message in behaviour(request, context):
                    yield message
            except Exception as error:  # noqa: BLE001 - the last line before the wire
                await _abort(method, error, context)

        return answer

    def _admit(self, method: str, request: Any, context: Context) -> None:
        who = identity(context.auth_context())
        if who.kind not in allowed(self.access, method):
            raise Refusal(
                Fault.FORBIDDEN,
                "IDENTITY_NOT_ALLOWED",
                f"{who} may not call {method}; use a certificate of the right kind",
            )
        if context.time_remaining() is None:
            raise invalid(f"{method} was called without a deadline; set one", "DEADLINE_MISSING")
        check_size(request)
        _caller.set(who)


def allowed(access: Access, method: str) -> frozenset[str]:
    fitting = [prefix for prefix in access if method.startswith(prefix)]
    return access[max(fitting, key=len)] if fitting else frozenset()


async def _abort(method: str, error: Exception, context: Context) -> None:
    """Always raises."""
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if isinstance(error, Refusal):
        if error.fault not in (Fault.BUSY, Fault.DRAINING):
            # Not the message: it may name a person.
            log.warning("%s was refused to %s: %s", method, _caller.get(None), error.reason)
        await context.abort_with_status(rpc_status.to_status(faults.to_status(error)))
    incident = uuid.uuid4().hex[:8]
    log.error("%s failed, incident %s", method, incident, exc_info=error)
    await context.abort(grpc.StatusCode.INTERNAL, f"internal error, incident {incident}; the node's log has the rest")
