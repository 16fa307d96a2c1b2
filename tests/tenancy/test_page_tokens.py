from __future__ import annotations

import base64
import os

import pytest

from tenancy.errors import InvalidField
from tenancy.page_tokens import PageTokens

TOKENS = PageTokens(secret=b"p" * 32, token_bytes=os.urandom)
MEMBERS = TOKENS.of("acme", "GetUsersRequest")


@pytest.mark.parametrize("place", ["ada@example.com", "", "ä" * 500])
def test_a_list_goes_on_where_its_token_says(place: str) -> None:
    assert MEMBERS.open(MEMBERS.seal(place), "page_token") == place
    assert MEMBERS.open("", "page_token") is None


def test_a_token_tells_its_bearer_nothing_and_never_looks_the_same() -> None:
    token = MEMBERS.seal("ada@example.com")
    assert b"ada" not in base64.urlsafe_b64decode(token)
    assert token != MEMBERS.seal("ada@example.com")


def test_a_token_opens_for_its_own_list_of_its_own_account_alone() -> None:
    token = MEMBERS.seal("ada@example.com")
    elsewhere = PageTokens(secret=b"q" * 32, token_bytes=os.urandom)
    for other in (
        TOKENS.of("rival", "GetUsersRequest"),
        TOKENS.of("acme", "GetApiKeysRequest"),
        elsewhere.of("acme", "GetUsersRequest"),
    ):
        with pytest.raises(InvalidField, match="none that this list gave out"):
            other.open(token, "page_token")


def test_an_altered_token_is_refused() -> None:
    token = MEMBERS.seal("ada@example.com")
    sealed = bytearray(base64.urlsafe_b64decode(token))
    altered = []
    for place in range(len(sealed)):
        sealed[place] ^= 1
        altered.append(base64.urlsafe_b64encode(sealed).decode())
        sealed[place] ^= 1
    plain = base64.urlsafe_b64encode(b"ada@example.com").decode()
    for wrong in (*altered, token[:-4], token + "AAAA", plain, "?", "ä", "A"):
        with pytest.raises(InvalidField):
            MEMBERS.open(wrong, "page_token")
