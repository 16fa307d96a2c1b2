"""The words of the query language: names, values, signs, each with its place in the text."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple

from engine.errors import InvalidArgument

LITERAL_SHOWN_CHARACTERS_MAX = 40

_TOKEN = re.compile(
    r"""
      (?P<space>\s+)
    | (?P<number>[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![\w.]))
    | (?P<word>[^\W\d]\w*(?:\.\w+)*)
    | (?P<name>`[^`]+`)
    | (?P<string>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*")
    | (?P<sign><=|>=|!=|<>|[=<>(),])
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(.)|(['\"])\2", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}


class Kind(StrEnum):
    NUMBER = "number"
    WORD = "word"
    NAME = "name"
    STRING = "string"
    SIGN = "sign"
    END = "end"


class Token(NamedTuple):
    """`text` is the content: without quotes and escapes. `position` counts characters from 1."""

    kind: Kind
    text: str
    position: int

    @property
    def keyword(self) -> str:
        """The word or sign in capitals, "" for everything else."""
        return self.text.upper() if self.kind in (Kind.WORD, Kind.SIGN) else ""

    @property
    def shown(self) -> str:
        """How a message names it."""
        if self.kind is Kind.END:
            return "the end"
        text = self.text
        if len(text) > LITERAL_SHOWN_CHARACTERS_MAX:
            text = text[:LITERAL_SHOWN_CHARACTERS_MAX] + "…"
        return repr(text)


def refused(problem: str, position: int) -> InvalidArgument:
    return InvalidArgument(f"invalid query: {problem} (at character {position})", "query")


def tokens(text: str) -> list[Token]:
    """All tokens, and one that stands for the end. Raises InvalidArgument."""
    found = []
    place = 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise refused(_unreadable(text, place), place + 1)
        if match.lastgroup != "space":
            kind = Kind(match.lastgroup or "")
            found.append(Token(kind, _content(kind, match.group()), place + 1))
        place = match.end()
    found.append(Token(Kind.END, "", len(text) + 1))
    return found


def _content(kind: Kind, raw: str) -> str:
    if kind is Kind.NAME:
        return raw[1:-1]
    if kind is Kind.STRING:
        return _ESCAPE.sub(_unescaped, raw[1:-1])
    return raw


def _unescaped(match: re.Match[str]) -> str:
    return match[2] or _ESCAPED.get(match[1], match[1])


def _unreadable(text: str, place: int) -> str:
    sign = text[place]
    if sign in "'\"`":
        return f"the {sign} that opens here is never closed"
    if sign.isdigit():
        return "this is neither a number nor a name; put strings in single quotes"
    return f"{sign!r} means nothing here; put strings in single quotes, odd names in back-quotes"
