"""What the operations of billing, invoices and payments take to succeed."""

from __future__ import annotations

import json
from collections.abc import Mapping

from tests.product.closing import invoice_of_nothing, signature_of
from tests.product.sample import Make, Sample, of
from tests.product.stock import Stock


async def own_invoice(stock: Stock) -> Sample:
    assert stock.data is not None
    account_id = stock.access.owner.account_id
    return Sample({"invoice_id": await invoice_of_nothing(stock.data, account_id)})


async def signed_event(stock: Stock) -> Sample:
    assert stock.data is not None
    event = {"id": f"evt_{stock.secret}", "type": "radar.whatever"}
    signature = signature_of(stock.data, json.dumps(event).encode())
    return Sample(body=event, headers={"stripe-signature": signature})


BILLING_SAMPLES: Mapping[str, Make] = {
    "billing_api_v1_billing_get": of(Sample()),
    "choose_plan_api_v1_billing_plan_put": of(Sample(body={"plan": "business"})),
    "open_checkout_api_v1_billing_checkout_post": of(Sample()),
    "open_portal_api_v1_billing_portal_post": of(Sample()),
    "list_invoices_api_v1_invoices_get": of(Sample()),
    "get_invoice_api_v1_invoices__invoice_id__get": own_invoice,
    "get_invoice_csv_api_v1_invoices__invoice_id__csv_get": own_invoice,
    "get_invoice_pdf_api_v1_invoices__invoice_id__pdf_get": own_invoice,
    "receive_event_api_v1_stripe_events_post": signed_event,
}
