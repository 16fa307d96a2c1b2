"""What a customer chooses for a namespace, and its limits."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tenancy.certificates import NO_TRUST, CertificateTrust
from tenancy.errors import InvalidField

RETENTION_DAYS_MIN = 1
RETENTION_DAYS_MAX = 90
RETENTION_DAYS_DEFAULT = 30
SEARCH_ATTRIBUTE_NAME_CHARACTERS_MAX = 64
_ATTRIBUTE_NAME = re.compile(
    rf"[A-Za-z][A-Za-z0-9_-]{{0,{SEARCH_ATTRIBUTE_NAME_CHARACTERS_MAX - 1}}}"
)


class SearchAttributeType(StrEnum):
    TEXT = "Text"
    KEYWORD = "Keyword"
    INT = "Int"
    DOUBLE = "Double"
    BOOL = "Bool"
    DATETIME = "Datetime"
    KEYWORD_LIST = "KeywordList"


SEARCH_ATTRIBUTES_MAX: Mapping[SearchAttributeType, int] = {
    SearchAttributeType.TEXT: 5,
    SearchAttributeType.KEYWORD: 40,
    SearchAttributeType.INT: 20,
    SearchAttributeType.DOUBLE: 20,
    SearchAttributeType.BOOL: 20,
    SearchAttributeType.DATETIME: 20,
    SearchAttributeType.KEYWORD_LIST: 5,
}
"""How many of each type one namespace has."""


@dataclass(frozen=True, slots=True)
class NamespaceSettings:
    """Checked when made: InvalidField names the value that breaks its limit."""

    retention_days: int = RETENTION_DAYS_DEFAULT
    search_attributes: Mapping[str, SearchAttributeType] = field(default_factory=dict)
    is_delete_protected: bool = False
    certificates: CertificateTrust = NO_TRUST

    def __post_init__(self) -> None:
        if not RETENTION_DAYS_MIN <= self.retention_days <= RETENTION_DAYS_MAX:
            raise InvalidField(
                "retention_days",
                f"must be {RETENTION_DAYS_MIN} to {RETENTION_DAYS_MAX}",
                "choose a number of days in that range",
            )
        for name in self.search_attributes:
            if _ATTRIBUTE_NAME.fullmatch(name) is None:
                raise InvalidField(
                    f"search_attributes[{name[:SEARCH_ATTRIBUTE_NAME_CHARACTERS_MAX]!r}]",
                    f"a name has at most {SEARCH_ATTRIBUTE_NAME_CHARACTERS_MAX} letters, digits, "
                    "hyphens and underscores and begins with a letter",
                    "choose another name",
                )
        for type, count in Counter(self.search_attributes.values()).items():
            if count > SEARCH_ATTRIBUTES_MAX[type]:
                raise InvalidField(
                    "search_attributes",
                    f"at most {SEARCH_ATTRIBUTES_MAX[type]} of type {type}",
                    "use fewer of that type",
                )

    def check_successor(self, successor: NamespaceSettings) -> None:
        """Raises InvalidField where rows that are already indexed would lose their meaning."""
        for name, type in self.search_attributes.items():
            if successor.search_attributes.get(name) is not type:
                raise InvalidField(
                    f"search_attributes[{name!r}]",
                    f"is {type} and is neither removed nor given another type",
                    "send it as it is, or add an attribute of another name",
                )

    def told(self) -> list[object]:
        """A stable form, to tell two requests apart."""
        return [
            self.retention_days,
            sorted(self.search_attributes.items()),
            self.is_delete_protected,
            # Without any, as it was told before there were certificates.
            *([self.certificates.told()] if self.certificates != NO_TRUST else ()),
        ]
