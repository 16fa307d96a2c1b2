"""An invoice as files: CSV for programs, PDF for people."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from billing.invoices.text import amount_of, invoice_number
from billing.tables import Invoice, InvoiceLine, InvoiceState
from billing.times import hour_start, month_name, month_of, month_title

FONT = "Helvetica"
INK, QUIET, LINE = (27, 30, 36), (91, 98, 112), (217, 220, 227)
WIDTHS = (100, 26, 26, 28)
TITLES = ("Description", "Quantity", "Per million", "Amount")
ROW_MM = 7.5
COLUMNS = (
    "invoice",
    "account",
    "month",
    "usage_month",
    "description",
    "quantity",
    "price_per_million",
    "amount",
    "currency",
)
OUTCOMES = {
    InvoiceState.FINALIZED: "Nothing to pay",
    InvoiceState.SENT: "Sent",
    InvoiceState.PAID: "Paid",
    InvoiceState.FAILED: "The payment failed",
    InvoiceState.VOID: "Void",
}


@dataclass(frozen=True, slots=True)
class Document:
    """All that is on an invoice."""

    invoice: Invoice
    lines: Sequence[InvoiceLine]
    account_name: str

    @property
    def number(self) -> str:
        assert self.invoice.number is not None, "a document is made of a finalized invoice"
        return invoice_number(self.invoice.number)


def as_csv(document: Document) -> bytes:
    """One row for each line; amounts in dollars."""
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(COLUMNS)
    invoice = document.invoice
    for line in document.lines:
        per_million = line.per_million_cents
        rows.writerow(
            (
                document.number,
                invoice.account_id,
                month_name(invoice.from_hour),
                month_name(line.from_hour),
                line.text,
                "" if line.quantity is None else line.quantity,
                "" if per_million is None else amount_of(per_million),
                amount_of(line.amount_cents),
                invoice.currency,
            )
        )
    return text.getvalue().encode()


def as_pdf(document: Document) -> bytes:
    """One page of A4, or several. It takes a second: not while other calls wait."""
    # Its fonts and images cost a start what only a few calls need.
    from fpdf import FPDF

    pdf = FPDF(format="A4")
    pdf.set_title(f"Invoice {document.number}")
    pdf.set_creation_date(document.invoice.created_at)
    pdf.set_margins(15, 18)
    pdf.add_page()
    invoice = document.invoice
    assert invoice.finalized_at is not None, "a document is made of a finalized invoice"

    def write(text: str, size: int, *, style: str = "", colour: tuple[int, int, int] = INK) -> None:
        pdf.set_font(FONT, style, size)
        pdf.set_text_color(*colour)
        pdf.cell(0, size * 0.52, _latin(text), new_x="LMARGIN", new_y="NEXT")

    write("Perdure", 13, style="B")
    pdf.ln(10)
    write(f"Invoice {document.number}", 22, style="B")
    pdf.ln(2)
    for text in (
        f"{month_title(invoice.from_hour)}, issued {invoice.finalized_at:%Y-%m-%d}",
        f"To {_payer(document)}",
        _span(invoice),
    ):
        write(text, 10, colour=QUIET)
        pdf.ln(0.8)
    pdf.ln(8)

    def row(texts: Sequence[str], *, style: str = "", colour: tuple[int, int, int] = INK) -> None:
        pdf.set_font(FONT, style, 9)
        pdf.set_text_color(*colour)
        pdf.set_draw_color(*LINE)
        for index, (text, width) in enumerate(zip(texts, WIDTHS, strict=True)):
            pdf.cell(width, ROW_MM, _latin(text), border="B", align="R" if index else "L")
        pdf.ln(ROW_MM)

    row(TITLES, colour=QUIET)
    for line in document.lines:
        row(_cells(line))
    row(("Total", "", "", _money(invoice.total_cents)), style="B")
    pdf.ln(6)
    paid = f" on {invoice.paid_at:%Y-%m-%d}" if invoice.paid_at else ""
    write(f"{OUTCOMES[invoice.state]}{paid}. Amounts in {invoice.currency}.", 9, colour=QUIET)
    return bytes(pdf.output())


def _payer(document: Document) -> str:
    account = f"account {document.invoice.account_id}"
    return f"{document.account_name}, {account}" if document.account_name else account


def _span(invoice: Invoice) -> str:
    period = month_of(invoice.from_hour)
    first, behind = hour_start(period.from_hour), hour_start(period.to_hour)
    return f"Usage from {first:%Y-%m-%d} to before {behind:%Y-%m-%d}, UTC"


def _cells(line: InvoiceLine) -> tuple[str, str, str, str]:
    return (
        line.text,
        "" if line.quantity is None else f"{line.quantity:,}",
        "" if line.per_million_cents is None else _money(line.per_million_cents),
        _money(line.amount_cents),
    )


def _money(cents: int) -> str:
    return f"${amount_of(cents):,.2f}"


def _latin(text: str) -> str:
    """What the fonts that every reader has can show."""
    return text.encode("latin-1", "replace").decode("latin-1")
