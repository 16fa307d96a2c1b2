"""Which change of a file makes the long proofs due again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.house import resume

PROVEN = (
    "api/server.py",
    "infra/container/Dockerfile",
    "infra/container/processes.json",
    "infra/terraform/main.tf",
    "infra/terraform/tests/plan.tftest.hcl",
    "infra/terraform/checkov.yaml",
    "proto/perdure/api/v1/service.proto",
    "web/static/console.css",
    "docs/roles.md",
    "pyproject.toml",
    "requirements.lock",
    "dev",
)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One with these files and what is told of tests."""
    names = [*PROVEN, "CHANGELOG.md", "docs/reports/deep.md"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("before")
    monkeypatch.setattr(resume, "ROOT", tmp_path)
    monkeypatch.setattr(resume, "product_files", lambda: tuple(sorted(names)))
    return tmp_path


@pytest.mark.parametrize("name", PROVEN)
def test_a_changed_file_of_the_product_makes_them_due(checkout: Path, name: str) -> None:
    before = resume.fingerprint()
    assert resume.fingerprint() == before
    (checkout / name).write_text("behind")
    assert resume.fingerprint() != before


@pytest.mark.parametrize("name", ["CHANGELOG.md", "docs/reports/deep.md"])
def test_what_is_told_of_them_does_not(checkout: Path, name: str) -> None:
    before = resume.fingerprint()
    (checkout / name).write_text("behind")
    assert resume.fingerprint() == before
