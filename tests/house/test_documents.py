"""Documents and other texts: links lead somewhere, programs in them compile, no machine shows."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

import pytest

from tests.house.tree import ROOT, product_files

LINK = re.compile(r"\]\(([^)\s#]+)(?:#[^)\s]*)?\)")
MENTIONED_FILE = re.compile(r"`((?:[\w.-]+/)+[\w.-]+\.(?:py|md|proto|toml|txt|css|js))`")
PYTHON_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
MACHINE_PATH = re.compile(r"(?<![\w./~-])/(?:root|home|work|Users)/\w+")
DECISION = re.compile(r"docs/decisions/(\d{4})-[a-z0-9-]+\.md")
SECTIONS = ("## Context", "## Decision", "## Consequences", "## Alternatives")
TEXTS = (".css", ".html", ".js", ".lock", ".md", ".mjs", ".proto", ".py", ".toml", ".txt", ".yml")
BLOB_BYTES_MAX = 1_000_000


def documents() -> list[str]:
    return [path for path in product_files(".md") if "/vendor/" not in path]


def text_of(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def broken_links(path: str) -> Iterator[str]:
    """Relative links of a document, and files it names in code, that are not there."""
    text = text_of(path)
    folder = (ROOT / path).parent
    for target in LINK.findall(text):
        if ":" not in target and not (folder / target).exists():
            yield f"{path}: links to {target}"
    for name in MENTIONED_FILE.findall(text):
        folders = (ROOT, folder, ROOT / PurePosixPath(path).parts[0], ROOT / "sdk/src/perdure")
        if not any((place / name).exists() for place in folders):
            yield f"{path}: names {name}"


def test_documents_point_at_what_exists() -> None:
    broken = [line for path in documents() for line in broken_links(path)]
    if broken:
        pytest.fail("\n".join(broken), pytrace=False)


@pytest.mark.parametrize("path", documents())
def test_a_document_begins_with_its_title(path: str) -> None:
    assert text_of(path).startswith("# ")


def test_python_in_documents_compiles() -> None:
    blocks = [
        (path, block) for path in documents() for block in PYTHON_BLOCK.findall(text_of(path))
    ]
    assert blocks
    for path, block in blocks:
        ast.parse(block, path)


def test_no_text_names_a_place_on_somebodys_machine() -> None:
    texts = [path for path in product_files() if path.endswith(TEXTS) or "." not in path]
    found = [
        f"{path}:{number}: {match.group()}"
        for path in texts
        for number, line in enumerate(text_of(path).splitlines(), start=1)
        if (match := MACHINE_PATH.search(line))
    ]
    if found:
        pytest.fail("\n".join(found), pytrace=False)


def test_no_file_is_a_large_blob() -> None:
    assert [path for path in product_files() if (ROOT / path).stat().st_size > BLOB_BYTES_MAX] == []


def test_decisions_are_numbered_in_order_listed_and_of_one_form() -> None:
    decisions = [path for path in documents() if DECISION.fullmatch(path)]
    numbers = [int(path.split("/")[-1][:4]) for path in decisions]
    assert numbers == list(range(len(decisions)))
    listing = text_of("docs/decisions/README.md")
    for path in decisions:
        assert path.split("/")[-1] in listing
        sections = [line for line in text_of(path).splitlines() if line.startswith("## ")]
        assert tuple(sections) == SECTIONS, path
