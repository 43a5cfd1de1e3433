"""Jars by artifact name, each held to a committed SHA-256, in a cache outside the checkout."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import quoteattr

from common.kernel.refusal import Refusal, conflict, missing
from deploy.local.cache import cache, made
from deploy.local.java import Java, trusting_this_machine

HERE = Path(__file__).parent
ATTEMPTS = 3
IVY_HEAP = "-Xmx256m"
ROOM = 3
"""Times a component's size that must be free: Ivy keeps a copy of its own while it works."""

Tell = Callable[[int, int], None]
"""Told of steps done and steps in all."""


@dataclass(frozen=True, slots=True)
class Jars:
    """Jars that belong together: what `<name>.sha256` beside this file lists, as organisation/module/revision/file."""

    name: str
    megabytes: int
    component: str
    """What `liandong components fetch` calls it."""

    @property
    def place(self) -> Path:
        return cache() / self.name

    @property
    def listed(self) -> dict[str, str]:
        """SHA-256 by path."""
        lines = (HERE / f"{self.name}.sha256").read_text(encoding="utf-8").splitlines()
        return {path: digest for digest, _, path in (line.partition("  ") for line in lines)}


KAFKA = Jars("kafka-4.3.0", 46, "kafka")
SPARK_KAFKA = Jars("spark-kafka-4.2.0", 10, "spark")


def silent(_done: int, _total: int) -> None:
    """Tells nobody."""


def paths(jars: Jars, java: Java, tell: Tell = silent) -> list[Path]:
    """Every jar, verified now; fetched first where they were never fetched."""
    if not jars.place.exists():
        fetch(jars, java, tell)
    if flaw := flaw_of(jars):
        raise conflict(f"{flaw}; nothing of it is run. `liandong components fetch {jars.component}` gets it anew")
    return [jars.place / path for path in jars.listed]


def flaw_of(jars: Jars) -> str:
    """What is wrong with the cached jars, naming the first; empty where they are exactly what is listed."""
    return _flaw(jars.place, jars.listed)


def fetch(jars: Jars, java: Java, tell: Tell = silent) -> bool:
    """Have `jars` in the cache as listed; False where they were there already. Another process's fetch is waited for.

    A killed fetch leaves a draft that the next one clears away, never half of a component.
    """
    with _alone(jars):
        if not flaw_of(jars):
            return False
        _room_for(jars)
        with _draft(jars) as draft:
            _retrieve(jars, java, draft, tell)
            if flaw := _flaw(draft / "jars", jars.listed):
                raise conflict(f"what Maven Central gave is not what {jars.name}.sha256 lists: {flaw}; it is not used")
            shutil.rmtree(jars.place, ignore_errors=True)
            (draft / "jars").rename(jars.place)
    return True


def _flaw(directory: Path, listed: Mapping[str, str]) -> str:
    there = {str(path.relative_to(directory)) for path in directory.rglob("*") if not path.is_dir()}
    for path, digest in listed.items():
        if path not in there:
            return f"{directory / path} is missing"
        found = hashlib.sha256((directory / path).read_bytes()).hexdigest()
        if found != digest:
            return f"{directory / path} has SHA-256 {found}, listed is {digest}"
    return f"{directory / min(there - listed.keys())} is not listed" if there - listed.keys() else ""


@contextmanager
def _alone(jars: Jars) -> Iterator[None]:
    with (made(cache()) / f"{jars.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _draft(jars: Jars) -> Iterator[Path]:
    """A new directory beside the place; what killed fetches left goes."""
    for left in cache().glob(f"{jars.name}.draft-*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{jars.name}.draft-", dir=cache(), ignore_cleanup_errors=True) as draft:
        yield Path(draft)


def _room_for(jars: Jars) -> None:
    free = shutil.disk_usage(cache()).free // 1_000_000
    if free < jars.megabytes * ROOM:
        raise conflict(
            f"{cache()} has {free:,} MB free, fetching {jars.name} needs {jars.megabytes * ROOM:,}: free some, "
            "or set XDG_CACHE_HOME to a folder with room"
        )


def _retrieve(jars: Jars, java: Java, draft: Path, tell: Tell) -> None:
    """Ivy, which came with Spark, resolves every listed jar by name into `draft`/jars. It goes on where it failed."""
    (draft / "ivy.xml").write_text(_ivy_file(jars.listed), encoding="utf-8")
    command = [
        java.command, IVY_HEAP, *trusting_this_machine(java, draft), "-jar", str(_ivy()),
        "-cache", str(draft / "ivy"), "-ivy", str(draft / "ivy.xml"), "-types", "jar", "bundle",
        "-retrieve", f"{draft}/jars/[organisation]/[module]/[revision]/[artifact]-[revision].[ext]",
    ]  # fmt: skip
    for attempt in range(ATTEMPTS):
        said = _ran(command, len(jars.listed), tell)
        if said is None:
            return
        if attempt == ATTEMPTS - 1:
            raise _unfetched(jars, said)


def _ran(command: list[str], jars: int, tell: Tell) -> list[str] | None:
    """What Ivy said, if it failed. A jar is two steps: found, then fetched."""
    said, done = [], 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as ivy:  # noqa: S603
        for line in ivy.stdout or ():
            said.append(line.strip())
            done += line.startswith(("\tfound ", "\t[SUCCESSFUL "))
            tell(min(done, 2 * jars), 2 * jars)
    return said if ivy.returncode else None


def _unfetched(jars: Jars, said: list[str]) -> Refusal:
    causes = re.findall(r"\((?:\w+\.)+(\w+: [^\n]*)\)$", "\n".join(said), re.MULTILINE)
    last = next((line for line in reversed(said) if line), "nothing was said")
    return missing(
        f"{jars.name} could not be fetched from Maven Central ({causes[-1] if causes else last}): see that this "
        "machine reaches it (a proxy goes into JAVA_TOOL_OPTIONS, as -Dhttps.proxyHost=... -Dhttps.proxyPort=...) and "
        f"run `liandong components fetch {jars.component}` again, or copy {jars.place} from a machine that has it"
    )


def _ivy() -> Path:
    return next(pyspark_home().glob("jars/ivy-*.jar"))


def pyspark_home() -> Path:
    spec = importlib.util.find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise missing(
            "the package pyspark is not installed here; run `./liandong components fetch spark` in the checkout, "
            "or install the extras kafka, java and spark"
        )
    return Path(spec.origin).parent


def _ivy_file(listed: Mapping[str, str]) -> str:
    """Each listed module for itself, so that nothing else is ever looked for."""
    modules = [path.split("/")[:3] for path in listed]
    dependencies = "".join(
        f'<dependency org={quoteattr(org)} name={quoteattr(name)} rev={quoteattr(revision)} conf="*->master"/>\n'
        for org, name, revision in modules
    )
    return (
        '<ivy-module version="2.0"><info organisation="liandong" module="jars"/>\n'
        f"<dependencies>\n{dependencies}</dependencies></ivy-module>\n"
    )
