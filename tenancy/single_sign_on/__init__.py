"""Single sign-on by OpenID Connect: an account's own identity provider lets its users in."""

from __future__ import annotations

from tenancy.single_sign_on.errors import SignOnProblem, SignOnRefused
from tenancy.single_sign_on.service import SingleSignOn
from tenancy.single_sign_on.settings import ProviderDraft

__all__ = ["ProviderDraft", "SignOnProblem", "SignOnRefused", "SingleSignOn"]
