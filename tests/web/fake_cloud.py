"""The public API as far as the console uses it, in memory; it remembers every write it got."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflow.v1 import PendingActivityInfo, WorkflowExecutionInfo

from tenancy import AccountRole, NamespaceRef, Permission, Principal, PrincipalKind, accesses_of
from tests.web.fake_billing import BILLING, billing_routes
from tests.web.fake_budgets import budget_routes
from tests.web.fake_people import ME, people_routes
from tests.web.histories import as_json, execution, greeting_history, history_json, json_payload

ACCOUNT = "k7m2qx"
NAMESPACE = f"orders.{ACCOUNT}"
EMAIL = "ada@example.com"
PASSWORD = "correct horse battery"
CSRF = "c5rf"
COOKIE = "session=s3ss10n"
TOKEN = "prd_abcdefghijklmnop_0123456789012345678901234567890123456789012abcdef01"


@dataclass
class FakeCloud:
    """What the account holds. Tests put things in and read `writes`."""

    namespaces: dict[str, str] = field(default_factory=dict)
    keys: list[dict[str, Any]] = field(default_factory=list)
    executions: list[WorkflowExecutionInfo] = field(default_factory=list)
    history: list[HistoryEvent] | None = None
    pending: list[PendingActivityInfo] = field(default_factory=list)
    pending_task: dict[str, Any] = field(default_factory=dict)
    polled_queues: list[str] = field(default_factory=list)
    cost: dict[str, Any] = field(default_factory=dict)
    budgets: list[dict[str, Any]] = field(default_factory=list)
    billing: dict[str, Any] = field(default_factory=lambda: dict(BILLING))
    invoices: list[dict[str, Any]] = field(default_factory=list)
    hours: list[tuple[int, str, int]] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)
    page_tokens: list[str] = field(default_factory=list)
    next_page: str = ""
    events_per_page: int = 1_000
    writes: list[tuple[str, str, Any]] = field(default_factory=list)
    role: str = "owner"
    permission: Permission = Permission.ADMIN
    is_email_verified: bool = True
    activates: bool = True
    denied: str = ""

    def app(self) -> Starlette:
        workflow = "/api/v1/namespaces/{namespace}/workflows/{workflow:path}"
        queues = "/api/v1/namespaces/{namespace}/task-queues"
        return Starlette(
            routes=[
                Route("/api/v1/sign-up", self.enter, methods=["POST"]),
                Route("/api/v1/login", self.enter, methods=["POST"]),
                Route("/api/v1/logout", self.guarded(self.written), methods=["POST"]),
                Route("/api/v1/session", self.guarded(self.session)),
                Route("/api/v1/usage/cost", self.guarded(self.usage_cost)),
                *budget_routes(self),
                *people_routes(self),
                *billing_routes(self),
                Route("/api/v1/usage/series", self.guarded(self.usage_series)),
                Route("/cloud/namespaces", self.guarded(self.list_namespaces)),
                Route("/cloud/namespaces", self.guarded(self.create_namespace), methods=["POST"]),
                Route("/cloud/namespaces/{namespace}", self.guarded(self.get_namespace)),
                Route(
                    "/cloud/namespaces/{namespace}", self.guarded(self.written), methods=["DELETE"]
                ),
                Route(
                    "/cloud/namespaces/{namespace}", self.guarded(self.written), methods=["POST"]
                ),
                Route("/api/v1/client-certificates", self.guarded(self.certificates)),
                Route("/cloud/operations/{id}", self.guarded(self.operation)),
                Route("/cloud/api-keys", self.guarded(self.list_keys)),
                Route("/api/v1/api-keys", self.guarded(self.create_key), methods=["POST"]),
                Route("/cloud/api-keys/{id}", self.guarded(self.written), methods=["DELETE"]),
                Route("/api/v1/namespaces/{namespace}/workflows", self.guarded(self.listed)),
                Route("/api/v1/namespaces/{namespace}/workflow-count", self.guarded(self.counted)),
                Route(queues, self.guarded(self.listed_queues)),
                Route(workflow + "/history", self.guarded(self.read_history)),
                Route(workflow + "/history-reverse", self.guarded(self.read_history_reverse)),
                Route(workflow + "/signal/{name}", self.guarded(self.written), methods=["POST"]),
                Route(workflow + "/{verb}", self.guarded(self.written), methods=["POST"]),
                Route(workflow, self.guarded(self.described)),
            ]
        )

    def guarded(self, handler: Any) -> Any:
        """A session for everything, its token for every write: as the cloud has it."""

        async def serve(request: Request) -> Response:
            if COOKIE not in request.headers.get("cookie", ""):
                return refusal(401, 16, "the session has ended; log in again")
            if request.method != "GET" and request.headers.get("x-csrf-token") != CSRF:
                return refusal(403, 7, "the request does not come from a page of this session")
            if self.denied:
                return refusal(403, 7, self.denied)
            answer = await handler(request)
            return answer if isinstance(answer, Response) else JSONResponse(answer)

        return serve

    async def enter(self, request: Request) -> Response:
        given = await request.json()
        if given["password"] != PASSWORD:
            return refusal(401, 16, "the e-mail or the password is wrong")
        answer = {**self.who(), "email": given["email"]}
        headers = {"set-cookie": f"{COOKIE}; HttpOnly; SameSite=Lax; Path=/"}
        return JSONResponse(answer, 201, headers)

    async def session(self, request: Request) -> Any:
        return self.who(request.query_params.get("namespace", ""))

    def who(self, namespace: str = "") -> dict[str, Any]:
        user = Principal(PrincipalKind.USER, ME, ACCOUNT, AccountRole(self.role), self.permission)
        place = NamespaceRef(ACCOUNT, "id-1", namespace, "cell-1", 1) if namespace else None
        return {
            "account_id": ACCOUNT,
            "user_id": ME,
            "email": EMAIL,
            "role": self.role,
            "is_email_verified": self.is_email_verified,
            "access": sorted(accesses_of(user, place)),
            "csrf_token": CSRF,
        }

    async def written(self, request: Request) -> Any:
        body = await request.json() if await request.body() else dict(request.query_params)
        path = request.scope["raw_path"].decode()
        self.writes.append((request.method, path, body))
        if path.endswith("/terminate") or path.endswith("/cancel"):
            assert "runId" in body["workflowExecution"]
        return {}

    async def certificates(self, request: Request) -> Any:
        name = request.query_params["namespace"]
        day = datetime(2026, 1, 1, tzinfo=UTC)
        known = {"subject": "CN=Acme root", "issuer": "CN=Acme root", "fingerprint": "ab" * 32}
        authority = {**known, "starts_at": day.isoformat(), "expires_at": day.isoformat()}
        return {
            "namespace": name,
            "host": f"{name}.localhost",
            "is_served": False,
            "is_enabled": True,
            "authorities": [authority],
            "denied": [{"fingerprint": "cd" * 32, "denied_at": day.isoformat()}],
            "revocation_lists": [self.revocations(day)],
        }

    def revocations(self, day: datetime) -> Any:
        known = {"authority": "ef" * 32, "issuer": "CN=Acme root", "revoked_count": 3}
        return {**known, "issued_at": day.isoformat(), "next_at": day.isoformat()}

    async def list_namespaces(self, request: Request) -> Any:
        return {"namespaces": [self.namespace(name) for name in self.namespaces]}

    async def create_namespace(self, request: Request) -> Any:
        spec = (await request.json())["spec"]
        if not spec["name"].islower():
            return refusal(400, 3, "name: must be small letters; choose another")
        name = f"{spec['name']}.{ACCOUNT}"
        self.writes.append(("POST", "/cloud/namespaces", spec))
        self.namespaces[name] = "ACTIVATING"
        return {"namespace": name, "asyncOperation": {"id": "op-1", "state": "STATE_PENDING"}}

    async def get_namespace(self, request: Request) -> Any:
        name = request.path_params["namespace"]
        if name not in self.namespaces:
            return refusal(404, 5, f"namespace {name!r} was not found")
        answer = {"namespace": self.namespace(name)}
        if self.activates and self.namespaces[name] == "ACTIVATING":
            self.namespaces[name] = "ACTIVE"
        return answer

    def namespace(self, name: str) -> dict[str, Any]:
        return {
            "namespace": name,
            "state": f"RESOURCE_STATE_{self.namespaces[name]}",
            "spec": {"name": name.partition(".")[0], "retentionDays": 30},
            "asyncOperationId": "op-1",
            "resourceVersion": "7",
            "createdTime": "2026-11-20T13:58:01.250Z",
        }

    async def operation(self, request: Request) -> Any:
        reason = "the cell refused the name" if not self.activates else ""
        return {"asyncOperation": {"id": "op-1", "failureReason": reason}}

    async def list_keys(self, request: Request) -> Any:
        return {"apiKeys": self.keys}

    async def create_key(self, request: Request) -> Any:
        given = await request.json()
        self.writes.append(("POST", "/api/v1/api-keys", given))
        spec = {"displayName": given["name"], "expiryTime": given["expires_at"]}
        number = len(self.keys) + 1
        if number > 10:
            return refusal(429, 8, "API keys: at most 10; revoke one")
        self.keys.append(
            {
                "id": f"abcdefghijklmno{number}",
                "resourceVersion": "7",
                "state": "RESOURCE_STATE_ACTIVE",
                "spec": spec,
                "createdTime": "2026-11-20T14:00:00Z",
            }
        )
        return {"key_id": self.keys[-1]["id"], "token": TOKEN}

    async def listed(self, request: Request) -> Any:
        query = request.query_params.get("query", "")
        self.queries.append(query)
        self.page_tokens.append(request.query_params.get("nextPageToken", ""))
        if "BAD" in query:
            return refusal(400, 3, "query: unexpected word BAD at 1; see the query language")
        found = [as_json(each) for each in self.executions]
        return {"executions": found, "nextPageToken": self.next_page}

    async def counted(self, request: Request) -> Any:
        groups: dict[str, int] = {}
        for each in self.executions:
            name = as_json(each)["status"].removeprefix("WORKFLOW_EXECUTION_STATUS_")
            camel = "".join(word.capitalize() for word in name.split("_"))
            groups[camel] = groups.get(camel, 0) + 1
        return {
            "count": str(len(self.executions)),
            "groups": [
                {"groupValues": [status_payload(name)], "count": str(number)}
                for name, number in groups.items()
            ],
        }

    async def listed_queues(self, request: Request) -> Any:
        idle = {"name": "idle", "type": "TASK_QUEUE_TYPE_WORKFLOW", "backlogCountHint": "3"}
        polled = [{**idle, "name": each, "pollerCount": 1} for each in self.polled_queues]
        return {"taskQueues": [idle, *polled]}

    async def described(self, request: Request) -> Any:
        for info in self.executions:
            if info.execution.workflow_id == request.path_params["workflow"]:
                return {
                    "workflowExecutionInfo": as_json(info),
                    "pendingActivities": [as_json(each) for each in self.pending],
                    **({"pendingWorkflowTask": self.pending_task} if self.pending_task else {}),
                }
        return refusal(404, 5, "the workflow was not found")

    async def read_history(self, request: Request) -> Any:
        name = request.path_params["workflow"]
        known = {info.execution.workflow_id: as_json(info)["status"] for info in self.executions}
        events = self.history
        if events is None:
            events = greeting_history(is_closed=not known[name].endswith("RUNNING"))
        if "historyEventFilterType" in request.query_params:
            return history_json(events[-1:])
        return self.page_of(events, request)

    async def read_history_reverse(self, request: Request) -> Any:
        return self.page_of((self.history or [])[::-1], request)

    def page_of(self, events: list[HistoryEvent], request: Request) -> Any:
        self.page_tokens.append(request.query_params.get("nextPageToken", ""))
        start = int(self.page_tokens[-1] or 0)
        end = start + self.events_per_page
        token = str(end) if end < len(events) else ""
        return {**history_json(events[start:end]), "nextPageToken": token}

    async def usage_series(self, request: Request) -> Any:
        first, last = (int(request.query_params[name]) for name in ("from", "to"))
        points = [
            {"hour": hour, "key": key, "name": key, "actions": actions, "cost": "0.0001"}
            for hour, key, actions in self.hours
            if first <= hour < last
        ]
        return {"currency": "USD", "points": points}

    async def usage_cost(self, request: Request) -> Any:
        return {**self.cost, "month": request.query_params["month"]}


def refusal(status: int, code: int, message: str) -> JSONResponse:
    return JSONResponse({"code": code, "message": message, "details": []}, status)


def status_payload(name: str) -> Any:
    return as_json(json_payload(name))


def sample_cost(today: datetime) -> dict[str, Any]:
    """A month so far: some use on every day up to today."""
    days = {
        today.replace(day=d).date().isoformat(): 900 + d * 137 % 700
        for d in range(1, today.day + 1)
    }
    actions = sum(days.values())
    cells = [
        cell("start_workflow", actions // 3, "0.1040"),
        cell("schedule_activity", actions - actions // 3, "0.2080"),
    ]
    return {
        "account_id": ACCOUNT,
        "period_start": today.replace(day=1).date().isoformat() + "T00:00:00Z",
        "as_of": today.isoformat(),
        "currency": "usd",
        "actions": actions,
        "total": "25.31",
        "lines": [
            {"text": "Actions included", "quantity": actions, "per_million": "0", "amount": "0"},
            {"text": "Developer plan", "quantity": None, "per_million": None, "amount": "25.31"},
        ],
        "by_namespace_and_action": cells,
        "by_namespace": totals(cells, "namespace_id", "namespace"),
        "by_action": totals(cells, "action", "action"),
        "by_workflow_type": [
            {"key": "Greeting", "name": "Greeting", "actions": actions, "cost": "0.3120"}
        ],
        "by_day": [{"key": k, "name": k, "actions": v, "cost": "0.0104"} for k, v in days.items()],
    }


def cell(action: str, actions: int, cost: str, namespace: str = NAMESPACE) -> dict[str, Any]:
    return {
        "namespace_id": f"id of {namespace}",
        "namespace": namespace,
        "action": action,
        "actions": actions,
        "cost": cost,
    }


def totals(cells: list[dict[str, Any]], key: str, name: str) -> list[dict[str, Any]]:
    """The shares that cells add up to, the dearest first."""
    found: dict[str, dict[str, Any]] = {}
    for each in cells:
        share = found.setdefault(
            each[key], {"key": each[key], "name": each[name], "actions": 0, "cost": "0"}
        )
        share["actions"] += each["actions"]
        share["cost"] = str(Decimal(share["cost"]) + Decimal(each["cost"]))
    return sorted(found.values(), key=lambda share: -int(share["actions"]))


def populated() -> FakeCloud:
    """An account some way on: workflows in every state, keys, a worker, a month of usage."""
    now = datetime.now(UTC)
    statuses = ["RUNNING", "COMPLETED", "COMPLETED", "FAILED", "TIMED_OUT", "CANCELED"]
    statuses += ["TERMINATED", "CONTINUED_AS_NEW", "COMPLETED"]
    executions = [
        execution(
            f"order-{1042 - number}",
            status,
            started_at=now - timedelta(minutes=7 * number, seconds=11),
            seconds=3.4 * (number + 1),
            events=11 + number * 3,
        )
        for number, status in enumerate(statuses)
    ]
    return FakeCloud(
        namespaces={NAMESPACE: "ACTIVE", f"staging.{ACCOUNT}": "ACTIVATING"},
        executions=executions,
        polled_queues=["hello"],
        cost=sample_cost(now),
        keys=[
            {
                "id": "abcdefghijklmnop",
                "resourceVersion": "7",
                "state": "RESOURCE_STATE_ACTIVE",
                "spec": {"displayName": "orders worker", "expiryTime": "2027-02-18T14:00:00Z"},
                "createdTime": "2026-11-20T14:00:00Z",
            }
        ],
    )
