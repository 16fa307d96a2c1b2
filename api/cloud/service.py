"""The table of CloudService's handlers, and the one call that finds a method in it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, get_type_hints

from google.protobuf.message import Message
from temporalio.api.cloud.cloudservice.v1 import service_pb2

from api.cloud.account.get_account import get_account
from api.cloud.api_key.create_api_key import create_api_key
from api.cloud.api_key.delete_api_key import delete_api_key
from api.cloud.api_key.get_api_key import get_api_key
from api.cloud.api_key.get_api_keys import get_api_keys
from api.cloud.api_key.update_api_key import update_api_key
from api.cloud.identity.get_current_identity import get_current_identity
from api.cloud.namespace.create_namespace import create_namespace
from api.cloud.namespace.delete_namespace import delete_namespace
from api.cloud.namespace.get_namespace import get_namespace
from api.cloud.namespace.get_namespaces import get_namespaces
from api.cloud.namespace.update_namespace import update_namespace
from api.cloud.operation.get_async_operation import get_async_operation
from api.cloud.region.get_region import get_region
from api.cloud.region.get_regions import get_regions
from api.cloud.services import Services
from api.cloud.usage.get_usage import get_usage
from api.cloud.user.create_user import create_user
from api.cloud.user.delete_user import delete_user
from api.cloud.user.get_user import get_user
from api.cloud.user.get_users import get_users
from api.cloud.user.set_user_namespace_access import set_user_namespace_access
from api.cloud.user.update_user import update_user
from api.transports.errors import NotServed
from tenancy import Principal

# Requests and responses differ from handler to handler, which no callable type can say.
Handler = Callable[[Services, Any, Principal], Awaitable[Message]]


def by_method(*handlers: Handler) -> Mapping[str, Handler]:
    """Handlers by the full name of the method that takes their request."""
    methods = {
        method.input_type.full_name: method.full_name
        for method in service_pb2.DESCRIPTOR.services_by_name["CloudService"].methods
    }
    return {methods[_request_name(handler)]: handler for handler in handlers}


def _request_name(handler: Handler) -> str:
    return str(get_type_hints(handler)["request"].DESCRIPTOR.full_name)


HANDLERS = by_method(
    create_api_key,
    create_namespace,
    create_user,
    delete_api_key,
    delete_namespace,
    delete_user,
    get_account,
    get_api_key,
    get_api_keys,
    get_async_operation,
    get_current_identity,
    get_namespace,
    get_namespaces,
    get_region,
    get_regions,
    get_usage,
    get_user,
    get_users,
    set_user_namespace_access,
    update_api_key,
    update_namespace,
    update_user,
)


_CHANGES_NOTHING = frozenset(
    method
    for method, handler in HANDLERS.items()
    # Whoever is told that an operation ended goes on to use what it made.
    if handler.__name__.startswith("get_") and handler is not get_async_operation
)


class CloudService:
    """Answers the published methods that this cloud offers."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def answer(self, method: str, request: Message, caller: Principal) -> Message:
        """Raises TenancyError and BillingError; NotServed for a method without a handler."""
        handler = HANDLERS.get(method)
        if handler is None:
            raise NotServed(method.rpartition(".")[2])
        answer = await handler(self._services, request, caller)
        if method not in _CHANGES_NOTHING:
            await self._services.control.settle()
        return answer
