"""The snapshot on disk: signed, so that a frontend can boot while the control plane is down."""

from __future__ import annotations

import dataclasses
import hmac
import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

from tenancy.certificates import CertificateTrust, NamespaceTrust
from tenancy.errors import SnapshotRejected
from tenancy.randomness import Now, derived_key
from tenancy.roles import AccountRole, NamespaceRef, Permission, Principal, PrincipalKind
from tenancy.snapshot import KeyEntry, Snapshot

SNAPSHOT_AGE_SECONDS_MAX = 24 * 60 * 60
"""The most that a revocation can be missed by a frontend that boots without control plane."""


class SnapshotFile:
    """One file, mode 0600: the signature in hex, a newline, JSON. Both calls block on the disk."""

    def __init__(self, path: Path, *, pepper: bytes, now: Now) -> None:
        self._path = path
        self._key = derived_key(pepper, "snapshot")
        self._now = now

    def save(self, snapshot: Snapshot) -> None:
        """Replaces the file in one step: a reader sees the old one or the new one."""
        body = json.dumps(_told(snapshot)).encode()
        draft = self._path.with_name(self._path.name + ".draft")
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(self._signature(body) + b"\n" + body)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)

    def load(self) -> Snapshot:
        """Raises SnapshotRejected if the file is missing, not ours, or too old."""
        try:
            signature, _, body = self._path.read_bytes().partition(b"\n")
        except FileNotFoundError:
            raise SnapshotRejected("missing") from None
        if not hmac.compare_digest(signature, self._signature(body)):
            raise SnapshotRejected("damaged or signed by another installation")
        snapshot = _heard(json.loads(body))
        if (self._now() - snapshot.refreshed_at).total_seconds() > SNAPSHOT_AGE_SECONDS_MAX:
            raise SnapshotRejected(f"older than {SNAPSHOT_AGE_SECONDS_MAX} seconds")
        return snapshot

    def _signature(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, "sha256").hex().encode()


def _told(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "version": snapshot.version,
        "refreshed_at": snapshot.refreshed_at.isoformat(),
        "namespaces": [dataclasses.asdict(ref) for ref in snapshot.namespaces.values()],
        "api_keys": [
            {
                "id": entry.principal.id,
                "digest": entry.digest.hex(),
                "account_id": entry.principal.account_id,
                "account_role": entry.principal.account_role,
                "account_permission": entry.principal.account_permission,
                "grants": dict(entry.principal.grants),
                "expires_at": entry.expires_at.isoformat(),
                "user_id": entry.principal.user_id,
            }
            for entry in snapshot.api_keys.values()
        ],
        "trusts": [
            {
                "namespace": dataclasses.asdict(entry.namespace),
                "trust": entry.trust.told(),
                "denied": sorted(entry.denied),
            }
            for entry in snapshot.trusts.values()
        ],
    }


def _heard(told: dict[str, Any]) -> Snapshot:
    refs = [NamespaceRef(**ref) for ref in told["namespaces"]]
    return Snapshot(
        version=told["version"],
        refreshed_at=datetime.fromisoformat(told["refreshed_at"]),
        namespaces={ref.full_name: ref for ref in refs},
        api_keys={key["id"]: _heard_key(key) for key in told["api_keys"]},
        # What was written before there were certificates has none.
        trusts={it.namespace.full_name: it for it in map(_heard_trust, told.get("trusts", ()))},
    )


def _heard_trust(entry: dict[str, Any]) -> NamespaceTrust:
    trust = CertificateTrust.heard(entry["trust"])
    return NamespaceTrust(NamespaceRef(**entry["namespace"]), trust, frozenset(entry["denied"]))


def _heard_key(key: dict[str, Any]) -> KeyEntry:
    role, permission = key["account_role"], key["account_permission"]
    expires_at = datetime.fromisoformat(key["expires_at"])
    principal = Principal(
        PrincipalKind.API_KEY,
        key["id"],
        key["account_id"],
        account_role=None if role is None else AccountRole(role),
        account_permission=None if permission is None else Permission(permission),
        grants={id: Permission(granted) for id, granted in key["grants"].items()},
        expires_at=expires_at,
        user_id=key["user_id"],
    )
    return KeyEntry(bytes.fromhex(key["digest"]), principal, expires_at)
