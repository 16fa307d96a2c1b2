"""One Python file as the gates see it: parsed once, its nodes indexed, its imports resolved."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

Node = TypeVar("Node", bound=ast.AST)
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Finding:
    """A breach of one rule; `size` is what the rule measured, or 1 if it counts occurrences."""

    rule: str
    where: str
    line: int
    what: str
    size: int = 1


@dataclass(frozen=True, slots=True)
class Definition:
    """A function or class with its dotted name inside the file and whether a class holds it."""

    name: str
    node: Function | ast.ClassDef
    is_member: bool


@dataclass(slots=True)
class Source:
    """`path` is relative to the checkout, with forward slashes."""

    path: str
    text: str
    lines: list[str] = field(init=False)
    definitions: list[Definition] = field(init=False)
    _nodes: dict[type[ast.AST], list[ast.AST]] = field(init=False)
    _origins: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        tree = ast.parse(self.text, self.path)
        self.lines = self.text.splitlines()
        self.definitions = list(_definitions(tree, "", is_member=False))
        self._nodes = {}
        for node in ast.walk(tree):
            self._nodes.setdefault(type(node), []).append(node)
        self._origins = dict(origin for origin, _ in self._imported() if origin[0])

    def nodes(self, kind: type[Node]) -> list[Node]:
        """Every node of exactly this kind."""
        return self._nodes.get(kind, [])  # type: ignore[return-value]

    def is_under(self, *folders: str) -> bool:
        """Whether the file is one of these paths or lies in one of these folders."""
        return any(self.path == folder or self.path.startswith(f"{folder}/") for folder in folders)

    def imports(self) -> Iterator[tuple[str, int]]:
        """(dotted origin, line) of everything imported: `from a import b` gives `a.b`."""
        for (_, origin), line in self._imported():
            yield origin, line

    def references(self) -> Iterator[tuple[str, int]]:
        """(dotted origin, line) of every name and attribute, seen through the file's imports."""
        for kind in (ast.Name, ast.Attribute):
            for node in self.nodes(kind):
                if dotted := self.origin(node):
                    yield dotted, node.lineno

    def origin(self, node: ast.expr) -> str:
        """`sleep` after `from asyncio import sleep` is `asyncio.sleep`; "" if it has no name."""
        if isinstance(node, ast.Name):
            return self._origins.get(node.id, node.id)
        if isinstance(node, ast.Attribute) and (owner := self.origin(node.value)):
            return f"{owner}.{node.attr}"
        return ""

    def prose(self) -> Iterator[tuple[str, int]]:
        """(text, line) of each comment and of each string that stands as a statement."""
        for token in tokenize.generate_tokens(io.StringIO(self.text).readline):
            if token.type == tokenize.COMMENT:
                yield token.string, token.start[0]
        for node in self.nodes(ast.Expr):
            if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
                yield node.value.value, node.lineno

    def _imported(self) -> Iterator[tuple[tuple[str, str], int]]:
        """((local name or "" if none is bound, dotted origin), line) of each import."""
        for plain in self.nodes(ast.Import):
            for alias in plain.names:
                yield (alias.asname or "", alias.name), plain.lineno
        for chosen in self.nodes(ast.ImportFrom):
            module = self._package(chosen.level) + (chosen.module or "")
            for alias in chosen.names:
                yield (alias.asname or alias.name, f"{module}.{alias.name}"), chosen.lineno

    def _package(self, level: int) -> str:
        """The dotted prefix of a relative import that many levels up; "" for an absolute one."""
        if level == 0:
            return ""
        folders = re.sub(r"^sdk/src/", "", self.path).split("/")[:-level]
        return "".join(f"{folder}." for folder in folders)


def _definitions(parent: ast.AST, prefix: str, *, is_member: bool) -> Iterator[Definition]:
    for node in ast.iter_child_nodes(parent):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{prefix}{node.name}"
            yield Definition(name, node, is_member)
            yield from _definitions(node, f"{name}.", is_member=isinstance(node, ast.ClassDef))
        else:
            yield from _definitions(node, prefix, is_member=is_member)
