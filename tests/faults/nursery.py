"""A process that has imported everything and starts others by forking: `python nursery.py SOCKET_FD`.

A node then begins its life in hundredths of a second instead of half a second. What is forked has run nothing yet but
imports, so it is a new process like any other: own session, own log, own environment, its module run from the top.

It reads one JSON object a line, {"module", "arguments", "environment", "log"}, and writes one: {"pid"} for each it
started, {"ended", "code"} for each that ended (code as of `subprocess`: minus the signal that killed it). It ends with
its parent, and what it started ends with it.
"""

from __future__ import annotations

import asyncio
import ctypes
import faulthandler
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
from contextlib import suppress
from typing import Any, NoReturn

MODULES = (
    "adapters.bss.simulator",
    "adapters.channels.simulator",
    "alembic.command",
    "deploy.cli.root",
    "hq.__main__",
    "hq.node",
    "province.__main__",
    "province.node",
    "psycopg",
    "sqlalchemy.dialects.postgresql.psycopg",
)
_PR_SET_PDEATHSIG = 1


def main() -> None:
    parent = socket.socket(fileno=int(sys.argv[1]))
    _die_with_parent()
    for name in MODULES:
        importlib.import_module(name)
    gc.freeze()
    woken, wake = os.pipe()
    for end in (woken, wake):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    _serve(parent, woken)
    os._exit(0)


def _serve(parent: socket.socket, woken: int) -> None:
    told = b""
    while True:
        ready, _, _ = select.select([parent, woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
        if parent in ready:
            chunk = parent.recv(65_536)
            if not chunk:
                return
            *lines, told = (told + chunk).split(b"\n")
            for line in lines:
                _tell(parent, {"pid": _start(json.loads(line), parent)})
        _reap(parent)


def _reap(parent: socket.socket) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        _tell(parent, {"ended": pid, "code": os.waitstatus_to_exitcode(status)})


def _tell(parent: socket.socket, fact: dict[str, int]) -> None:
    parent.sendall(json.dumps(fact).encode() + b"\n")


def _start(asked: dict[str, Any], parent: socket.socket) -> int:
    pid = os.fork()
    if pid == 0:
        _live(asked, parent)
    return pid


def _live(asked: dict[str, Any], parent: socket.socket) -> NoReturn:
    try:
        parent.close()
        _become(asked)
    except SystemExit as end:
        code = end.code
        if isinstance(code, str):
            print(code, file=sys.stderr)
        _leave(code if isinstance(code, int) else 1 if code else 0)
    except BaseException:  # noqa: BLE001 - the process ends as `python -m` would
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        _leave(1)
    _leave(0)


def _leave(code: int) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _become(asked: dict[str, Any]) -> None:
    _die_with_parent()
    os.setsid()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)
    os.environ.update(asked["environment"])
    signal.signal(signal.SIGUSR1, _say_where)
    failpoint = importlib.import_module("common.runtime.failpoint")
    failpoint.arm(os.environ)
    sys.argv = [asked["module"], *asked["arguments"]]
    runpy.run_module(asked["module"], run_name="__main__", alter_sys=True)


def _say_where(*_: object) -> None:
    """What everything in this process waits for, for whoever reads its log."""
    faulthandler.dump_traceback(all_threads=True)
    with suppress(RuntimeError):
        for task in asyncio.all_tasks():
            print(
                task.get_name(),
                [(each.f_code.co_qualname, each.f_lineno) for each in task.get_stack()],
                file=sys.stderr,
            )


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()
