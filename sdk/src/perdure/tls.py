"""Who the server must be, and the certificate by which it knows this client."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

__all__ = ["TLSConfig"]


@dataclass(frozen=True)
class TLSConfig:
    """The contents of PEM files, named as the published SDKs name them.

    ``domain`` is the server's name where the address has another: a namespace's own host, for one.
    ``client_cert`` may be followed by the intermediates that lead to a CA of the namespace.
    """

    server_root_ca_cert: bytes | None = None
    domain: str | None = None
    client_cert: bytes | None = None
    client_private_key: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if (self.client_cert is None) != (self.client_private_key is None):
            raise ValueError("client_cert and client_private_key go together: give both or none")

    def context(self) -> ssl.SSLContext:
        """Trusts the given CA alone, or else those that this machine trusts."""
        import ssl

        root = self.server_root_ca_cert
        context = ssl.create_default_context(cadata=None if root is None else root.decode())
        if self.client_cert is not None and self.client_private_key is not None:
            # OpenSSL reads keys from files alone; this one can be read by us only and is gone soon.
            descriptor, name = tempfile.mkstemp(suffix=".pem")
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(self.client_private_key + b"\n" + self.client_cert)
                context.load_cert_chain(name)
            finally:
                Path(name).unlink()
        return context


def refusal(error: BaseException) -> str:
    """Why the handshake behind an error will never succeed; empty if it may."""
    import ssl

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"the server's certificate is not trusted: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError) and "ALERT" in (cause.reason or ""):
            return f"the server refused the client certificate, or its lack: {cause.reason}"
        cause = cause.__cause__ or cause.__context__
    return ""
