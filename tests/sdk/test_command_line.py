"""The command `perdure`, and how light the package is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import httpx
import pytest

import perdure
from perdure import cli
from perdure.client import Client
from perdure.commands import dev
from perdure.converter import JsonPayloadConverter
from perdure.exceptions import RPCStatusCode
from perdure.protojson import Message
from tests.sdk.door import Door, Refusal

Run = Callable[..., int]


@pytest.fixture
def door() -> Door:
    return Door()


@pytest.fixture
def run(door: Door, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs one command against the door; notes what the client was made with."""

    async def connect(address: str, **options: Any) -> Client:
        assert address == "cloud.example:443"
        assert options == {"namespace": "shop.a1", "api_key": "key-1", "tls": True}
        return door.client()

    monkeypatch.setattr(Client, "connect", connect)
    monkeypatch.setenv("PERDURE_ADDRESS", "cloud.example:443")
    monkeypatch.setenv("PERDURE_API_KEY", "key-1")
    shared = ("--namespace", "shop.a1")
    return lambda *arguments: cli.main([*arguments, *shared])


def payloads(*values: Any) -> Message:
    return JsonPayloadConverter().to_payloads(values) or {}


def asked(door: Door, method: str) -> Message:
    return door.calls[method].get_nowait()


def test_a_start_prints_the_run(door: Door, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    door.answers["StartWorkflowExecution"] = lambda _: {"runId": "run-1"}
    arguments = ("Greeting", "--task-queue", "q", "--workflow-id", "w", "--input", '{"a": 1}')
    assert run("workflow", "start", *arguments) == 0
    assert capsys.readouterr().out == "w run-1\n"
    request = asked(door, "StartWorkflowExecution")
    assert request["input"] == payloads({"a": 1})


def test_a_list_is_a_table(door: Door, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    info = {
        "execution": {"workflowId": "order-1", "runId": "r"},
        "type": {"name": "Order"},
        "status": "WORKFLOW_EXECUTION_STATUS_TIMED_OUT",
        "startTime": "2026-01-31T01:02:03Z",
        "taskQueue": "q",
    }
    door.answers["ListWorkflowExecutions"] = lambda _: {"executions": [info]}
    assert run("workflow", "list", "--query", "x = 1") == 0
    assert capsys.readouterr().out == (
        "STATUS     WORKFLOW  TYPE   QUEUE  STARTED\n"
        "TIMED_OUT  order-1   Order  q      2026-01-31 01:02:03\n"
    )
    assert asked(door, "ListWorkflowExecutions")["query"] == "x = 1"


def test_a_history_is_shown_event_by_event(
    door: Door, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    event = {
        "eventId": "1",
        "eventType": "EVENT_TYPE_WORKFLOW_EXECUTION_STARTED",
        "eventTime": "2026-01-31T01:02:03.500Z",
    }
    door.answers["GetWorkflowExecutionHistory"] = lambda _: {"history": {"events": [event]}}
    assert run("workflow", "show", "w") == 0
    shown = capsys.readouterr().out
    assert shown == "     1  2026-01-31T01:02:03.500  WORKFLOW_EXECUTION_STARTED\n"
    assert run("workflow", "show", "w", "--json") == 0
    assert json.loads(capsys.readouterr().out)["events"][0]["eventId"] == "1"


def test_signal_query_cancel_and_terminate_reach_the_workflow(
    door: Door, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    door.answers["QueryWorkflow"] = lambda _: {"queryResult": payloads([1])}
    assert run("workflow", "signal", "w", "add", "--input", '"x"') == 0
    assert run("workflow", "query", "w", "items") == 0
    assert run("workflow", "cancel", "w", "--reason", "enough") == 0
    assert run("workflow", "terminate", "w", "--run-id", "r") == 0
    assert capsys.readouterr().out == "[1]\n"
    assert asked(door, "SignalWorkflowExecution")["input"] == payloads("x")
    assert asked(door, "RequestCancelWorkflowExecution")["reason"] == "enough"
    execution = asked(door, "TerminateWorkflowExecution")["workflowExecution"]
    assert execution == {"workflowId": "w", "runId": "r"}


def test_a_result_is_printed_as_json_and_a_failure_is_told(
    door: Door, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    events = [
        {
            "eventType": "EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED",
            "workflowExecutionCompletedEventAttributes": {"result": payloads({"a": 1})},
        },
        {
            "eventType": "EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED",
            "workflowExecutionTerminatedEventAttributes": {"reason": "by hand"},
        },
    ]
    door.answers["GetWorkflowExecutionHistory"] = lambda _: {"history": {"events": [events.pop(0)]}}
    assert run("workflow", "result", "w") == 0
    assert capsys.readouterr().out == '{"a": 1}\n'
    assert run("workflow", "result", "w") == cli.EXIT_FAILED
    assert "by hand" in capsys.readouterr().err


def test_a_description_is_the_wire_message(
    door: Door, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = {"workflowExecutionInfo": {"execution": {"workflowId": "w", "runId": "r"}}}
    door.answers["DescribeWorkflowExecution"] = lambda _: answer
    assert run("workflow", "describe", "w") == 0
    assert json.loads(capsys.readouterr().out) == answer


def test_namespaces_are_made_and_listed(
    door: Door, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    door.answers["CreateNamespace"] = lambda _: {"namespace": "shop.a1"}
    assert run("namespace", "create", "shop", "--retention-days", "7") == 0
    spec = asked(door, "CreateNamespace")["spec"]
    assert spec == {"name": "shop", "retentionDays": 7}
    namespaces = [{"namespace": "shop.a1", "state": "RESOURCE_STATE_ACTIVE"}]
    door.answers["GetNamespaces"] = lambda _: {"namespaces": namespaces}
    assert run("namespace", "list") == 0
    door.answers["GetNamespace"] = lambda _: {"namespace": namespaces[0]}
    assert run("namespace", "describe") == 0
    made, listed, *described = capsys.readouterr().out.splitlines()
    assert (made, listed) == ("shop.a1", "shop.a1  active")
    assert json.loads("".join(described))["namespace"] == "shop.a1"


def test_an_absent_cloud_is_told_soon(
    door: Door, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(_: Message) -> Message:
        raise httpx.ConnectError("refused")

    door.answers["DescribeWorkflowExecution"] = answer
    assert run("workflow", "describe", "w") == cli.EXIT_UNREACHABLE
    assert "cannot be reached" in capsys.readouterr().err
    assert sum(door.waits) <= cli.RETRY_SECONDS_MAX


def test_errors_go_to_standard_error_with_a_code_of_their_class(
    door: Door, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_: Message) -> Message:
        raise Refusal(RPCStatusCode.NOT_FOUND, "workflow not found for ID: w")

    door.answers["DescribeWorkflowExecution"] = refuse
    assert run("workflow", "describe", "w") == cli.EXIT_NOT_FOUND
    streams = capsys.readouterr()
    assert streams.out == ""
    assert streams.err == "perdure: workflow not found for ID: w (NOT_FOUND)\n"
    assert run("workflow", "signal", "w", "s", "--input", "plain") == cli.EXIT_FAILED
    assert "is no JSON" in capsys.readouterr().err


def test_help_does_not_show_the_key(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PERDURE_API_KEY", "secret-key")
    with pytest.raises(SystemExit):
        cli.main(["workflow", "list", "--help"])
    assert "secret-key" not in capsys.readouterr().out


def test_dev_becomes_the_server_with_the_arguments_that_follow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    executed: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda _, command: executed.append(command))
    monkeypatch.setattr(dev, "distribution", lambda _: None)
    cli.main(["dev", "--port", "9"])
    assert executed == [[sys.executable, "-m", "api", "up", "--port", "9"]]


def test_dev_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(dev, "SERVER_DISTRIBUTION", "perdure-that-is-not-here")
    assert cli.main(["dev"]) == dev.EXIT_NOT_INSTALLED
    assert "perdure-that-is-not-here" in capsys.readouterr().err


@pytest.mark.parametrize(
    "program",
    ["import perdure", "import perdure; perdure.workflow, perdure.Worker", "import perdure.cli"],
)
def test_importing_loads_no_heavy_module(program: str) -> None:
    heavy = ("httpx", "cryptography", "google.protobuf", "temporalio", "ssl")
    check = f"{program}; import sys; print([n for n in {heavy} if n in sys.modules])"
    loaded = subprocess.run(
        [sys.executable, "-I", "-c", check], check=True, capture_output=True, text=True
    )
    allowed = "['ssl']" if "ssl" in loaded.stdout else "[]"
    assert loaded.stdout.strip() == allowed


def test_the_package_alone_loads_only_what_is_asked_for() -> None:
    check = "import perdure, sys; print([n for n in sys.modules if n.startswith('perdure.')])"
    loaded = subprocess.run(
        [sys.executable, "-I", "-c", check], check=True, capture_output=True, text=True
    )
    assert loaded.stdout.strip() == "[]"
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        perdure.Nothing  # noqa: B018
