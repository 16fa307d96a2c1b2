"""How customers may name their namespaces: a name is a label in host names."""

from __future__ import annotations

import re

from tenancy.errors import InvalidField

NAME_CHARACTERS_MIN = 2
NAME_CHARACTERS_MAX = 39
_NAME = re.compile(rf"[a-z][a-z0-9-]{{0,{NAME_CHARACTERS_MAX - 2}}}[a-z0-9]")


def check_name(name: str) -> None:
    if _NAME.fullmatch(name) is None:
        raise InvalidField(
            "name",
            f"must have {NAME_CHARACTERS_MIN} to {NAME_CHARACTERS_MAX} lower-case letters, digits "
            "and hyphens, begin with a letter and end with a letter or digit",
            "choose another name",
        )
