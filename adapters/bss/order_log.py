"""The simulated BSS's durable memory: every record it has shown, in the order it showed them."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from common.kernel.bss import BssOrder
from common.kernel.order import OrderChange
from common.kernel.refusal import conflict
from common.runtime.failpoint import reach


@dataclass(frozen=True, slots=True)
class Shown:
    """`taken_at`: when the order itself was taken; `copy`: which repeat of the record this is; `request_id`: the
    CreateOrder call that took it, else empty."""

    order: BssOrder
    taken_at: int
    copy: int
    request_id: str = ""


class OrderLog:
    """An append-only file of JSON lines with one writer; what a crash tore off its end is dropped at the next start."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise conflict(f"{path}: another process writes this order log; stop it first") from None
        self._file.seek(0)
        raw = self._file.read()
        whole = raw.rfind(b"\n") + 1
        self._file.truncate(whole)
        self.shown = [_read(line) for line in raw[:whole].splitlines()]

    def append(self, shown: Sequence[Shown]) -> None:
        """Returns when all of them are on disk. Raises OSError where none is."""
        if shown:
            end = os.fstat(self._file.fileno()).st_size
            try:
                self._write(b"".join(map(_line, shown)))
            except OSError:
                self._file.truncate(end)
                raise
            self.shown.extend(shown)

    def _write(self, lines: bytes) -> None:
        while lines:
            lines = lines[self._file.write(lines) :]
        reach("order_log.append.before_sync")
        os.fsync(self._file.fileno())
        reach("order_log.append.after_sync")

    def close(self) -> None:
        self._file.close()


def _line(shown: Shown) -> bytes:
    return json.dumps(asdict(shown), ensure_ascii=False).encode() + b"\n"


def _read(line: bytes) -> Shown:
    fields = json.loads(line)
    order = fields.pop("order")
    return Shown(BssOrder(**order | {"change": OrderChange(order["change"])}), **fields)
