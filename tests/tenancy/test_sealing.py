from __future__ import annotations

from random import Random

import pytest

from tenancy.errors import SealBroken
from tenancy.sealing import Sealer

SECRET = b"pepper of this test installation"


def sealer(secret: bytes = SECRET, purpose: str = "second factor") -> Sealer:
    return Sealer(secret, purpose=purpose, token_bytes=Random(1).randbytes)


@pytest.mark.parametrize("plain", [b"", b"JBSWY3DPEHPK3PXP", bytes(100_000)])
def test_what_was_sealed_opens_under_its_context(plain: bytes) -> None:
    sealed = sealer().seal(plain, context="totp ada")
    assert sealer().unseal(sealed, context="totp ada") == plain
    assert not plain or plain not in sealed


def test_a_sealed_value_does_not_open_elsewhere() -> None:
    sealed = sealer().seal(b"seed", context="totp ada")
    for other, context in (
        (sealer(), "totp bob"),
        (sealer(b"another installation"), "totp ada"),
        (sealer(purpose="letters"), "totp ada"),
    ):
        with pytest.raises(SealBroken):
            other.unseal(sealed, context=context)


def test_a_sealed_value_with_any_bit_changed_is_refused() -> None:
    sealed = sealer().seal(b"seed", context="totp ada")
    for at in range(len(sealed)):
        changed = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
        with pytest.raises(SealBroken):
            sealer().unseal(changed, context="totp ada")
        with pytest.raises(SealBroken):
            sealer().unseal(sealed[:at], context="totp ada")


def test_the_same_secret_is_sealed_otherwise_each_time() -> None:
    one = sealer()
    assert one.seal(b"seed", context="totp ada") != one.seal(b"seed", context="totp ada")
