"""The house rules that a program can check, each a function from one source to its findings.

`RULES` maps every rule to its remedy, which a failure prints.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import PurePosixPath

from temporalio.api.workflowservice.v1 import service_pb2

from tests.house.source import Finding, Function, Source

FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 400
LINE_CHARACTERS_MAX = 100
POSITIONAL_PARAMETERS_MAX = 5

BANNED_WORDS = frozenset(
    "util utils common helper helpers manager base info process handle".split()
)
# The client library keeps the names that the published SDKs have taught: WorkflowHandle, Info.
SDK_WORDS = frozenset(("info", "handle"))
LOG_METHODS = frozenset("debug info warning error exception critical".split())
LOG_OWNERS = frozenset(("log", "logger", "logging"))
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX)\b")

ENGINE_ENV = ("engine/env/system.py",)
ENGINE_STORES = (
    "engine/persistence/sqlite",
    "engine/persistence/sqlite.py",
    "engine/persistence/postgres",
    "engine/persistence/postgres.py",
)
STORE_CLOCK = frozenset(("time", "time.monotonic"))
CHANCE_AND_TIME = re.compile(
    r"(time|random|uuid|secrets|sched|signal)(\.|$)"
    r"|datetime\.datetime\.(now|utcnow|today)$|datetime\.date\.today$"
    r"|os\.(urandom|getrandom|times)$"
)
MACHINE = re.compile(
    r"(threading|concurrent|multiprocessing|subprocess|socket|select|ssl)(\.|$)"
    r"|asyncio\.(sleep|create_task|ensure_future|to_thread|run|open_\w+|start_\w+|new_event_loop"
    r"|get_event_loop|TaskGroup|tasks)(\.|$)"
    r"|(open|io\.open|os\.open|builtins\.open|pathlib\.Path\.open)$"
)
LOOP_METHODS = frozenset("call_later call_at create_task run_in_executor create_server".split())
ENVIRONMENT = re.compile(r"os\.(environb?|getenvb?|putenv|unsetenv)(\.|$)")
SDK_COMMAND_LINE = ("sdk/src/perdure/cli.py", "sdk/src/perdure/commands")
ENVIRONMENT_READERS = ("api/config.py", *SDK_COMMAND_LINE, "examples", "tests")
PRINTERS = (*SDK_COMMAND_LINE, "benchmarks", "examples", "proto")

Rule = Callable[[Source], Iterator[Finding]]


def function_length(source: Source) -> Iterator[Finding]:
    for definition in source.definitions:
        node = definition.node
        if isinstance(node, ast.ClassDef):
            continue
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        if length > FUNCTION_LINES_MAX:
            what = f"{definition.name} has {length} lines; at most {FUNCTION_LINES_MAX}"
            where = f"{source.path}::{definition.name}"
            yield Finding("function-length", where, node.lineno, what, length)


def file_length(source: Source) -> Iterator[Finding]:
    length = len(source.lines)
    if length > FILE_LINES_MAX:
        what = f"{length} lines; at most {FILE_LINES_MAX}"
        yield Finding("file-length", source.path, FILE_LINES_MAX + 1, what, length)


def line_length(source: Source) -> Iterator[Finding]:
    for number, line in enumerate(source.lines, start=1):
        if len(line) > LINE_CHARACTERS_MAX:
            what = f"{len(line)} characters; at most {LINE_CHARACTERS_MAX}"
            yield Finding("line-length", source.path, number, what)


def positional_parameters(source: Source) -> Iterator[Finding]:
    """Test functions are exempt: pytest passes their parameters by name."""
    for definition in source.definitions:
        node = definition.node
        if isinstance(node, ast.ClassDef):
            continue
        if source.is_under("tests") and node.name.startswith("test_"):
            continue
        count = _positional_count(node, is_member=definition.is_member)
        if count > POSITIONAL_PARAMETERS_MAX:
            what = f"{definition.name} takes {count}; at most {POSITIONAL_PARAMETERS_MAX}"
            where = f"{source.path}::{definition.name}"
            yield Finding("positional-parameters", where, node.lineno, what, count)


def _positional_count(node: Function, *, is_member: bool) -> int:
    names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
    bound = is_member and names[:1] in (["self"], ["cls"])
    return len(names) - bound


def banned_name(source: Source) -> Iterator[Finding]:
    path = PurePosixPath(source.path)
    banned = BANNED_WORDS - SDK_WORDS if source.is_under("sdk") else BANNED_WORDS
    for part in (*path.parts[:-1], path.stem):
        if "".join(word.capitalize() for word in part.split("_")) in published_names():
            continue
        if words := banned.intersection(part.split("_")):
            what = f"the module or folder {part!r} says {', '.join(sorted(words))!r}"
            yield Finding("banned-name", source.path, 1, what)
    for definition in source.definitions:
        node = definition.node
        if isinstance(node, ast.ClassDef) and node.name not in published_names():
            words = banned.intersection(_class_words(node.name))
            if words:
                what = f"the class {node.name!r} says {', '.join(sorted(words))!r}"
                where = f"{source.path}::{definition.name}"
                yield Finding("banned-name", where, node.lineno, what)


@cache
def published_names() -> frozenset[str]:
    """Names of the protocol's messages and calls: what is called after one keeps its name."""
    names: set[str] = set()
    seen: set[str] = set()
    files = [service_pb2.DESCRIPTOR]
    while files:
        file = files.pop()
        if file.name not in seen:
            seen.add(file.name)
            files += file.dependencies
            names.update(file.message_types_by_name)
            for service in file.services_by_name.values():
                names.update(service.methods_by_name)
    return frozenset(names)


def _class_words(name: str) -> list[str]:
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+", name)]


def engine_world(source: Source) -> Iterator[Finding]:
    """A store may have threads, files and a deadline for its reads; the rest comes from Env."""
    if not source.is_under("engine") or source.is_under(*ENGINE_ENV):
        return
    is_store = source.is_under(*ENGINE_STORES)
    banned = (CHANCE_AND_TIME,) if is_store else (CHANCE_AND_TIME, MACHINE)
    seen = {
        (line, match.group().rstrip("."))
        for origin, line in (*source.imports(), *source.references())
        for pattern in banned
        if (match := pattern.match(origin)) and not (is_store and origin in STORE_CLOCK)
    }
    if not is_store:
        seen |= set(_loop_calls(source))
    for line, name in sorted(seen):
        yield Finding("engine-world", source.path, line, f"uses {name}")


def _loop_calls(source: Source) -> Iterator[tuple[int, str]]:
    """Calls that only an event loop answers, unless an Env is asked for them."""
    for call in source.nodes(ast.Call):
        method = call.func
        if not isinstance(method, ast.Attribute) or method.attr not in LOOP_METHODS:
            continue
        owner = method.value
        name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
        if name.strip("_") != "env":
            yield call.lineno, f"{method.attr} of an event loop"


def engine_protocol(source: Source) -> Iterator[Finding]:
    if not source.is_under("engine"):
        return
    for origin, line in source.imports():
        parts = origin.split(".")
        if parts[0] == "temporalio" and parts[1:2] != ["api"]:
            yield Finding("engine-protocol", source.path, line, f"imports {origin}")


def web_session(source: Source) -> Iterator[Finding]:
    if not source.is_under("web"):
        return
    for origin, line in source.imports():
        parts = origin.split(".")
        if parts[0] == "tenancy" and parts[1:2] not in (["clock"], ["sessions"], ["errors"]):
            yield Finding("web-session", source.path, line, f"imports {origin}")


def environment(source: Source) -> Iterator[Finding]:
    if source.is_under(*ENVIRONMENT_READERS) or _is_benchmark_command_line(source):
        return
    lines = {line for origin, line in source.imports() if ENVIRONMENT.match(origin)}
    lines |= {line for origin, line in source.references() if ENVIRONMENT.match(origin)}
    for line in sorted(lines):
        yield Finding("environment", source.path, line, "reads the process environment")


def _is_benchmark_command_line(source: Source) -> bool:
    return source.is_under("benchmarks") and source.path.endswith(("/__main__.py", "/cli.py"))


def printing(source: Source) -> Iterator[Finding]:
    if source.is_under(*PRINTERS) or source.path.endswith("/__main__.py"):
        return
    for call in source.nodes(ast.Call):
        if source.origin(call.func) in ("print", "builtins.print"):
            yield Finding("printing", source.path, call.lineno, "calls print")


def log_event(source: Source) -> Iterator[Finding]:
    for call in source.nodes(ast.Call):
        method = call.func
        if not isinstance(method, ast.Attribute) or not _is_logger(method.value):
            continue
        if method.attr == "log":
            arguments = call.args[1:]
        elif method.attr in LOG_METHODS:
            arguments = call.args
        else:
            continue
        if len(arguments) != 1 or not _is_constant_text(arguments[0]):
            what = f"{method.attr}() does not get one constant event name"
            yield Finding("log-event", source.path, call.lineno, what)


def _is_logger(node: ast.expr) -> bool:
    if isinstance(node, ast.Name | ast.Attribute):
        name = node.id if isinstance(node, ast.Name) else node.attr
        return name.strip("_").lower() in LOG_OWNERS
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "logging.getLogger"


def _is_constant_text(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str)
    name = node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")
    return name.isupper()


def unfinished(source: Source) -> Iterator[Finding]:
    if UNFINISHED.search(source.text):
        for text, line in source.prose():
            if match := UNFINISHED.search(text):
                yield Finding("unfinished", source.path, line, f"says {match.group()}")
    for name in source.nodes(ast.Name):
        if name.id == "NotImplementedError":
            yield Finding("unfinished", source.path, name.lineno, f"names {name.id}")


RULES: dict[str, tuple[Rule, str]] = {
    "function-length": (function_length, "Split it where its steps have names."),
    "file-length": (file_length, "Give one of its nouns a file of its own."),
    "line-length": (line_length, "Break the line."),
    "positional-parameters": (
        positional_parameters,
        "Make the rest keyword-only, or name the group they form with a frozen dataclass.",
    ),
    "banned-name": (banned_name, "Name what it is or does in the words of the domain."),
    "engine-world": (engine_world, "Take clock, randomness, ids, tasks and files from Env."),
    "engine-protocol": (engine_protocol, "The engine knows temporalio.api alone."),
    "web-session": (web_session, "Pages act through the public API as the logged-in user."),
    "environment": (environment, "Read it in api/config.py and pass the value."),
    "printing": (printing, "Only command lines print; return the text or log an event."),
    "log-event": (log_event, "Log a constant event name and put the ids in extra={...}."),
    "unfinished": (unfinished, "Finish it, or leave it out; plans live in issues."),
}
