"""What a server shows of itself: a certificate and its key, loaded from memory."""

from __future__ import annotations

import os
import ssl
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

from api.installation import InstallationError


class CertificateUnusable(InstallationError):
    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}; give a certificate and its key in PEM")
        self.path = path


class ServerCertificate(Protocol):
    """What the server shows of itself."""

    def load_into(self, context: ssl.SSLContext, host: str | None) -> None:
        """The certificate for that host, or the one for clients that name none."""

    def is_renewed(self) -> bool:
        """Whether another is shown since it was asked last. May block."""


class Shown(NamedTuple):
    """A certificate with its chain, and its key, in PEM."""

    chain: bytes
    key: bytes

    def load_into(self, context: ssl.SSLContext) -> None:
        """Raises OSError, which SSLError is, and ValueError where they cannot be shown."""
        with _file(self.chain) as chain, _file(self.key) as key:
            context.load_cert_chain(chain, key, _no_password)


@contextmanager
def _file(content: bytes) -> Iterator[str]:
    """OpenSSL reads from files alone; this one is in memory where the system has such."""
    if sys.platform == "linux":
        with open(os.memfd_create("perdure"), "wb") as file:
            file.write(content)
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
    else:
        with tempfile.NamedTemporaryFile() as named:
            named.write(content)
            named.flush()
            yield named.name


def _no_password() -> str:
    """Without this OpenSSL would ask for one at the terminal, and everything would wait."""
    raise ValueError("the key is encrypted, and there is no password for it")
