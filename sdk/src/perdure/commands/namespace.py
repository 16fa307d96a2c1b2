"""`perdure namespace`: the namespaces of an account."""

from __future__ import annotations

import argparse
import json
from uuid import uuid4

from perdure.protojson import pruned
from perdure.transport import Transport

EXIT_DONE = 0


def add_arguments(parser: argparse.ArgumentParser, shared: argparse.ArgumentParser) -> None:
    """The verbs and what each takes."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    verbs.add_parser("list", parents=[shared], help="all namespaces")
    verbs.add_parser("describe", parents=[shared], help="the namespace as JSON")
    create = verbs.add_parser("create", parents=[shared], help="make a namespace")
    create.add_argument("name", help="its name, without the account id")
    create.add_argument("--region", help="where it lives; without, where the cloud puts it")
    create.add_argument(
        "--retention-days",
        type=int,
        metavar="DAYS",
        help="how long closed workflows are kept",
    )


async def run(arguments: argparse.Namespace, transport: Transport) -> int:
    """Carry out one verb and print its outcome."""
    if arguments.verb == "list":
        await _list(transport)
    elif arguments.verb == "describe":
        answer = await transport.call("GET", f"/cloud/namespaces/{arguments.namespace}")
        print(json.dumps(answer.get("namespace", {}), indent=2))
    else:
        spec = pruned(
            name=arguments.name,
            regions=[arguments.region] if arguments.region else None,
            retentionDays=arguments.retention_days,
        )
        body = {"spec": spec, "asyncOperationId": str(uuid4())}
        answer = await transport.call("POST", "/cloud/namespaces", body=body)
        print(answer.get("namespace", ""))
    return EXIT_DONE


async def _list(transport: Transport) -> None:
    token = ""
    while True:
        answer = await transport.call("GET", "/cloud/namespaces", query={"pageToken": token})
        for item in answer.get("namespaces", ()):
            state = str(item.get("state", "")).removeprefix("RESOURCE_STATE_").lower()
            print(f"{item.get('namespace', '')}  {state}".rstrip())
        token = answer.get("nextPageToken", "")
        if not token:
            return
