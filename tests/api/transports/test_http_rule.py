"""Every published method is reached by its own paths, and paths and queries fill requests."""

from __future__ import annotations

import random
from itertools import combinations
from typing import Any
from urllib.parse import quote

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.cloud.cloudservice.v1 import GetUsageRequest, GetUsersRequest
from temporalio.api.cloud.cloudservice.v1 import service_pb2 as cloud
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import HistoryEventFilterType, TaskReachability
from temporalio.api.operatorservice.v1 import service_pb2 as operator
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    GetWorkerTaskReachabilityRequest,
    GetWorkflowExecutionHistoryRequest,
    PollWorkflowTaskQueueRequest,
    SignalWorkflowExecutionRequest,
    StartWorkflowExecutionRequest,
)
from temporalio.api.workflowservice.v1 import service_pb2 as workflow

from api.transports.errors import (
    InvalidJson,
    InvalidPath,
    InvalidProtobuf,
    InvalidQuery,
    RouteCollision,
    UnexpectedBody,
    UnsupportedMediaType,
)
from api.transports.http_binding import answer_type, bind, media_type
from api.transports.http_fields import DOOR_PARAMETERS, QUERY_PARAMETERS_MAX, apply_query
from api.transports.http_rule import (
    EXTRA_BINDINGS,
    NAMESPACE_PREFIXES,
    Binding,
    Match,
    Route,
    Router,
    derive_routes,
)
from api.transports.json_codec import JsonCodec

SERVICES = [
    service
    for module in (workflow, operator, cloud)
    for service in module.DESCRIPTOR.services_by_name.values()
]
METHODS = {method.full_name: method for service in SERVICES for method in service.methods}
ROUTES = derive_routes(SERVICES)
ROUTER = Router(ROUTES)
CODEC = JsonCodec()
WORKFLOW_SERVICE = workflow.DESCRIPTOR.services_by_name["WorkflowService"]
NAMESPACE = b"/api/v1/namespaces/orders.acme"
VALUES = ["a", "a/b", "100%", "cancel", "ü ✓", "..", "a?b#c", "+", "{x}", "workflows"]


def matched(verb: str, raw_path: bytes) -> Match:
    match = ROUTER.match(verb, raw_path)
    assert match is not None
    return match


def test_every_route_is_reached_by_its_own_template() -> None:
    chance = random.Random("paths")
    for route in ROUTES:
        path, values = route.template, {}
        for name in route.path_fields:
            values[name] = chance.choice(VALUES)
            path = path.replace(f"{{{name}}}", quote(values[name], safe=""), 1)
        assert ROUTER.match(route.verb, path.encode()) == Match(route, values)
        assert route.verb in ROUTER.verbs(path.encode())


def test_every_method_is_reached_by_its_name() -> None:
    for service in SERVICES:
        for method in service.methods:
            path = f"/{service.full_name}/{method.name}".encode()
            assert matched("POST", path).route.method_full_name == method.full_name


def test_every_published_binding_is_a_route_and_every_extra_one_names_a_method() -> None:
    reached = {route.method_full_name for route in ROUTES if "/v1/" in route.template}
    annotated = {m for m, method in METHODS.items() if method.GetOptions().ListFields()}
    published = derive_routes(SERVICES, bindings=())
    by_path = {r.method_full_name for r in published if not r.template.startswith("/temporal.")}
    assert by_path <= annotated
    assert len(by_path) == 100 + 6 + 76
    for binding in EXTRA_BINDINGS:
        assert binding.method in METHODS
        assert binding.method in reached - by_path


def overlaps(one: Route, other: Route) -> bool:
    ours, theirs = one.template.split("/"), other.template.split("/")
    return len(ours) == len(theirs) and all(
        a == b or a.startswith("{") or b.startswith("{") for a, b in zip(ours, theirs, strict=True)
    )


def test_no_two_routes_of_one_verb_answer_to_a_common_path() -> None:
    for one, other in combinations(ROUTES, 2):
        assert one.verb != other.verb or not overlaps(one, other), (one, other)


def test_colliding_bindings_are_refused_when_the_table_is_built() -> None:
    taken = Binding(
        f"{WORKFLOW_SERVICE.full_name}.ShutdownWorker", "POST", "/workflows/{sticky_task_queue}"
    )
    with pytest.raises(RouteCollision, match=r"\{sticky_task_queue\} is also .*\{workflow_id\}"):
        Router(derive_routes([WORKFLOW_SERVICE], bindings=[taken]))


def test_a_binding_with_a_variable_that_names_no_field_is_refused() -> None:
    wrong = Binding(f"{WORKFLOW_SERVICE.full_name}.ShutdownWorker", "POST", "/x/{nothing}")
    with pytest.raises(InvalidQuery, match="nothing"):
        derive_routes([WORKFLOW_SERVICE], bindings=[wrong])


@pytest.mark.parametrize("prefix", NAMESPACE_PREFIXES)
def test_an_encoded_slash_stays_in_its_variable(prefix: str) -> None:
    path = prefix.replace("{namespace}", "orders.acme") + "/workflows/a%2Fb/history"
    assert matched("GET", path.encode()).variables == {
        "namespace": "orders.acme",
        "execution.workflow_id": "a/b",
    }


@pytest.mark.parametrize(
    "path",
    [
        b"",
        b"/",
        b"/unknown",
        NAMESPACE + b"/workflows//history",
        NAMESPACE + b"/workflows/w/history/",
        b"/api/v1/namespaces//workflows/w/history",
        b"//api/v1/namespaces/n/workflows/w/history",
        NAMESPACE + b"/workflows/w/histor%79",
    ],
)
def test_a_path_with_an_empty_or_unknown_segment_has_no_route(path: bytes) -> None:
    assert ROUTER.match("GET", path) is None
    assert ROUTER.verbs(path) == frozenset()


@pytest.mark.parametrize("segment", [b"%", b"%f", b"%zz", b"%ff", b"\xff"])
def test_an_ill_encoded_variable_is_refused(segment: bytes) -> None:
    with pytest.raises(InvalidPath, match=r"execution\.workflow_id"):
        ROUTER.match("GET", NAMESPACE + b"/workflows/" + segment)


def test_a_wrong_verb_is_told_which_verbs_there_are() -> None:
    path = NAMESPACE + b"/workflows/w"
    assert ROUTER.match("PUT", path) is None
    assert ROUTER.verbs(path) == {"GET", "POST", "DELETE"}


def test_a_query_names_fields_in_either_spelling() -> None:
    request = GetWorkflowExecutionHistoryRequest()
    apply_query(
        request,
        b"execution.runId=r%2B1+%C3%BC&wait_new_event=true&maximumPageSize=20&nextPageToken=AP-_"
        b"&historyEventFilterType=HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT&pretty&timeout=5",
    )
    assert request == GetWorkflowExecutionHistoryRequest(
        execution=WorkflowExecution(run_id="r+1 ü"),
        wait_new_event=True,
        maximum_page_size=20,
        next_page_token=b"\x00\xff\xbf",
        history_event_filter_type=HistoryEventFilterType.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT,
    )


@pytest.mark.parametrize("spelling", ["2", "TASK_REACHABILITY_EXISTING_WORKFLOWS"])
def test_a_query_gives_enums_by_name_or_number_and_lists_by_repetition(spelling: str) -> None:
    request = GetWorkerTaskReachabilityRequest(build_ids=["replaced"])
    apply_query(request, f"buildIds=a&reachability={spelling}&buildIds=b".encode())
    existing = TaskReachability.TASK_REACHABILITY_EXISTING_WORKFLOWS
    assert request == GetWorkerTaskReachabilityRequest(build_ids=["a", "b"], reachability=existing)


def test_a_query_gives_times_and_durations_as_text() -> None:
    usage = GetUsageRequest()
    apply_query(usage, b"startTimeInclusive=2026-11-01T00:00:00Z")
    assert usage.start_time_inclusive == Timestamp(seconds=1793491200)
    start = StartWorkflowExecutionRequest()
    apply_query(start, b"workflowRunTimeout=1.5s")
    assert start.workflow_run_timeout == Duration(seconds=1, nanos=500_000_000)


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        (b"nope=1", "'nope': no such field"),
        (b"execution.nope=1", "'execution.nope': no such field"),
        (b"execution=1", "can only be set in a body"),
        (b"maximumPageSize.x=1", "has no fields"),
        (b"maximumPageSize=x", "maximum_page_size: not a whole number"),
        (b"maximumPageSize=2147483648", "maximum_page_size: not a whole number"),
        (b"maximumPageSize=1&maximum_page_size=2", "given 2 times"),
        (b"waitNewEvent=1", "wait_new_event: expected"),
        (b"nextPageToken=%25", "next_page_token: not base64"),
        (b"historyEventFilterType=Nope", "'Nope' is no value"),
        (b"execution.runId=%ff", "not percent-encoded UTF-8"),
        (b"execution.runId=\xc3\xbc", "not percent-encoded UTF-8"),
        (b"&".join([b"pretty=1"] * (QUERY_PARAMETERS_MAX + 1)), "more than"),
    ],
)
def test_a_query_that_does_not_fit_is_refused_by_name(query: bytes, problem: str) -> None:
    with pytest.raises(InvalidQuery) as refusal:
        apply_query(GetWorkflowExecutionHistoryRequest(), query)
    assert problem in str(refusal.value)


def test_no_request_has_a_field_that_the_door_takes_for_itself() -> None:
    for method in METHODS.values():
        spellings = {s for f in method.input_type.fields for s in (f.name, f.json_name)}
        assert not spellings & DOOR_PARAMETERS


def bound(request_type: Any, verb: str, path: bytes, body: bytes = b"", **more: Any) -> Any:
    query, content_type = more.get("query", b""), more.get("content_type", "application/json")
    match = matched(verb, path)
    return bind(match, body, query, request_type, codec=CODEC, content_type=content_type)


def test_the_path_overrides_the_body() -> None:
    path = NAMESPACE + b"/workflows/order-7"
    body = b'{"namespace": "orders.acme", "workflowId": "w", "input": [7], "identity": "me"}'
    request = bound(StartWorkflowExecutionRequest, "POST", path, body)
    assert (request.namespace, request.workflow_id) == ("orders.acme", "order-7")
    assert request.identity == "me"
    assert request.input.payloads[0].data == b"7"


def test_a_body_may_not_name_another_namespace_than_the_path() -> None:
    path = NAMESPACE + b"/workflows/order-7"
    with pytest.raises(InvalidPath, match="namespace: the body names another"):
        bound(StartWorkflowExecutionRequest, "POST", path, b'{"namespace": "foreign"}')


def test_a_call_that_takes_no_body_refuses_one() -> None:
    path = NAMESPACE + b"/workflows/w/history"
    with pytest.raises(UnexpectedBody, match="GET takes no body"):
        bound(GetWorkflowExecutionHistoryRequest, "GET", path, b"{}")


@pytest.mark.parametrize(
    ("accept", "content_type", "form"),
    [
        ("", "", "application/json"),
        ("*/*", "application/x-protobuf", "application/x-protobuf"),
        ("application/json", "application/x-protobuf", "application/json"),
        ("text/html, application/x-protobuf;q=0.9", "", "application/x-protobuf"),
        ("application/JSON+pretty", "", "application/json+pretty"),
        ("text/html", "text/plain", "application/json"),
    ],
)
def test_the_answer_has_the_first_acceptable_form(
    accept: str, content_type: str, form: str
) -> None:
    assert answer_type(accept, content_type) == media_type(form)


def test_nested_variables_join_what_the_body_says_beside_them() -> None:
    path = NAMESPACE + b"/workflows/w/signal/stop"
    body = b'{"workflowExecution": {"runId": "r"}}'
    request = bound(SignalWorkflowExecutionRequest, "POST", path, body)
    assert (request.workflow_execution.workflow_id, request.signal_name) == ("w", "stop")
    assert request.workflow_execution.run_id == "r"


@pytest.mark.parametrize("name", ["namespace", "execution.workflowId", "execution.workflow_id"])
def test_a_query_may_not_name_what_the_path_has_set(name: str) -> None:
    path = NAMESPACE + b"/workflows/w/history"
    with pytest.raises(InvalidQuery, match="already given by the path"):
        bound(GetWorkflowExecutionHistoryRequest, "GET", path, query=f"{name}=foreign".encode())


def test_a_poll_is_read_from_protobuf() -> None:
    path = NAMESPACE + b"/task-queues/q/poll-workflow-task"
    body = PollWorkflowTaskQueueRequest(identity="me").SerializeToString()
    media = "application/x-protobuf"
    request = bound(PollWorkflowTaskQueueRequest, "POST", path, body, content_type=media)
    assert request == PollWorkflowTaskQueueRequest(
        namespace="orders.acme", task_queue=TaskQueue(name="q"), identity="me"
    )


@pytest.mark.parametrize(
    ("content_type", "input_json"),
    [
        ("application/json; charset=utf-8", "[7]"),
        ("Application/JSON+pretty", "[7]"),
        ("", "[7]"),
        (
            "application/json+no-payload-shorthand",
            '{"payloads": [{"metadata": {"encoding": "anNvbi9wbGFpbg=="}, "data": "Nw=="}]}',
        ),
    ],
)
def test_the_content_type_says_how_payloads_are_read(content_type: str, input_json: str) -> None:
    path = NAMESPACE + b"/workflows/w"
    body = f'{{"input": {input_json}}}'.encode()
    request = bound(StartWorkflowExecutionRequest, "POST", path, body, content_type=content_type)
    assert request.input.payloads[0].data == b"7"
    assert request.input.payloads[0].metadata == {"encoding": b"json/plain"}


@pytest.mark.parametrize(
    ("content_type", "body", "error"),
    [
        ("text/plain", b"{}", UnsupportedMediaType),
        ("application/x-protobuf", b"\xff", InvalidProtobuf),
        ("application/json+pretty+no-payload-shorthand", b'{"input": [7]}', InvalidJson),
    ],
)
def test_a_body_that_is_not_what_it_says_is_refused(
    content_type: str, body: bytes, error: type[Exception]
) -> None:
    path = NAMESPACE + b"/workflows/w"
    with pytest.raises(error):
        bound(StartWorkflowExecutionRequest, "POST", path, body, content_type=content_type)


def test_a_call_without_a_body_needs_no_content_type() -> None:
    assert bound(
        GetUsersRequest, "GET", b"/cloud/users", content_type="text/plain", query=b"pageSize=3"
    ) == GetUsersRequest(page_size=3)
