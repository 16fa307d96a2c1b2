"""Invoices: what a month was rated at, kept as it was, and how far it is paid."""
