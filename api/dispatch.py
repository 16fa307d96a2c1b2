"""The one way to a method, whatever door a call came through."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from api.catalogue import CATALOGUE, METHODS, Plane, Row, Scope
from api.catalogue.references import Check, ReferenceCheck
from api.transports.errors import InvalidRequest, MissingCredential, NotServed
from engine.call import Call
from tenancy import Access, NamespaceRef, NotFound, PermissionDenied, Principal, permits

Cell = Callable[[str, bytes, Call], Awaitable[bytes]]
Control = Callable[[str, Message, Principal], Awaitable[Message]]
NamespaceLookup = Callable[[str], NamespaceRef]


@dataclass(frozen=True, slots=True)
class Act:
    """What the audit log keeps of a call. `target_ids` are a namespace's id and what is in it."""

    principal: Principal
    action: str
    target_ids: tuple[str, ...]
    is_denied: bool


Audit = Callable[[Act], None]


@dataclass(frozen=True, slots=True)
class Method:
    """What a door has to know of one RPC, gathered once."""

    name: str
    row: Row
    request_type: type[Message]
    response_type: type[Message]
    check: Check | None


def methods(
    catalogue: Mapping[str, Row] = CATALOGUE, descriptors: Mapping[str, MethodDescriptor] = METHODS
) -> dict[str, Method]:
    """Every method by its full name."""
    references = ReferenceCheck()
    return {
        name: Method(
            name,
            catalogue[name],
            GetMessageClass(descriptor.input_type),
            GetMessageClass(descriptor.output_type),
            references.for_request(descriptor.input_type),
        )
        for name, descriptor in descriptors.items()
    }


class Dispatcher:
    """Authorizes calls and passes them to who answers them.

    `namespaces` must answer from memory. `audit` must neither block nor fail.
    """

    def __init__(
        self,
        *,
        cell: Cell,
        control: Control,
        namespaces: NamespaceLookup,
        audit: Audit | None = None,
    ) -> None:
        self._cell = cell
        self._control = control
        self._namespaces = namespaces
        self._audit = audit

    async def dispatch(
        self, method: Method, request: Any, principal: Principal | None, timeout_seconds: float
    ) -> bytes:
        """The serialized response. Raises what `api.errors` has a row for."""
        row = method.row
        if row.plane is Plane.CONTROL:
            caller = self._account_caller(method, principal)
            return (await self._control(method.name, request, caller)).SerializeToString()
        if row.plane is Plane.NONE:
            raise _unoffered(method, principal)
        if row.scope is Scope.SYSTEM:
            caller_id = _system_caller(row, principal)
            call = Call("", "", caller_id, timeout_seconds)
            return await self._cell(method.name, request.SerializeToString(), call)
        caller, namespace = self._namespace_caller(method, request.namespace, principal)
        if method.check is not None:
            method.check(request, request.namespace)
        call = Call(namespace.id, namespace.full_name, caller.id, timeout_seconds)
        response = await self._cell(method.name, request.SerializeToString(), call)
        if row.is_audited:
            self._record(method, caller, namespace, _workflow_ids(request))
        return response

    def _namespace_caller(
        self, method: Method, name: str, principal: Principal | None
    ) -> tuple[Principal, NamespaceRef]:
        """The caller and the namespace that it may use in this way.

        To whoever may know nothing of a namespace, it does not exist.
        """
        if principal is None:
            raise MissingCredential
        if not name:
            raise InvalidRequest("namespace", "is missing: give it as <name>.<account id>")
        namespace = self._namespaces(name)
        for access in method.row.access:
            if permits(principal, access, namespace):
                return principal, namespace
        is_member = permits(principal, Access.ACCOUNT_READ, namespace)
        if namespace.account_id != principal.account_id or not (
            is_member or principal.permissions(namespace.id)
        ):
            # Nothing is recorded either: the caller's own audit log would tell.
            raise NotFound("namespace", name)
        self._record(method, principal, namespace, is_denied=True)
        raise PermissionDenied(_action(method), name, _remedy(method.row))

    def _account_caller(self, method: Method, principal: Principal | None) -> Principal:
        if principal is None:
            raise MissingCredential
        row = method.row
        if row.is_open or any(permits(principal, access, None) for access in row.access):
            return principal
        if self._audit is not None:
            targets = (principal.account_id,)
            self._audit(Act(principal, _action(method), targets, is_denied=True))
        raise PermissionDenied(_action(method), principal.account_id, _remedy(row))

    def _record(
        self,
        method: Method,
        principal: Principal,
        namespace: NamespaceRef,
        target_ids: tuple[str, ...] = (),
        *,
        is_denied: bool = False,
    ) -> None:
        if self._audit is not None:
            targets = (namespace.id, *target_ids)
            self._audit(Act(principal, _action(method), targets, is_denied))


def _system_caller(row: Row, principal: Principal | None) -> str:
    if not any(permits(principal, access, None) for access in row.access):
        raise MissingCredential
    return "" if principal is None else principal.id


def _unoffered(method: Method, principal: Principal | None) -> Exception:
    """Strangers are not told what is offered."""
    return MissingCredential() if principal is None else NotServed(_action(method))


def _action(method: Method) -> str:
    return method.name.rpartition(".")[2]


def _remedy(row: Row) -> str:
    return f"ask an admin for {' or '.join(row.access)} access"


def _workflow_ids(request: Any) -> tuple[str, ...]:
    execution = getattr(request, "workflow_execution", None)
    return () if execution is None else (execution.workflow_id,)
