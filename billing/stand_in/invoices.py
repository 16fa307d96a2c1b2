"""Invoices and their items: draft, open, paid or void."""

from __future__ import annotations

from typing import Any

from billing.stand_in.customers import StandInCustomers
from billing.stand_in.desk import StandInDesk
from billing.stand_in.refusal import Refusal, declined
from billing.stand_in.store import Object


class StandInInvoices:
    def __init__(self, desk: StandInDesk, customers: StandInCustomers) -> None:
        self._desk = desk
        self._customers = customers

    def create(self, fields: dict[str, Any]) -> Object:
        self._desk.get("customer", fields["customer"])
        number = fields.get("number")
        if number and any(each["number"] == number for each in self._desk.store.all("invoice")):
            raise Refusal(400, f"The number {number} is taken.", param="number")
        fields.pop("pending_invoice_items_behavior", None)
        made = self._desk.make(
            "in",
            "invoice",
            **{"number": None, "metadata": {}, "auto_advance": False, **fields},
            status="draft",
            attempted=False,
            attempt_count=0,
            subtotal=0,
            total=0,
            amount_due=0,
            amount_paid=0,
        )
        self._desk.tell("invoice.created", made)
        return made

    def retrieve(self, fields: dict[str, Any], id: str) -> Object:
        return self._desk.get("invoice", id)

    def list(self, fields: dict[str, Any]) -> Object:
        found = self._desk.store.all("invoice")
        if customer_id := fields.get("customer"):
            found = [each for each in found if each["customer"] == customer_id]
        return _page(found, fields, "/v1/invoices")

    def create_item(self, fields: dict[str, Any]) -> Object:
        invoice = self._desk.get("invoice", fields["invoice"])
        if invoice["status"] != "draft":
            raise Refusal(400, "Items are added to a draft only.", param="invoice")
        if invoice["customer"] != fields.get("customer"):
            raise Refusal(400, "The invoice is another customer's.", param="customer")
        made = self._desk.make("ii", "invoiceitem", **{"metadata": {}, **fields})
        for name in ("subtotal", "total", "amount_due"):
            invoice[name] += fields["amount"]
        self._desk.store.keep(invoice)
        return made

    def list_items(self, fields: dict[str, Any]) -> Object:
        found = self._desk.store.all("invoiceitem")
        if invoice_id := fields.get("invoice"):
            found = [each for each in found if each["invoice"] == invoice_id]
        return _page(found, fields, "/v1/invoiceitems")

    def finalize(self, fields: dict[str, Any], id: str) -> Object:
        invoice = self._desk.get("invoice", id)
        if invoice["status"] != "draft":
            raise Refusal(400, "This invoice is already finalized.", code="invoice_not_editable")
        invoice["status"] = "open" if invoice["amount_due"] else "paid"
        invoice["auto_advance"] = fields.get("auto_advance", invoice["auto_advance"])
        self._desk.store.keep(invoice)
        self._desk.tell("invoice.finalized", invoice)
        if invoice["status"] == "open" and invoice["auto_advance"]:
            self.attempt(invoice)
        return invoice

    def pay(self, fields: dict[str, Any], id: str) -> Object:
        """Raises Refusal after the attempt is on record: see `server`."""
        invoice = self._desk.get("invoice", id)
        if invoice["status"] != "open":
            raise Refusal(400, f"Invoice is {invoice['status']}.", code="invoice_not_open")
        if not self.attempt(invoice):
            raise declined()
        return invoice

    def void(self, fields: dict[str, Any], id: str) -> Object:
        invoice = self._desk.get("invoice", id)
        if invoice["status"] != "open":
            raise Refusal(400, f"Invoice is {invoice['status']}.", code="invoice_not_open")
        invoice["status"] = "void"
        self._desk.store.keep(invoice)
        self._desk.tell("invoice.voided", invoice)
        return invoice

    def attempt(self, invoice: Object) -> bool:
        """Charges the customer's card; whether that succeeded."""
        invoice["attempted"] = True
        invoice["attempt_count"] += 1
        is_paid = self._customers.charges(invoice["customer"])
        if is_paid:
            invoice |= {"status": "paid", "amount_paid": invoice["amount_due"], "amount_due": 0}
        self._desk.store.keep(invoice)
        self._desk.tell("invoice.paid" if is_paid else "invoice.payment_failed", invoice)
        return is_paid


def _page(found: list[Object], fields: dict[str, Any], url: str) -> Object:
    """As many as were asked for, behind the one named."""
    if after := fields.get("starting_after"):
        ids = [each["id"] for each in found]
        found = found[ids.index(after) + 1 :] if after in ids else []
    limit = fields.get("limit", 10)
    return {"object": "list", "data": found[:limit], "has_more": len(found) > limit, "url": url}
