"""The values a visibility search is made of: a row, a condition tree, a page.

Stores turn the tree into their own search (SQL with bound parameters, or a predicate); nothing
but these values passes between the language and a store.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Value = str | int | float | bool
Comparison = Literal["=", "!=", "<", "<=", ">", ">=", "STARTS_WITH"]


@dataclass(frozen=True, slots=True)
class Attribute:
    """What to compare: a field or `duration_ns` of `VisibilityRow`, or a key of its attributes.

    `keyword_list` says that the stored value is a list and comparisons mean membership;
    `text`, of a search attribute, says that equality means that all words of the value occur.
    """

    name: str
    custom: bool = False
    keyword_list: bool = False
    text: bool = False


@dataclass(frozen=True, slots=True)
class Compare:
    attribute: Attribute
    operator: Comparison
    value: Value


@dataclass(frozen=True, slots=True)
class In:
    attribute: Attribute
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Between:
    attribute: Attribute
    low: Value
    high: Value


@dataclass(frozen=True, slots=True)
class IsNull:
    attribute: Attribute


@dataclass(frozen=True, slots=True)
class Not:
    """Negation with SQL's rule: a row that lacks the attribute matches neither way."""

    condition: Condition


@dataclass(frozen=True, slots=True)
class And:
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Or:
    conditions: tuple[Condition, ...]


Condition = Compare | In | Between | IsNull | Not | And | Or

OPEN_CLOSE_AT_NS = 2**63 - 1
"""Close time of an open execution in the order of lists: behind every real one."""


@dataclass(frozen=True, slots=True)
class VisibilityRow:
    """One run as lists show it. Times are nanoseconds since the epoch."""

    namespace_id: str
    run_id: str
    workflow_id: str
    workflow_type: str
    task_queue: str
    status: int
    start_at_ns: int
    execution_at_ns: int
    close_at_ns: int | None = None
    history_length: int = 0
    history_bytes: int = 0
    transition_count: int = 0
    parent_workflow_id: str | None = None
    parent_run_id: str | None = None
    root_workflow_id: str = ""
    root_run_id: str = ""
    memo: bytes = b""
    """A serialized `Memo` message."""
    search_attributes: bytes = b""
    """A serialized `SearchAttributes` message, for answers."""
    attributes: dict[str, Value | list[str]] = field(default_factory=dict)
    """The search attributes decoded, for conditions."""

    @property
    def duration_ns(self) -> int | None:
        """How long the run took from its execution time to its close; None while it is open."""
        return None if self.close_at_ns is None else self.close_at_ns - self.execution_at_ns

    @property
    def order(self) -> tuple[int, int, str]:
        """Sort key; lists run from the highest to the lowest."""
        close_at_ns = OPEN_CLOSE_AT_NS if self.close_at_ns is None else self.close_at_ns
        return (close_at_ns, self.start_at_ns, self.run_id)


@dataclass(frozen=True, slots=True)
class VisibilityQuery:
    """A page of a namespace's runs: those that meet `where`, after the row ordered `after`."""

    namespace_id: str
    where: Condition | None = None
    after: tuple[int, int, str] | None = None
    page_size: int = 1000
    group_by: str | None = None
    """A field of `VisibilityRow` to count by (only `status` is offered)."""
