"""Puts values into the secrets of an installation, once: `python3 infra/secrets ENVIRONMENT`.

They go from here to Secrets Manager and nowhere else. Only what has no value yet gets one. Needs
Python, `aws` and `terraform`, with the credentials that raised the environment.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from values import installation_secrets, role_statements, store_url, verifier

ROLE = "perdure"
STORE = "-store"
TOLD = "file:///dev/stdin"


def main(arguments: Sequence[str] | None = None) -> int:
    given = _arguments(arguments)
    outputs = _outputs(given.environment)
    cloud = Cloud(outputs["secrets"])
    left = []
    for name in sorted(outputs["secrets"]):
        if cloud.has_value(name):
            print(f"{name}: has a value already")
        elif (value := _value(name, given, cloud, outputs["databases"])) is None:
            left.append(name)
        else:
            cloud.put(name, value)
            print(f"{name}: made")
    if left:
        print(f"still without a value: {', '.join(left)}; see --help", file=sys.stderr)
        return 1
    for service in outputs["services"]:
        cloud.start_again(outputs["cluster"], service)
    return 0


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 infra/secrets", description=__doc__)
    parser.add_argument("environment", type=Path, help="a folder of infra/terraform/environments")
    parser.add_argument("--tls-certificate", type=Path, help="the server's, with its chain, PEM")
    parser.add_argument("--tls-key", type=Path, help="its key, PEM")
    parser.add_argument(
        "--value",
        action="append",
        default=[],
        metavar="NAME=FILE",
        type=lambda text: text.partition("=")[::2],
        help="the value of another secret, such as smtp, from a file",
    )
    return parser.parse_args(arguments)


def _outputs(environment: Path) -> dict[str, Any]:
    told = _run(["terraform", f"-chdir={environment}", "output", "-json"])
    return {name: output["value"] for name, output in json.loads(told).items()}


def _value(
    name: str, given: argparse.Namespace, cloud: Cloud, databases: Mapping[str, Mapping[str, str]]
) -> str | None:
    """None where somebody else has to say it."""
    if name == "installation":
        return installation_secrets()
    if name == "tls" and given.tls_certificate and given.tls_key:
        pair = {"certificate": given.tls_certificate, "key": given.tls_key}
        return json.dumps({part: path.read_text() for part, path in pair.items()})
    database = databases.get(name.removesuffix(STORE)) if name.endswith(STORE) else None
    if database is not None:
        return _role_made(cloud, database)
    return next((Path(file).read_text().strip() for it, file in given.value if it == name), None)


def _role_made(cloud: Cloud, database: Mapping[str, str]) -> str:
    """The URL for a role that owns nothing but what it makes itself in the database."""
    password, url = store_url(ROLE, database["address"], database["database"])
    for statement in role_statements(ROLE, database["database"], verifier(password)):
        cloud.execute(database, statement)
    return url


class Cloud:
    """What is asked of AWS. Values go by standard input: command lines are for all to see."""

    def __init__(self, arns: Mapping[str, str]) -> None:
        self._arns = arns

    def has_value(self, name: str) -> bool:
        told = _aws("secretsmanager", "list-secret-version-ids", "--secret-id", self._arns[name])
        return bool(json.loads(told).get("Versions"))

    def put(self, name: str, value: str) -> None:
        options = ["--secret-id", self._arns[name], "--secret-string", TOLD]
        _aws("secretsmanager", "put-secret-value", *options, told=value)

    def execute(self, database: Mapping[str, str], statement: str) -> None:
        options = ["--resource-arn", database["cluster_arn"], "--database", database["database"]]
        options += ["--secret-arn", database["administrator_secret_arn"], "--sql", TOLD]
        _aws("rds-data", "execute-statement", *options, told=statement)

    def start_again(self, cluster: str, service: str) -> None:
        """A task cannot start before its secrets have values, and ECS gives up trying."""
        options = ["--cluster", cluster, "--service", service, "--force-new-deployment"]
        _aws("ecs", "update-service", *options)


def _aws(*command: str, told: str = "") -> str:
    return _run(["aws", *command, "--output", "json"], told)


def _run(command: Sequence[str], told: str = "") -> str:
    done = subprocess.run(  # noqa: S603 - the words are constants and names of our own outputs
        command, input=told, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(command[:3])}: {done.stderr.strip()}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
