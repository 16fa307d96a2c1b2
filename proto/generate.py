"""Generates engine/protocol/ from proto/: `./dev proto`.

The published messages are not generated again. Their descriptors come from the installed
`temporalio` package, so that ours are checked against, and linked with, exactly what runs.
"""

from __future__ import annotations

import re
import sys
import tempfile
from importlib import import_module
from pathlib import Path

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "proto"
PACKAGE = "perdure/api/v1"
TARGET = ROOT / "engine" / "protocol"

PUBLISHED = (
    "google.api.annotations_pb2",
    "google.rpc.status_pb2",
    "temporalio.api.workflowservice.v1.request_response_pb2",
)
"""Modules that, with what they import, declare everything that our files may import."""


def published_descriptors() -> FileDescriptorSet:
    """The published files, each behind those it imports."""
    files: dict[str, FileDescriptor] = {}

    def add(file: FileDescriptor) -> None:
        if file.name not in files:
            for imported in file.dependencies:
                add(imported)
            files[file.name] = file

    for module in PUBLISHED:
        add(import_module(module).DESCRIPTOR)
    descriptors = FileDescriptorSet()
    for file in files.values():
        file.CopyToProto(descriptors.file.add())
    return descriptors


def generate(target: Path) -> list[Path]:
    """Write the modules and their stubs into `target`; returns them. Exits where protoc fails."""
    names = sorted(path.name for path in (SOURCES / PACKAGE).glob("*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        published = Path(folder, "published.pb")
        published.write_bytes(published_descriptors().SerializeToString(deterministic=True))
        arguments = [
            f"--descriptor_set_in={published}",
            f"--proto_path={SOURCES}",
            f"--python_out={folder}",
            f"--pyi_out={folder}",
            *(f"{PACKAGE}/{name}" for name in names),
        ]
        if status := protoc.main(["protoc", *arguments]):
            sys.exit(status)
        written = []
        for made in sorted(Path(folder, PACKAGE).iterdir()):
            path = target / made.name
            code = relocated(made.read_text(encoding="utf-8"))
            path.write_text(with_enum_values(code), encoding="utf-8")
            written.append(path)
    return written


def relocated(code: str) -> str:
    """Generated code with the module names that we have instead of those that protoc assumes."""
    code = re.sub(r"^(from|import) temporal\.api\b", r"\1 temporalio.api", code, flags=re.M)
    package = PACKAGE.replace("/", ".")
    return re.sub(rf"\b{re.escape(package)}(?=[. ]\w*_pb2\b| import)", "engine.protocol", code)


def with_enum_values(code: str) -> str:
    """A stub whose fields have the type of the published enums' values, not of their wrappers."""
    for module in re.findall(r"^from temporalio\.api\.enums\S* import \w+ as (\w+)", code, re.M):
        code = re.sub(rf"\b{module}\.[A-Z]\w*", r"\g<0>.ValueType", code)
    return code


if __name__ == "__main__":
    for path in generate(TARGET):
        print(path.relative_to(ROOT))
