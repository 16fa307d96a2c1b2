"""The two settings that switch from the stand-in to Stripe. They are secrets: environment only."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from billing.stripe import StripeSettings

KEY_VARIABLE = "PERDURE_STRIPE_KEY"
WEBHOOK_SECRET_VARIABLE = "PERDURE_STRIPE_WEBHOOK_SECRET"  # noqa: S105 - the name of a variable
WEBHOOK_SECRETS_MAX = 2


def stripe_settings(
    parser: argparse.ArgumentParser, environment: Mapping[str, str]
) -> StripeSettings | None:
    """None where the stand-in is used."""
    key = environment.get(KEY_VARIABLE, "")
    secrets = environment.get(WEBHOOK_SECRET_VARIABLE, "")
    if not key and not secrets:
        return None
    listed = tuple(filter(None, map(str.strip, secrets.split(","))))
    if not key or not 1 <= len(listed) <= WEBHOOK_SECRETS_MAX:
        parser.error(
            f"{KEY_VARIABLE} goes with {WEBHOOK_SECRET_VARIABLE}, which holds one secret,"
            " or two with a comma while one is replaced"
        )
    return StripeSettings(key, listed)
