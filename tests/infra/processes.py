"""What the cloud's processes are told where Terraform raises them, read without Terraform."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from string import Template
from types import ModuleType
from typing import Any

from tests.house.tree import ROOT

INFRA = ROOT / "infra"
INSTALLATION = INFRA / "terraform/modules/installation"
START = INFRA / "container/start"
CELL = "cell-1"

# What modules/installation fills in, as one installation has it.
FACTS = {
    "base_domain": "eu.cloud.example.com",
    "mail_from": "perdure@example.com",
    "control_plane": "control-plane.perdure.internal",
    "cell_map": "cell-1=eu-central-1@cell-1.perdure.internal:8235",
    "cell": CELL,
}
# Values in the form of what an operator puts in.
SECRETS = {
    "PERDURE_SMTP_URL": "smtps://perdure:invented@mail.example.com:465",
    "PERDURE_STRIPE_KEY": "sk_test_invented",
    "PERDURE_STRIPE_WEBHOOK_SECRET": "whsec_invented",
    "PERDURE_STORE": "postgresql://perdure:invented@db.example.com:5432/perdure?sslmode=require",
}


@dataclass(frozen=True, slots=True)
class Told:
    """One process as its task has it. `secrets` are the names of secrets by variable."""

    name: str
    command: tuple[str, ...]
    options: Mapping[str, str]
    environment: Mapping[str, str]
    secrets: Mapping[str, str]
    ports: Mapping[str, int]
    probe: str


def processes() -> Iterator[Told]:
    text = Template((INSTALLATION / "processes.json").read_text()).substitute(FACTS)
    told: Mapping[str, Mapping[str, Any]] = json.loads(text)
    for name, it in told.items():
        words = [word for pair in it["options"].items() for word in pair if word]
        yield Told(
            name=name,
            command=(it["verb"], *words),
            options=it["options"],
            environment=it["environment"],
            secrets=it["secrets"],
            ports=it["ports"],
            probe=it["probe"],
        )


def taken_by_start() -> frozenset[str]:
    """The variables that the image's start puts into files."""
    unset = re.search(r"^unset (.+)$", START.read_text(), re.MULTILINE)
    assert unset is not None
    return frozenset(unset[1].split())


def values() -> ModuleType:
    """What an operator makes secrets with."""
    spec = importlib.util.spec_from_file_location("values", INFRA / "secrets/values.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
