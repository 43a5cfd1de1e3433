"""Writes numbered records into a journal and says which are kept: `python -m tests.streams.journal_writer DIR FROM`."""

from __future__ import annotations

import sys
from pathlib import Path

from adapters.streams.journal import Block, Form, Writer

PARTITIONS = 2
SEGMENT_BYTES = 2_000


def main(directory: Path, begin: int) -> None:
    writer = Writer(directory, PARTITIONS, segment_bytes=SEGMENT_BYTES)
    for number in range(begin, begin + 60):
        blocks = [Block(p, Form(number % 2), [b"%d.%d" % (number, i) for i in range(9)]) for p in range(PARTITIONS)]
        writer.append(blocks)
        print(number, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
