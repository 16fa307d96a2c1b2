"""Every request field that could name something outside of its call, and what holds for it.

A field that looks as if it could, and is not classified, fails a test. Whatever is classified as
`SAME` or `ABSENT` is enforced by `ReferenceCheck` before the request goes on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from api.transports.errors import ForeignReference


class Reference(StrEnum):
    ROUTE = "the namespace of the call, resolved and authorized by the door"
    SAME = "empty, or the namespace of the call"
    ABSENT = "empty: nothing that it could name is offered"
    LOCAL = "a key within the namespace of the call; it means nothing outside"
    SEALED = "a token of ours that its namespace is sealed into"
    INERT = "stored and shown, never followed"
    ACCOUNT = "looked up by the control plane within the caller's account"


SUSPECT = re.compile(r"namespace|endpoint|token|url|uri|arn|bucket|task_queue|account|address")
"""Names of fields that have to be classified."""

_BY_NAME = (
    (re.compile(r"workflowservice\.v1\.\w+Request\.namespace"), Reference.ROUTE),
    (re.compile(r"operatorservice\.v1\.\w+Request\.namespace"), Reference.ROUTE),
    (re.compile(r"perdure\.api\.v1\.\w+Request\.namespace"), Reference.ROUTE),
    (re.compile(r"cloudservice\.v1\.\w+Request\.(page_token|namespace)"), Reference.ACCOUNT),
    (
        re.compile(r"v1\.\w+Request\.(task_token|next_page_token|long_poll_token|conflict_token)"),
        Reference.SEALED,
    ),
    (
        re.compile(
            r"(workflowservice|perdure\.api)\.v1\.\w+Request"
            r"\.(sticky_|worker_control_)?task_queues?"
            r"|worker\.v1\.WorkerHeartbeat\.task_queue"
        ),
        Reference.LOCAL,
    ),
    (re.compile(r"\bcommon\.v1\.Link\.\w+\.namespace"), Reference.INERT),
    (re.compile(r"\bfailure\.v1\.\w+\.(namespace|endpoint|operation_token)"), Reference.INERT),
    (re.compile(r"workflowservice\.v1\.\w+Request\.security_token"), Reference.ABSENT),
    (re.compile(r"\.(history|visibility)_archival_uri"), Reference.ABSENT),
    (re.compile(r"\bcloud\.sink\.v1\."), Reference.ABSENT),
)

_BY_FIELD: Mapping[str, Reference] = {
    # It names a message type that both sides already have; nothing is fetched.
    "google.protobuf.Any.type_url": Reference.INERT,
    "command.v1.RequestCancelExternalWorkflowExecutionCommandAttributes.namespace": Reference.SAME,
    "command.v1.SignalExternalWorkflowExecutionCommandAttributes.namespace": Reference.SAME,
    "command.v1.StartChildWorkflowExecutionCommandAttributes.namespace": Reference.SAME,
    "command.v1.ScheduleNexusOperationCommandAttributes.endpoint": Reference.ABSENT,
    # Callbacks would make the cloud call a customer's address, or act as the cloud itself.
    "common.v1.Callback.Nexus.url": Reference.ABSENT,
    "common.v1.Callback.NexusHandler.task_queue_name": Reference.ABSENT,
    "common.v1.Callback.Internal.data": Reference.ABSENT,
    "compute.v1.ComputeProvider.nexus_endpoint": Reference.ABSENT,
    "nexus.v1.EndpointTarget.External.url": Reference.ABSENT,
    "nexus.v1.EndpointTarget.Worker.namespace": Reference.ABSENT,
    "nexus.v1.EndpointTarget.Worker.task_queue": Reference.ABSENT,
    "nexus.v1.Link.url": Reference.INERT,
    "nexus.v1.PropagatedSerializationContext.endpoint": Reference.INERT,
    "nexus.v1.StartOperationResponse.Async.operation_token": Reference.INERT,
    "operatorservice.v1.AddOrUpdateRemoteClusterRequest.frontend_address": Reference.ABSENT,
    "operatorservice.v1.AddOrUpdateRemoteClusterRequest.frontend_http_address": Reference.ABSENT,
    # A namespace has one name for callers; its id would be a second, unchecked one.
    "operatorservice.v1.DeleteNamespaceRequest.namespace_id": Reference.ABSENT,
    "workflowservice.v1.DescribeNamespaceRequest.id": Reference.ABSENT,
    "workflowservice.v1.StartNexusOperationExecutionRequest.endpoint": Reference.ABSENT,
    "cloud.cloudservice.v1.DeleteNexusEndpointRequest.endpoint_id": Reference.ACCOUNT,
    "cloud.cloudservice.v1.DeleteServiceAccountRequest.service_account_id": Reference.ACCOUNT,
    "cloud.cloudservice.v1.GetNexusEndpointRequest.endpoint_id": Reference.ACCOUNT,
    "cloud.cloudservice.v1.GetNexusEndpointsRequest.target_namespace_id": Reference.ACCOUNT,
    "cloud.cloudservice.v1.GetNexusEndpointsRequest.target_task_queue": Reference.ACCOUNT,
    "cloud.cloudservice.v1.GetServiceAccountRequest.service_account_id": Reference.ACCOUNT,
    "cloud.cloudservice.v1.GetUserGroupsRequest.GoogleGroupFilter.email_address": Reference.ACCOUNT,
    "cloud.cloudservice.v1.SetServiceAccountNamespaceAccessRequest.service_account_id": (
        Reference.ACCOUNT
    ),
    "cloud.cloudservice.v1.UpdateNexusEndpointRequest.endpoint_id": Reference.ACCOUNT,
    "cloud.cloudservice.v1.UpdateServiceAccountRequest.service_account_id": Reference.ACCOUNT,
    "cloud.identity.v1.Access.namespace_accesses": Reference.ACCOUNT,
    "cloud.identity.v1.GoogleGroupSpec.email_address": Reference.ACCOUNT,
    "cloud.identity.v1.NamespaceScopedAccess.namespace": Reference.ACCOUNT,
    # The visitor's browser calls it, after showing where it goes; the cloud never does.
    "cloud.namespace.v1.CodecServerSpec.endpoint": Reference.INERT,
    "cloud.nexus.v1.AllowedCloudNamespacePolicySpec.namespace_id": Reference.ACCOUNT,
    "cloud.nexus.v1.WorkerTargetSpec.namespace_id": Reference.ACCOUNT,
    "cloud.nexus.v1.WorkerTargetSpec.task_queue": Reference.ACCOUNT,
}


def reference(field: FieldDescriptor) -> Reference | None:
    """What holds for a field; None for one that is not classified."""
    name = field.full_name.removeprefix("temporal.api.")
    found = _BY_FIELD.get(name)
    if found is not None:
        return found
    return next((kind for pattern, kind in _BY_NAME if pattern.search(name)), None)


def is_suspect(field: FieldDescriptor) -> bool:
    """Whether a field holds text or bytes, or keys, under a name that has to be classified."""
    texts = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)
    is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
    return bool((field.type in texts or is_map) and SUSPECT.search(field.name))


Check = Callable[[Any, str], None]


class ReferenceCheck:
    """Checks requests for references that lead out of their namespace; kept per message type."""

    def __init__(self) -> None:
        self._checks: dict[str, list[_FieldCheck]] = {}
        self._leading: dict[str, bool] = {}

    def for_request(self, request: Descriptor) -> Check | None:
        """The check of a method's request, in which the route itself is excepted; None if idle."""
        route = request.fields_by_name.get("namespace")
        checks = [check for check in self._of(request) if check.field is not route]
        return _message_check(checks) if checks else None

    def _of(self, message: Descriptor) -> list[_FieldCheck]:
        """The checks of a message's fields, those only that lead to something to check."""
        found = self._checks.get(message.full_name)
        if found is None:
            # Registered before it is filled, because messages contain themselves.
            found = self._checks[message.full_name] = []
            for field in message.fields:
                check = self._check(field)
                if check is not None:
                    found.append(_FieldCheck(field, _is_single(field), check))
        return found

    def _check(self, field: FieldDescriptor) -> Check | None:
        inner = field.message_type
        if inner is None:
            return _SCALAR_CHECKS.get(reference(field))
        if not self._leads(inner):
            return None
        if inner.GetOptions().map_entry:
            value = inner.fields_by_name["value"].message_type
            assert value is not None, "a map that leads to a check has messages as values"
            return _values(_message_check(self._of(value)))
        check = _message_check(self._of(inner))
        return _items(check) if field.is_repeated else check

    def _leads(self, message: Descriptor) -> bool:
        """Whether a field of it, or of any message inside it, has to be checked."""
        if message.full_name not in self._leading:
            inside = {message.full_name: message}
            waiting = [message]
            while waiting:
                for field in waiting.pop().fields:
                    inner = field.message_type
                    if inner is not None and inner.full_name not in inside:
                        inside[inner.full_name] = inner
                        waiting.append(inner)
            fields = (field for each in inside.values() for field in each.fields)
            self._leading[message.full_name] = any(reference(f) in _SCALAR_CHECKS for f in fields)
        return self._leading[message.full_name]


class _FieldCheck(NamedTuple):
    field: FieldDescriptor
    is_single: bool
    check: Check


def _is_single(field: FieldDescriptor) -> bool:
    return field.message_type is not None and not field.is_repeated


def _same(value: str, namespace: str) -> None:
    if value not in ("", namespace):
        raise ForeignReference("", "names another namespace than the call: leave it out")


def _absent(value: object, _namespace: str) -> None:
    if value:
        raise ForeignReference("", "is not offered by this cloud: leave it out")


_SCALAR_CHECKS: Mapping[Reference | None, Check] = {
    Reference.SAME: _same,
    # Inside another request the route is one more name for the same thing.
    Reference.ROUTE: _same,
    Reference.ABSENT: _absent,
}


def _message_check(checks: list[_FieldCheck]) -> Check:
    def check(message: Any, namespace: str) -> None:
        for field, is_single, check_field in checks:
            name = field.name
            # Reading a message field that is not set would make it.
            if is_single and not message.HasField(name):
                continue
            try:
                check_field(getattr(message, name), namespace)
            except ForeignReference as error:
                error.under(field.json_name)
                raise

    return check


def _items(check_item: Check) -> Check:
    def check(values: Any, namespace: str) -> None:
        for index, value in enumerate(values):
            try:
                check_item(value, namespace)
            except ForeignReference as error:
                error.under(f"[{index}]")
                raise

    return check


def _values(check_value: Check) -> Check:
    def check(values: Any, namespace: str) -> None:
        for key, value in values.items():
            try:
                check_value(value, namespace)
            except ForeignReference as error:
                error.under(f"[{key!r}]")
                raise

    return check
