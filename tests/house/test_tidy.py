"""The style guide as a test: every rule over every Python file, minus the ratchet's exceptions."""

from __future__ import annotations

import tomllib
from functools import cache
from typing import TypedDict

import pytest

from tests.house.rules import RULES
from tests.house.source import Finding, Source
from tests.house.tree import ROOT, product_files

RATCHET = "tests/house/ratchet.toml"
GENERATED = ("_pb2.py", "_pb2_grpc.py")


class Excuse(TypedDict):
    """One entry of the ratchet; `at_most` bounds the size, or the number of occurrences."""

    rule: str
    where: str
    at_most: int
    reason: str


@cache
def excuses() -> dict[tuple[str, str], Excuse]:
    entries: list[Excuse] = tomllib.loads((ROOT / RATCHET).read_text())["exception"]
    return {(entry["rule"], entry["where"]): entry for entry in entries}


@cache
def breaches() -> dict[tuple[str, str], list[Finding]]:
    """The findings of all files by rule and place."""
    found: dict[tuple[str, str], list[Finding]] = {}
    for path in product_files(".py"):
        if path.endswith(GENERATED):
            continue
        source = Source(path, (ROOT / path).read_text(encoding="utf-8"))
        for check, _ in RULES.values():
            for finding in check(source):
                found.setdefault((finding.rule, finding.where), []).append(finding)
    return found


def extent(findings: list[Finding]) -> int:
    """What an exception bounds: the largest size measured, or how often the rule is broken."""
    return max(len(findings), *(finding.size for finding in findings))


def described(finding: Finding) -> str:
    path = finding.where.partition("::")[0]
    _, remedy = RULES[finding.rule]
    return f"{path}:{finding.line} {finding.rule}: {finding.what}. {remedy}"


@pytest.mark.parametrize("rule", RULES)
def test_the_product_keeps(rule: str) -> None:
    failures = [
        described(finding)
        for key, findings in breaches().items()
        if key[0] == rule and (key not in excuses() or extent(findings) > excuses()[key]["at_most"])
        for finding in findings
    ]
    if failures:
        pytest.fail("\n".join(failures), pytrace=False)


def test_the_ratchet_only_shrinks() -> None:
    loose = []
    for key, excuse in excuses().items():
        needed = extent(breaches()[key]) if key in breaches() else 0
        if needed < excuse["at_most"]:
            remedy = f"lower at_most to {needed}" if needed else "remove the entry"
            loose.append(f"{RATCHET}: {excuse['rule']} at {excuse['where']}: {remedy}")
    if loose:
        pytest.fail("\n".join(loose), pytrace=False)


def test_every_exception_names_a_rule_and_a_reason() -> None:
    for excuse in excuses().values():
        assert excuse["rule"] in RULES
        assert len(excuse["reason"].split()) > 2, f"{excuse['where']}: say why"
