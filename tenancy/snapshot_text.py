"""The snapshot as signed JSON: whole, as it is kept and sent at first, and as single changes."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from tenancy.certificates import CertificateTrust, NamespaceTrust
from tenancy.errors import SnapshotRejected
from tenancy.placement import CellPlace
from tenancy.randomness import derived_key
from tenancy.restrictions import Restriction, RestrictionCause
from tenancy.roles import AccountRole, NamespaceRef, Permission, Principal, PrincipalKind
from tenancy.snapshot import KeyEntry, Snapshot

Told = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Table:
    """Entries of the snapshot that change one by one; `key` is where an entry is found."""

    tell: Callable[[Any], Told]
    hear: Callable[[Told], Any]
    key: Callable[[Any], str]


def _tell_key(entry: KeyEntry) -> Told:
    principal = entry.principal
    return {
        "id": principal.id,
        "digest": entry.digest.hex(),
        "account_id": principal.account_id,
        "account_role": principal.account_role,
        "account_permission": principal.account_permission,
        "grants": dict(principal.grants),
        "expires_at": entry.expires_at.isoformat(),
        "user_id": principal.user_id,
    }


def _hear_key(told: Told) -> KeyEntry:
    role, permission = told["account_role"], told["account_permission"]
    expires_at = datetime.fromisoformat(told["expires_at"])
    principal = Principal(
        PrincipalKind.API_KEY,
        told["id"],
        told["account_id"],
        account_role=None if role is None else AccountRole(role),
        account_permission=None if permission is None else Permission(permission),
        grants={id: Permission(granted) for id, granted in told["grants"].items()},
        expires_at=expires_at,
        user_id=told["user_id"],
    )
    return KeyEntry(bytes.fromhex(told["digest"]), principal, expires_at)


def _tell_trust(entry: NamespaceTrust) -> Told:
    return {
        "namespace": asdict(entry.namespace),
        "trust": entry.trust.told(),
        "denied": sorted(entry.denied),
        "revoked": {
            id: [f"{serial:x}" for serial in sorted(serials)]
            for id, serials in entry.revoked.items()
        },
    }


def _hear_trust(told: Told) -> NamespaceTrust:
    trust = CertificateTrust.heard(told["trust"])
    revoked = {
        id: frozenset(int(serial, 16) for serial in serials)
        for id, serials in told.get("revoked", {}).items()
    }
    ref, denied = NamespaceRef(**told["namespace"]), frozenset(told["denied"])
    return NamespaceTrust(ref, trust, denied, revoked)


def _hear_restriction(told: Told) -> Restriction:
    return Restriction(**{**told, "cause": RestrictionCause(told["cause"])})


TABLES: Mapping[str, _Table] = {
    "namespaces": _Table(asdict, lambda told: NamespaceRef(**told), lambda ref: ref.full_name),
    "api_keys": _Table(_tell_key, _hear_key, lambda entry: entry.principal.id),
    "trusts": _Table(_tell_trust, _hear_trust, lambda entry: entry.namespace.full_name),
    "restrictions": _Table(asdict, _hear_restriction, lambda entry: entry.key),
}
LISTS: Mapping[str, Callable[[Told], Any]] = {
    "cells": lambda told: CellPlace(**told),
}
"""Short ones, which are told whole whenever they change."""


def told(snapshot: Snapshot) -> Told:
    """All of it. What an older release has not told is heard as empty."""
    return {
        **_head(snapshot),
        **{
            name: [table.tell(entry) for entry in getattr(snapshot, name).values()]
            for name, table in TABLES.items()
        },
        **{name: [asdict(entry) for entry in getattr(snapshot, name)] for name in LISTS},
    }


def heard(told: Told) -> Snapshot:
    """The inverse of `told`."""
    parts: dict[str, Any] = {}
    for name, table in TABLES.items():
        entries = map(table.hear, told.get(name, ()))
        parts[name] = {table.key(entry): entry for entry in entries}
    for name, hear in LISTS.items():
        parts[name] = tuple(map(hear, told.get(name, ())))
    return Snapshot(told["version"], datetime.fromisoformat(told["refreshed_at"]), **parts)


def change_told(before: Snapshot, after: Snapshot) -> Told:
    """What turns one snapshot into the next."""
    change = {**_head(after), "after": before.version}
    for name, table in TABLES.items():
        old, new = getattr(before, name), getattr(after, name)
        put = [table.tell(it) for key, it in new.items() if old.get(key) is not it]
        change[name] = {"put": put, "gone": [key for key in old if key not in new]}
    for name in LISTS:
        if getattr(before, name) != getattr(after, name):
            change[name] = [asdict(entry) for entry in getattr(after, name)]
    return change


def change_heard(before: Snapshot, told: Told) -> Snapshot:
    """The snapshot after the change. Raises SnapshotRejected if it is no change of this one."""
    if told["after"] != before.version:
        raise SnapshotRejected(f"for changes after {told['after']}, not {before.version}")
    parts: dict[str, Any] = {}
    for name, table in TABLES.items():
        entries = dict(getattr(before, name))
        for key in told[name]["gone"]:
            entries.pop(key, None)
        put = map(table.hear, told[name]["put"])
        parts[name] = entries | {table.key(entry): entry for entry in put}
    for name, hear in LISTS.items():
        same = getattr(before, name)
        parts[name] = tuple(map(hear, told[name])) if name in told else same
    return Snapshot(told["version"], datetime.fromisoformat(told["refreshed_at"]), **parts)


def _head(snapshot: Snapshot) -> Told:
    return {"version": snapshot.version, "refreshed_at": snapshot.refreshed_at.isoformat()}


class Signed:
    """JSON under a signature in hex and a newline, by a key of the installation."""

    def __init__(self, pepper: bytes) -> None:
        self._key = derived_key(pepper, "snapshot")

    def write(self, told: Told) -> bytes:
        body = json.dumps(told).encode()
        return self._signature(body) + b"\n" + body

    def read(self, text: bytes) -> Told:
        """Raises SnapshotRejected for what no process of this installation wrote."""
        signature, _, body = text.partition(b"\n")
        if not hmac.compare_digest(signature, self._signature(body)):
            raise SnapshotRejected("damaged or signed by another installation")
        read: Told = json.loads(body)
        return read

    def _signature(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, "sha256").hex().encode()
