"""Every RPC of every contract, and requests for each made from nothing but their descriptors.

A value comes in four kinds: the caller's own, another province's, one that belongs to nobody, and one that is no id
at all. What a field is called says which values of a kind fit it; a field with a name not known here gets values by
its type, so a new field is probed all the same.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import liandong
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message

OWN, FOREIGN, ABSENT, MALFORMED = "own", "foreign", "absent", "malformed"
PLACE = "place"
"""Where another province stands in its log: only all of it together is somebody's."""
DEPTH_MAX = 6
_INTEGERS = {
    FieldDescriptor.TYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    FieldDescriptor.TYPE_INT64: (-(1 << 63), (1 << 63) - 1),
    FieldDescriptor.TYPE_UINT32: (0, (1 << 32) - 1),
    FieldDescriptor.TYPE_UINT64: (0, (1 << 64) - 1),
}

Steps = tuple[str, ...]
"""Names of fields from a request down to one of its values."""
Values = Mapping[str, Any]
"""By field name, or by a parent's and its field's ("results.work_order"); "text" and "number" stand for every other."""


def methods() -> Iterator[MethodDescriptor]:
    """All that the generated packages declare."""
    for root in map(Path, liandong.__path__):
        for file in sorted(root.rglob("*_pb2.py")):
            module = ".".join(("liandong", *file.relative_to(root).with_suffix("").parts))
            for service in importlib.import_module(module).DESCRIPTOR.services_by_name.values():
                yield from service.methods


def wire_name(method: MethodDescriptor) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


def message_class(descriptor: Descriptor) -> type[Message]:
    return message_factory.GetMessageClass(descriptor)


@dataclass(frozen=True, slots=True)
class Probe:
    """A request, and the field in it whose value is not the caller's own."""

    method: MethodDescriptor
    shape: Mapping[Steps, int]
    """Which alternative of each oneof, and which value of each enum, the request has."""
    path: Steps = ()
    kind: str = OWN

    @property
    def all_foreign(self) -> bool:
        """Not one field but every one that is known to hold an id names another province's row, in a session of the
        caller's own."""
        return self.kind == FOREIGN and not self.path

    def request(self, values: Mapping[str, Values]) -> Message:
        return _built(self.method.input_type, (), self, values)

    def __str__(self) -> str:
        chosen = {".".join(path): choice for path, choice in self.shape.items()}
        return f"{wire_name(self.method)} {chosen} {'.'.join(self.path)}={self.kind}"


def shapes(method: MethodDescriptor) -> Iterator[Mapping[Steps, int]]:
    """Every alternative of every oneof beside every value of the enums at the top, and one they do not have."""
    found: list[dict[Steps, int]] = [{}]
    for field in method.input_type.fields:
        if field.enum_type is not None and not field.is_repeated:
            codes = [value.number for value in field.enum_type.values]
            found = [{**shape, (field.name,): code} for shape in found for code in (*codes, 99)]
    for path, count in _oneofs(method.input_type, ()):
        found = [{**shape, path: place} for shape in found for place in range(count)]
    return iter(found)


def _oneofs(descriptor: Descriptor, path: Steps) -> Iterator[tuple[Steps, int]]:
    for oneof in descriptor.oneofs:
        yield (*path, oneof.name), len(oneof.fields)
    for field in descriptor.fields:
        if field.message_type is not None and field.containing_oneof is None and len(path) < DEPTH_MAX:
            yield from _oneofs(field.message_type, (*path, field.name))


def leaves(method: MethodDescriptor, shape: Mapping[Steps, int]) -> Iterator[Steps]:
    """Every field of a request of this shape that may hold an id: texts, bytes and whole numbers."""
    yield from _leaves(method.input_type, (), shape)


def _leaves(descriptor: Descriptor, path: Steps, shape: Mapping[Steps, int]) -> Iterator[Steps]:
    for field in _present(descriptor, path, shape):
        here = (*path, field.name)
        if field.message_type is not None:
            yield from _leaves(field.message_type, here, shape) if len(here) < DEPTH_MAX else ()
        elif field.enum_type is None and field.type != FieldDescriptor.TYPE_BOOL:
            yield here


def _present(descriptor: Descriptor, path: Steps, shape: Mapping[Steps, int]) -> Iterator[FieldDescriptor]:
    for field in descriptor.fields:
        oneof = field.containing_oneof
        if oneof is None or oneof.fields[shape.get((*path, oneof.name), 0)] is field:
            yield field


def _built(descriptor: Descriptor, path: Steps, probe: Probe, values: Mapping[str, Values]) -> Message:
    """Every field set, repeated ones to one value, so that columns have the same length."""
    message = message_class(descriptor)()
    for field in _present(descriptor, path, probe.shape):
        here = (*path, field.name)
        value = _value(field, here, probe, values)
        if field.is_repeated:
            getattr(message, field.name).extend([value])
        elif field.message_type is not None:
            getattr(message, field.name).CopyFrom(value)
        else:
            setattr(message, field.name, value)
    return message


def _value(field: FieldDescriptor, path: Steps, probe: Probe, values: Mapping[str, Values]) -> Any:
    if field.message_type is not None:
        return _built(field.message_type, path, probe, values)
    if field.enum_type is not None:
        return probe.shape.get(path, _named(values[OWN], path, field.enum_type.values[-1].number))
    if field.type == FieldDescriptor.TYPE_BOOL:
        return bool(_named(values[OWN], path, probe.all_foreign))
    if probe.all_foreign and field.name in {**values[FOREIGN], **values[PLACE]} and field.name != "fence":
        return _fitting(field, path, {**values[FOREIGN], **values[PLACE]})
    return _fitting(field, path, values[probe.kind if path == probe.path else OWN])


def _fitting(field: FieldDescriptor, path: Steps, values: Values) -> Any:
    if field.type in _INTEGERS:
        least, most = _INTEGERS[field.type]
        return min(max(int(_named(values, path, values["number"])), least), most)
    if field.type == FieldDescriptor.TYPE_BYTES:
        value = _named(values, path, values["text"])
        return value if isinstance(value, bytes) else str(value).encode()
    if field.type == FieldDescriptor.TYPE_STRING:
        return str(_named(values, path, values["text"]))
    return 0


def _named(values: Values, path: Steps, otherwise: Any) -> Any:
    return values.get(".".join(path[-2:]), values.get(path[-1], otherwise))
