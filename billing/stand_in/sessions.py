"""Sessions of the hosted pages: checkout in setup mode, and the portal."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from billing.stand_in.customers import StandInCustomers
from billing.stand_in.desk import StandInDesk
from billing.stand_in.refusal import Refusal
from billing.stand_in.store import Object

MOUNT = "/payments-stand-in"
"""Where the hosted pages are, at the address of the page that leads back."""

CHECKOUT_ID = "{CHECKOUT_SESSION_ID}"


class StandInSessions:
    def __init__(self, desk: StandInDesk, customers: StandInCustomers) -> None:
        self._desk = desk
        self._customers = customers

    def create_checkout(self, fields: dict[str, Any]) -> Object:
        if fields.get("mode") != "setup":
            raise Refusal(400, "The stand-in knows the mode setup.", param="mode")
        self._desk.get("customer", fields["customer"])
        if not fields.get("success_url"):
            raise Refusal(400, "Missing required param: success_url.", param="success_url")
        intent = self._desk.make(
            "seti",
            "setup_intent",
            customer=fields["customer"],
            status="requires_payment_method",
            payment_method=None,
        )
        made = self._desk.make(
            "cs", "checkout.session", **fields, status="open", setup_intent=intent["id"]
        )
        made["url"] = _hosted(fields["success_url"], "checkout", made["id"])
        self._desk.store.keep(made)
        return made

    def retrieve_checkout(self, fields: dict[str, Any], id: str) -> Object:
        found = self._desk.get("checkout.session", id)
        if "setup_intent" in fields.get("expand", ()):
            found["setup_intent"] = self._desk.get("setup_intent", found["setup_intent"])
        return found

    def create_portal(self, fields: dict[str, Any]) -> Object:
        self._desk.get("customer", fields["customer"])
        made = self._desk.make("bps", "billing_portal.session", **fields)
        made["url"] = _hosted(fields["return_url"], "portal", made["id"])
        self._desk.store.keep(made)
        return made

    def complete(self, id: str, number: str, year: int, month: int) -> str:
        """A card was entered on the page of a checkout; where to go on. Raises Refusal."""
        found = self._desk.get("checkout.session", id)
        if found["status"] == "open":
            method = self._customers.attach_card(found["customer"], number, year, month)
            intent = self._desk.get("setup_intent", found["setup_intent"])
            intent |= {"status": "succeeded", "payment_method": method["id"]}
            self._desk.store.keep(intent)
            found["status"] = "complete"
            self._desk.store.keep(found)
            self._desk.tell("checkout.session.completed", found)
        return str(found["success_url"]).replace(CHECKOUT_ID, id)


def _hosted(back: str, page: str, id: str) -> str:
    way = urlsplit(back)
    return f"{way.scheme}://{way.netloc}{MOUNT}/{page}/{id}"
