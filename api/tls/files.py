"""The certificate of the server itself from files, which somebody replaces now and then."""

from __future__ import annotations

import logging
import os
import ssl
from pathlib import Path

from api.tls.shown import CertificateUnusable, Shown

logger = logging.getLogger(__name__)


class CertificateFiles:
    """One certificate, with its chain and key, for all hosts; it must have the names of all.

    While the files do not fit together, what they held before is shown.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self._paths = certificate, key
        self._seen = self._marks()
        try:
            self._shown = self._read()
        except (OSError, ValueError) as error:
            raise CertificateUnusable(certificate, str(error)) from error

    def load_into(self, context: ssl.SSLContext, host: str | None) -> None:
        self._shown.load_into(context)

    def is_renewed(self) -> bool:
        """Files that are not as they were at the last look are read; what is refused, once."""
        # Before reading: what changes while it is read is read again at the next look.
        marks = self._marks()
        if marks == self._seen:
            return False
        self._seen, before = marks, self._shown
        try:
            self._shown = self._read()
        except (OSError, ValueError) as error:
            logger.error("server_certificate_refused", extra={"why": f"{self._paths[0]}: {error}"})
        return self._shown != before

    def _read(self) -> Shown:
        certificate, key = self._paths
        shown = Shown(certificate.read_bytes(), key.read_bytes())
        shown.load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        return shown

    def _marks(self) -> list[tuple[int, ...]]:
        """What tells a file from the one that was there before, without reading it."""
        return [_mark(path) for path in self._paths]


def _mark(path: Path) -> tuple[int, ...]:
    try:
        it = os.stat(path)
    except OSError:
        return ()
    return it.st_dev, it.st_ino, it.st_size, it.st_mtime_ns, it.st_ctime_ns
