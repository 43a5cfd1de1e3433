"""A file that somebody wrote, in the size anybody could write."""

from __future__ import annotations

from pathlib import Path

from common.kernel.refusal import invalid
from common.runtime.yaml_source import SOURCE_BYTES_MAX


def read(file: Path, bytes_max: int = SOURCE_BYTES_MAX) -> str:
    """Raises Refusal that says what is wrong with the file."""
    try:
        if file.stat().st_size > bytes_max:
            raise invalid(f"{file} has {file.stat().st_size:,} bytes; {bytes_max:,} are taken. Shorten it")
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise invalid(f"{file}: {error.strerror}; check the path") from error
    except UnicodeDecodeError as error:
        raise invalid(f"{file}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
