"""Accounts, users, sessions, namespaces and API keys: who may do what, and where it lives."""

from __future__ import annotations

from tenancy.accounts import Account
from tenancy.api_keys import ApiKey, KeyLabel, KeyScope, NewApiKey
from tenancy.audit import Act, AuditRecord, AuditResult
from tenancy.certificate_check import Accepted, accept
from tenancy.certificates import CertificateFilter, CertificateTrust, NamespaceTrust
from tenancy.control_plane import ControlPlane
from tenancy.database import Database
from tenancy.errors import (
    AlreadyExists,
    ChainBroken,
    Conflict,
    DatabaseUnavailable,
    InvalidField,
    LimitReached,
    NotFound,
    PermissionDenied,
    ProvisioningRefused,
    RateLimited,
    SchemaTooNew,
    SnapshotRejected,
    SnapshotTooOld,
    StartsRestricted,
    TenancyError,
    Unauthenticated,
    UnauthenticatedReason,
    WrongState,
)
from tenancy.migrate import migrate
from tenancy.namespace_settings import NamespaceSettings, SearchAttributeType
from tenancy.namespaces import Namespace, NamespaceState
from tenancy.operations import AsyncOperation, OperationKind, OperationState
from tenancy.passwords import Passwords
from tenancy.placement import CellPlace
from tenancy.provisioning import Provisioner
from tenancy.restrictions import Restriction, RestrictionCause
from tenancy.roles import (
    PERMITS,
    Access,
    AccountRole,
    NamespaceRef,
    Permission,
    Principal,
    PrincipalKind,
    accesses_of,
    permits,
    system_principal,
)
from tenancy.sessions import NewSession, SignInMethod, Visit
from tenancy.sign_in import SecondStep
from tenancy.snapshot import Snapshot, SnapshotView
from tenancy.snapshot_feed import SnapshotFeed, SnapshotFollower
from tenancy.snapshot_file import SnapshotFile
from tenancy.snapshot_reader import SnapshotReader
from tenancy.users import User

__all__ = [
    "PERMITS",
    "Accepted",
    "Access",
    "Account",
    "AccountRole",
    "Act",
    "AlreadyExists",
    "ApiKey",
    "AsyncOperation",
    "AuditRecord",
    "AuditResult",
    "CellPlace",
    "CertificateFilter",
    "CertificateTrust",
    "ChainBroken",
    "Conflict",
    "ControlPlane",
    "Database",
    "DatabaseUnavailable",
    "InvalidField",
    "KeyLabel",
    "KeyScope",
    "LimitReached",
    "Namespace",
    "NamespaceRef",
    "NamespaceSettings",
    "NamespaceState",
    "NamespaceTrust",
    "NewApiKey",
    "NewSession",
    "NotFound",
    "OperationKind",
    "OperationState",
    "Passwords",
    "Permission",
    "PermissionDenied",
    "Principal",
    "PrincipalKind",
    "Provisioner",
    "ProvisioningRefused",
    "RateLimited",
    "Restriction",
    "RestrictionCause",
    "SchemaTooNew",
    "SearchAttributeType",
    "SecondStep",
    "SignInMethod",
    "Snapshot",
    "SnapshotFeed",
    "SnapshotFile",
    "SnapshotFollower",
    "SnapshotReader",
    "SnapshotRejected",
    "SnapshotTooOld",
    "SnapshotView",
    "StartsRestricted",
    "TenancyError",
    "Unauthenticated",
    "UnauthenticatedReason",
    "User",
    "Visit",
    "WrongState",
    "accept",
    "accesses_of",
    "migrate",
    "permits",
    "system_principal",
]
