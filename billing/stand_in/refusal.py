"""What the stand-in refuses, in Stripe's words."""

from __future__ import annotations

from typing import Any


class Refusal(Exception):
    """An error of Stripe's form."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        told = {"type": kind, "message": message, "code": code, "param": param}
        self.body: dict[str, Any] = {
            "error": {name: value for name, value in told.items() if value is not None}
        }


def missing(kind: str, id: str) -> Refusal:
    return Refusal(404, f"No such {kind}: '{id}'", code="resource_missing", param="id")


def declined() -> Refusal:
    return Refusal(402, "Your card was declined.", kind="card_error", code="card_declined")
