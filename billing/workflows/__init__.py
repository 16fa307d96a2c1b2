"""Billing's own long work, as workflows of the system cell."""
