"""The modules and environments of Terraform, by the tools of that trade."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.house.tree import ROOT, product_files
from tests.infra.processes import INFRA
from tests.infra.workbench import TERRAFORM, bench, initialised, run, terraform

MODULES = sorted(path.parent for path in TERRAFORM.glob("modules/*/main.tf"))
ENVIRONMENTS = sorted(path.parent for path in TERRAFORM.glob("environments/*/main.tf"))
FOLDERS = [str(path.relative_to(TERRAFORM)) for path in (*MODULES, *ENVIRONMENTS)]

# Whatever has a secret as an argument has it in the state as well.
SECRET_ARGUMENT = re.compile(
    r'"aws_secretsmanager_secret_version"|"aws_ssm_parameter"|"aws_iam_access_key"'
    r"|\brandom_(password|id|bytes)\b|\btls_private_key\b"
    r"|^\s*(master_password|password|secret_string|secret_key|access_key|auth_token)\s*=",
    re.MULTILINE,
)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy, so that what Terraform downloads and locks stays out of the checkout."""
    aside = shutil.ignore_patterns(".terraform", "*.tfstate*")
    return shutil.copytree(TERRAFORM, tmp_path / "terraform", ignore=aside)


def texts(*suffixes: str) -> dict[str, str]:
    files = [path for path in product_files(*suffixes) if path.startswith("infra/terraform/")]
    return {path: (ROOT / path).read_text() for path in files}


def test_its_form_is_that_of_terraform_fmt() -> None:
    done = run([terraform(), "fmt", "-check", "-recursive", "-diff", "-no-color"], TERRAFORM)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_resource_takes_a_secret() -> None:
    taken = {path: SECRET_ARGUMENT.findall(text) for path, text in texts(".tf").items()}
    assert {path: found for path, found in taken.items() if found} == {}


def test_environments_alone_choose_provider_and_state() -> None:
    for path, text in texts(".tf").items():
        is_environment = path.startswith("infra/terraform/environments/")
        assert is_environment or not re.search(r'^\s*(provider|backend) "', text, re.MULTILINE)
    locks = [path for path in product_files() if path.endswith(".terraform.lock.hcl")]
    assert len(locks) == len(ENVIRONMENTS)
    for environment in ENVIRONMENTS:
        chosen = re.search(r'version\s*= "([\d.]+)"', (environment / "versions.tf").read_text())
        locked = re.search(r'version\s*= "([\d.]+)"', (environment / LOCK_FILE).read_text())
        assert chosen
        assert locked
        assert chosen[1] == locked[1]


LOCK_FILE = ".terraform.lock.hcl"


def test_every_module_has_tests_and_says_what_its_variables_are() -> None:
    for folder in (*MODULES, *ENVIRONMENTS):
        assert list(folder.glob("*.tftest.hcl")), f"{folder} has no test"
        for name in ("variables.tf", "outputs.tf"):
            blocks = re.split(r'^(?:variable|output) "', (folder / name).read_text(), flags=re.M)
            for block in blocks[1:]:
                assert "  description" in block, f"{folder}/{name}: {block.partition(chr(34))[0]}"


@pytest.mark.ci
@pytest.mark.parametrize("folder", FOLDERS)
def test_it_is_valid_and_does_what_its_tests_say(tree: Path, folder: str) -> None:
    initialised(tree / folder, "-backend=false")
    for command in ("validate", "test"):
        done = run([terraform(), command, "-no-color"], tree / folder)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.ci
def test_checkov_finds_nothing_but_what_was_weighed() -> None:
    done = run([bench() / "checkov", "--config-file", "checkov.yaml", "-d", "."], INFRA)
    assert done.returncode == 0, done.stdout[-8_000:] + done.stderr[-2_000:]
