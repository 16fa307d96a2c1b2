"""An environment raised for real, though not by AWS: what is asked of it is accepted and kept."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from api.config import read_config
from api.installation import installation
from api.local_postgres import LocalPostgres
from tests.infra.aws_stand_in import aws_stand_in
from tests.infra.processes import INFRA, Told, processes, values
from tests.infra.secret_search import secrets_in
from tests.infra.workbench import TERRAFORM, bench, initialised, run, terraform
from tests.tls.pki import authority

SETTINGS = """
region = "eu-central-1"
domain = "cloud.example.com"
image  = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/perdure@sha256:{}"
""".format("0" * 64)
LOCAL_STATE = 'terraform {\n  backend "local" {}\n}\n'
# The stand-in cannot list the tags of what is scaled, which the provider asks for.
NOT_SCALED = 'resource "aws_appautoscaling_target" "this" {\n  for_each = {}\n}\n'


def test_a_secret_in_a_state_would_be_noticed() -> None:
    made = values()
    password, url = made.store_url("perdure", "db.example.com", "perdure")
    key = "-----BEGIN EC PRIVATE KEY-----\nMHc"
    for secret in (made.installation_secrets(), password, url, made.verifier(password), key):
        assert list(secrets_in({"resources": [{"value": secret}]})) == [".resources[0].value"]
    assert list(secrets_in({"master_password": "x"})) == [".master_password"]
    digest = "perdure@sha256:" + "0" * 64
    assert list(secrets_in({"image": digest, "master_password": None})) == []


def test_a_made_role_logs_in_and_makes_its_schemas(postgres_server: LocalPostgres) -> None:
    made = values()
    role, database = "made_for_infra", "raised"
    password, _ = made.store_url(role, "localhost", database)
    administrator = postgres_server.url("postgres")
    rules = postgres_server.folder / "data/pg_hba.conf"
    with psycopg.connect(administrator, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {database}".encode())
        for _ in range(2):
            for statement in made.role_statements(role, database, made.verifier(password)):
                connection.execute(statement.encode())
        rules.write_text(f"local all {role} scram-sha-256\n{rules.read_text()}")
        connection.execute("SELECT pg_reload_conf()")
    url = make_conninfo(administrator, dbname=database, user=role, password=password)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA engine")
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(make_conninfo(url, password="another"))


@pytest.mark.deep
def test_an_environment_is_raised_and_filled_and_its_state_has_no_secret(tmp_path: Path) -> None:
    programs, terraform_program = bench(), terraform()
    tree = shutil.copytree(TERRAFORM, tmp_path / "terraform")
    folder = tree / "environments/dev"
    (folder / "stand_in_override.tf").write_text(LOCAL_STATE)
    (folder / "test.auto.tfvars").write_text(SETTINGS)
    (tree / "modules/service/stand_in_override.tf").write_text(NOT_SCALED)
    initialised(folder)
    with aws_stand_in(programs) as environment:

        def told(*command: str) -> str:
            done = run([terraform_program, *command], folder, environment)
            assert done.returncode == 0, done.stderr
            return done.stdout

        told("plan", "-input=false", "-no-color", "-out=plan")
        plan = json.loads(told("show", "-json", "plan"))
        told("apply", "-input=false", "-no-color", "-parallelism=20", "plan")
        state = json.loads((folder / "terraform.tfstate").read_text())
        assert list(secrets_in(plan)) == []
        assert list(secrets_in(state)) == []
        check_resources(resources_of(state))
        outputs = {name: it["value"] for name, it in state["outputs"].items()}
        fill(folder, environment, tmp_path)
        kept = {name: value_of(arn, environment) for name, arn in outputs["secrets"].items()}
        told("refresh", "-input=false", "-no-color")
        refreshed = json.loads((folder / "terraform.tfstate").read_text())
    check_values(kept, tmp_path)
    assert list(secrets_in(refreshed)) == []
    assert not any(value in json.dumps(refreshed) for value in kept.values())


Resources = dict[str, list[dict[str, Any]]]


def resources_of(state: Mapping[str, Any]) -> Resources:
    found: Resources = {}
    for resource in state["resources"]:
        instances = [instance["attributes"] for instance in resource["instances"]]
        found.setdefault(resource["type"], []).extend(instances)
    return found


def check_resources(raised: Resources) -> None:
    """Every process runs as it is described, and strangers get as far as its TLS."""
    tasks = {
        container["name"]: container
        for task in raised["aws_ecs_task_definition"]
        for container in json.loads(task["container_definitions"])
    }
    described = {"cell-1" if it.name == "cell" else it.name: it for it in processes()}
    assert tasks.keys() == described.keys() | {"collector"}
    for name, process in described.items():
        check_task(tasks[name], process)
    assert {it["name"] for it in raised["aws_ecs_service"]} == described.keys()
    (listener,) = raised["aws_lb_listener"]
    assert (listener["protocol"], listener["port"]) == ("TCP", 443)
    assert len(raised["aws_vpc_endpoint_service"]) == 1
    assert len(raised["aws_rds_cluster"]) == 2
    assert all(it["manage_master_user_password"] for it in raised["aws_rds_cluster"])
    assert {it["name"] for it in raised["aws_route53_record"]} == {
        "eu.cloud.example.com",
        "*.eu.cloud.example.com",
    }


def check_task(task: Mapping[str, Any], process: Told) -> None:
    words = task["command"]
    assert words[0] == process.command[0]
    given = dict(zip(words[1::2], words[2::2], strict=True))
    assert given.keys() == process.options.keys()
    assert {it["name"] for it in task["secrets"]} == process.secrets.keys()
    assert {it["name"] for it in task["environment"]} == process.environment.keys()
    assert {it["containerPort"] for it in task["portMappings"]} == set(process.ports.values())
    # What was filled in is taken by the product as well.
    read_config(words, {})


def fill(folder: Path, environment: Mapping[str, str], scratch: Path) -> None:
    """As an operator does it, and once more, which changes nothing."""
    certificate, key = authority().written(scratch)
    stripe = {"key": "sk_test_invented", "webhook_secret": "whsec_invented"}
    (scratch / "stripe").write_text(json.dumps(stripe))
    (scratch / "smtp").write_text("smtps://perdure:invented@mail.example.com:465\n")
    command: list[str | Path] = [sys.executable, INFRA / "secrets", folder]
    done = run(command, folder, environment)
    assert done.returncode == 1
    assert "smtp, stripe, tls" in done.stderr
    command += ["--tls-certificate", certificate, "--tls-key", key]
    for name in ("smtp", "stripe"):
        command += ["--value", f"{name}={scratch / name}"]
    done = run(command, folder, environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("has a value already") == 3


def value_of(arn: str, environment: Mapping[str, str]) -> str:
    words = ["--secret-id", arn, "--query", "SecretString", "--output", "text"]
    done = run(["aws", "secretsmanager", "get-secret-value", *words], Path.cwd(), environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def check_values(kept: Mapping[str, str], scratch: Path) -> None:
    """They are what the processes read, by the way that they get them in a task."""
    given = json.loads(kept["tls"])
    environment = {
        "PERDURE_DATA": str(scratch / "data"),
        "PERDURE_PYTHON": "true",
        "PERDURE_SECRETS": kept["installation"],
        "PERDURE_TLS_CERTIFICATE": given["certificate"],
        "PERDURE_TLS_KEY": given["key"],
    }
    (scratch / "data").mkdir(mode=0o700)
    subprocess.run([INFRA / "container/start", "frontend"], env=environment, check=True)
    with installation(scratch / "data") as held:
        assert held.secrets.pepper.hex() in kept["installation"]
    stores = {name: url for name, url in kept.items() if name.endswith("-store")}
    assert len(set(stores.values())) == len(stores) == 2
    for url in stores.values():
        assert read_config(["cell"], {"PERDURE_STORE": url}).store == url
