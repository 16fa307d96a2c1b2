"""The one way to a method, whatever door a call came through."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from api.catalogue import CATALOGUE, METHODS, Plane, Row, Scope
from api.catalogue.references import Check, ReferenceCheck
from api.transports.errors import InvalidRequest, MissingCredential, NotServed
from engine.call import Call
from engine.errors import StartRefused
from tenancy import (
    Access,
    Act,
    AuditResult,
    NamespaceRef,
    NotFound,
    PermissionDenied,
    Principal,
    Restriction,
    StartsRestricted,
    permits,
)

CellRpc = Callable[[str, bytes, Call], Awaitable[bytes]]
CellLookup = Callable[[str], CellRpc]
"""The cell of that id, or any where the id is empty; raises Unavailable for an unknown one."""
Control = Callable[[str, Message, Principal], Awaitable[Message]]
NamespaceLookup = Callable[[str], NamespaceRef]
RestrictionLookup = Callable[[NamespaceRef], Restriction | None]
Audit = Callable[[Act], AbstractAsyncContextManager[None]]
"""Is entered before an act is done and left when it is recorded, which it is not if it fails."""


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

    `namespaces` and `restrictions` must answer from memory.
    """

    def __init__(
        self,
        *,
        cells: CellLookup,
        control: Control,
        namespaces: NamespaceLookup,
        audit: Audit = lambda _act: nullcontext(),
        restrictions: RestrictionLookup = lambda _namespace: None,
    ) -> None:
        self._cells = cells
        self._control = control
        self._namespaces = namespaces
        self._audit = audit
        self._restrictions = restrictions
        self._acts: set[asyncio.Task[bytes]] = set()

    async def dispatch(
        self, method: Method, request: Any, principal: Principal | None, timeout_seconds: float
    ) -> bytes:
        """The serialized response. Raises what `api.errors` has a row for."""
        row = method.row
        if row.plane is Plane.CONTROL:
            caller = await self._account_caller(method, principal)
            return (await self._control(method.name, request, caller)).SerializeToString()
        if row.plane is Plane.NONE:
            raise _unoffered(method, principal)
        if row.scope is Scope.SYSTEM:
            caller_id = _system_caller(row, principal)
            call = Call("", "", caller_id, timeout_seconds)
            return await self._cells("")(method.name, request.SerializeToString(), call)
        caller, namespace = await self._namespace_caller(method, request.namespace, principal)
        if method.check is not None:
            method.check(request, request.namespace)
        call = Call(namespace.id, namespace.full_name, caller.id, timeout_seconds)
        restriction = self._restrictions(namespace) if row.starts_work else None
        cell = self._cells(namespace.cell)
        if restriction is not None:
            cell = _starting_nothing(cell, restriction)
        if not row.is_audited(caller):
            return await cell(method.name, request.SerializeToString(), call)
        act = Act(caller, _action(method), (namespace.id, *_workflow_ids(request)))

        async def answer() -> bytes:
            async with self._audit(act):
                return await cell(method.name, request.SerializeToString(), call)

        return await self._to_its_end(answer())

    async def _to_its_end(self, act: Coroutine[None, None, bytes]) -> bytes:
        """The answer to an audited call; whoever leaves before stops neither act nor record."""
        task = asyncio.create_task(act)
        self._acts.add(task)
        task.add_done_callback(self._act_ended)
        return await asyncio.shield(task)

    def _act_ended(self, task: asyncio.Task[bytes]) -> None:
        self._acts.discard(task)
        # What a caller who has left would have been refused is not for the log.
        if not task.cancelled():
            task.exception()

    async def _namespace_caller(
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
        await self._deny(principal, method, namespace.id)
        raise PermissionDenied(_action(method), name, _remedy(method.row))

    async def _account_caller(self, method: Method, principal: Principal | None) -> Principal:
        if principal is None:
            raise MissingCredential
        row = method.row
        if row.is_open or any(permits(principal, access, None) for access in row.access):
            return principal
        await self._deny(principal, method, principal.account_id)
        raise PermissionDenied(_action(method), principal.account_id, _remedy(row))

    async def _deny(self, principal: Principal, method: Method, target_id: str) -> None:
        act = Act(principal, _action(method), (target_id,), AuditResult.DENIED)
        async with self._audit(act):
            pass


def _starting_nothing(cell: CellRpc, restriction: Restriction) -> CellRpc:
    """The cell for who may use the runs that there are, and start none.

    Only the cell knows which of the two a call does; it does not know of money.
    """

    async def ask(method: str, request: bytes, call: Call) -> bytes:
        try:
            return await cell(method, request, call.without_starts())
        except StartRefused as refusal:
            raise StartsRestricted(call.namespace, restriction.cause, restriction.why) from refusal

    return ask


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
    """The workflow and, where the caller named it, the run that a request is about."""
    execution = getattr(request, "workflow_execution", request)
    ids = (getattr(execution, "workflow_id", ""), getattr(execution, "run_id", ""))
    return tuple(id for id in ids if id)
