"""A request's parameters: decoded from Stripe's form encoding, checked by its library's types.

What the library's own types do not know is refused, so the stand-in is as strict as the version of
the library that is installed.
"""

from __future__ import annotations

import importlib
import re
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

from pydantic import ConfigDict, TypeAdapter, ValidationError

from billing.stand_in.refusal import Refusal

STEP = re.compile(r"[^\[\]]+")
DEPTH_MAX = 8


def decoded(text: str) -> dict[str, Any]:
    """`a[b][0]=1` as `{"a": {"b": ["1"]}}`."""
    found: dict[str, Any] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        *way, last = STEP.findall(name)[:DEPTH_MAX]
        inner = found
        for step in way:
            inner = inner.setdefault(step, {})
        inner[last] = value
    return {name: _with_lists(value) for name, value in found.items()}


def checked(parameters: dict[str, Any], type_name: str) -> dict[str, Any]:
    """The parameters with their types, such as `CustomerCreateParams`. Raises Refusal."""
    try:
        found: dict[str, Any] = _adapter(type_name).validate_python(parameters)
    except ValidationError as error:
        first = error.errors()[0]
        way = [str(step) for step in first["loc"]]
        name = way[0] + "".join(f"[{step}]" for step in way[1:]) if way else ""
        raise Refusal(400, f"{first['msg']}: {name}", param=name) from None
    return found


def _with_lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {name: _with_lists(each) for name, each in value.items()}
    if inner and all(name.isdigit() for name in inner):
        return [inner[name] for name in sorted(inner, key=int)]
    return inner


@cache
def _adapter(type_name: str) -> TypeAdapter[Any]:
    """`checkout.SessionCreateParams` is in `stripe.params.checkout`."""
    folder, _, name = type_name.rpartition(".")
    module = importlib.import_module(f"stripe.params.{folder}" if folder else "stripe.params")
    kind = getattr(module, name)
    options = importlib.import_module("stripe._request_options").RequestOptions
    for option in options.__annotations__:
        # What the client's caller may say to the client never travels.
        kind.__annotations__.pop(option, None)
    for each in vars(importlib.import_module(kind.__module__)).values():
        if isinstance(each, type) and each.__module__ == kind.__module__:
            each.__pydantic_config__ = ConfigDict(  # type: ignore[attr-defined]
                extra="forbid", arbitrary_types_allowed=True
            )
    return TypeAdapter(kind)
