"""Client certificates of all kinds, by what they are, for a namespace that trusts `trusted()`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.name import _ASN1Type

from tenancy.certificate_check import CHAIN_CERTIFICATES_MAX, INTERMEDIATES_MAX
from tests.tls.pki import (
    CLIENT,
    SERVER,
    Identity,
    Wanted,
    authority,
    cross_signed,
    dns,
    ec_key,
    issue,
    leaf,
    rsa_key,
    signed_with_sha1,
    twin,
    twin_in,
    uri,
)

Make = Callable[[], Identity]


@cache
def root() -> Identity:
    return authority("Acme root")


@cache
def rsa_root() -> Identity:
    return authority("Acme RSA root", key=rsa_key())


@cache
def stored_issuer() -> Identity:
    """An intermediate that is part of the bundle."""
    return authority("Acme stored issuer", root(), path_length=0)


@cache
def issuer() -> Identity:
    return authority("Acme issuer", root())


@cache
def second_issuer() -> Identity:
    return authority("Acme second issuer", issuer())


@cache
def stranger() -> Identity:
    return authority("Stranger root")


@cache
def hostile() -> Identity:
    """A CA of another tenant with the name and the key id of ours."""
    return twin(root())


@cache
def printable() -> Identity:
    """One whose name is the same for who compares letters, and another for who compares bytes."""
    return twin_in(_ASN1Type.PrintableString, root())


@cache
def constrained() -> Identity:
    """An intermediate for machines below one name."""
    below = x509.NameConstraints([dns("acme.test")], None)
    return authority("Acme machines", root(), constraints=below)


def trusted() -> tuple[Identity, ...]:
    return root(), rsa_root(), stored_issuer()


@cache
def denied() -> Identity:
    return leaf(root(), common_name="stolen")


@cache
def denied_issuer() -> Identity:
    return authority("Acme lost issuer", root())


GOOD: Mapping[str, Make] = {
    "ecdsa": lambda: leaf(root()),
    "rsa": lambda: leaf(rsa_root(), key=rsa_key()),
    "rsa of an ecdsa root": lambda: leaf(root(), key=rsa_key()),
    "ecdsa on p-384": lambda: leaf(root(), key=ec_key(ec.SECP384R1())),
    "ecdsa on p-521": lambda: leaf(root(), key=ec_key(ec.SECP521R1())),
    "signed with sha-512": lambda: leaf(root(), hash=hashes.SHA512()),
    "a common name alone": lambda: leaf(root(), common_name="legacy", names=()),
    "an alternative name alone": lambda: leaf(
        root(), common_name=None, names=(uri("spiffe://a/b"),)
    ),
    "the host's own name": lambda: leaf(root(), names=(dns("worker.acme.test"),)),
    "no extended key usage": lambda: leaf(root(), usages=None),
    "for servers and clients": lambda: leaf(root(), usages=(SERVER, CLIENT)),
    "no basic constraints": lambda: leaf(root(), is_authority=None),
    "an intermediate": lambda: leaf(issuer()).with_chain(issuer()),
    "two intermediates": lambda: leaf(second_issuer()).with_chain(second_issuer(), issuer()),
    "an intermediate of the bundle": lambda: leaf(stored_issuer()),
    "its root sent along": lambda: leaf(root()).with_chain(root()),
    "a stranger sent along": lambda: leaf(root()).with_chain(stranger()),
    "the hostile twin sent along": lambda: leaf(root()).with_chain(hostile()),
    "an issuer with path length 0": lambda: _of(authority("i0", root(), path_length=0)),
    "an issuer that a stranger signed too": lambda: leaf(issuer()).with_chain(
        issuer(), cross_signed(issuer(), stranger())
    ),
    "our root, as a stranger signed it, sent along": lambda: leaf(root()).with_chain(
        cross_signed(root(), stranger())
    ),
    "of a stranger whom our root has signed": lambda: leaf(stranger()).with_chain(
        cross_signed(stranger(), root())
    ),
    "within the names of its issuer": lambda: leaf(
        constrained(), names=(dns("worker.acme.test"),)
    ).with_chain(constrained()),
    "the printable twin sent along": lambda: leaf(root()).with_chain(printable()),
    "as many intermediates as may be": lambda: _deep(INTERMEDIATES_MAX),
    "as many certificates as may be": lambda: leaf(root()).with_chain(
        *[stranger()] * (CHAIN_CERTIFICATES_MAX - 1)
    ),
}


def _of(issuer: Identity) -> Identity:
    return leaf(issuer).with_chain(issuer)


def _deep(count: int) -> Identity:
    chain = [root()]
    for depth in range(count):
        chain.append(authority(f"deep {depth}", chain[-1]))
    return leaf(chain[-1]).with_chain(*reversed(chain[1:]))


def _altered() -> Identity:
    """The name was changed after it was signed."""
    good = leaf(root(), common_name="worker-1")
    content = good.presented[0].replace(b"worker-1", b"worker-2")
    return Identity(x509.load_der_x509_certificate(content), good.key)


def _borrowed_name() -> Identity:
    """Signed by a leaf that calls itself by the name of our root."""
    liar = leaf(stranger(), subject=root().certificate.subject)
    return leaf(liar).with_chain(liar)


def _of_leaf() -> Identity:
    middle = leaf(root(), common_name="no ca")
    return leaf(middle).with_chain(middle)


def _beyond_path_length() -> Identity:
    first = authority("short", root(), path_length=0)
    second = authority("too far", first)
    return leaf(second).with_chain(second, first)


def _of_expired() -> Identity:
    return _of(authority("late", root(), days_from=-20, days_to=-1))


BAD: Mapping[str, Make] = {
    "expired": lambda: leaf(root(), days_from=-10, days_to=-1),
    "not valid yet": lambda: leaf(root(), days_from=1),
    "of another ca": lambda: leaf(stranger()),
    "of the hostile twin": lambda: leaf(hostile()),
    "of the hostile twin, sent along": lambda: _of(hostile()),
    "of the hostile twin, our root sent along": lambda: leaf(hostile()).with_chain(root()),
    "of the printable twin": lambda: leaf(printable()),
    "of the printable twin, sent along": lambda: _of(printable()),
    "of the printable twin, our root sent along": lambda: leaf(printable()).with_chain(root()),
    "of the hostile twin, as our root would be if it had signed it": lambda: leaf(
        hostile()
    ).with_chain(cross_signed(hostile(), hostile()), root()),
    "of an issuer that a stranger alone has signed": lambda: leaf(issuer()).with_chain(
        cross_signed(issuer(), stranger())
    ),
    "of an issuer that the hostile twin has signed": lambda: leaf(issuer()).with_chain(
        cross_signed(issuer(), hostile()), hostile()
    ),
    "of the twin of an issuer": lambda: leaf(twin(issuer())).with_chain(issuer()),
    "beyond the names of its issuer": lambda: leaf(
        constrained(), names=(dns("worker.rival.test"),)
    ).with_chain(constrained()),
    "of a leaf with the root's name": _borrowed_name,
    "self-signed": lambda: issue(None, Wanted()),
    "self-signed with the root's name": lambda: issue(
        None, Wanted(subject=root().certificate.subject)
    ),
    "the root itself": root,
    "an intermediate itself": issuer,
    "an intermediate of the bundle itself": stored_issuer,
    "marked as a ca": lambda: leaf(root(), is_authority=True),
    "for servers only": lambda: leaf(root(), usages=(SERVER,)),
    "may not sign a handshake": lambda: leaf(root(), may_sign=True),
    "without its intermediate": lambda: leaf(issuer()),
    "without the second intermediate": lambda: leaf(second_issuer()).with_chain(second_issuer()),
    "of a leaf": _of_leaf,
    "beyond the path length": _beyond_path_length,
    "of an expired intermediate": _of_expired,
    "of one that may not sign": lambda: _of(authority("mute", root(), may_sign=False)),
    "of one without basic constraints": lambda: _of(authority("plain", root(), is_authority=None)),
    "signed with sha-1": lambda: signed_with_sha1(leaf(rsa_root()), rsa_root()),
    "of an intermediate signed with sha-1": lambda: _of(
        signed_with_sha1(authority("old", rsa_root()), rsa_root())
    ),
    "rsa of 1024 bits": lambda: leaf(root(), key=rsa_key(1024)),
    "of an intermediate with rsa of 1024 bits": lambda: _of(
        authority("weak", root(), key=rsa_key(1024))
    ),
    "ed25519": lambda: leaf(root(), key=ed25519.Ed25519PrivateKey.generate()),
    "altered": _altered,
    "one intermediate too many": lambda: _deep(INTERMEDIATES_MAX + 1),
    "one certificate too many": lambda: leaf(root()).with_chain(
        *[stranger()] * CHAIN_CERTIFICATES_MAX
    ),
    "with twenty strangers": lambda: leaf(root()).with_chain(*[stranger()] * 20),
    "denied": denied,
    "of a denied intermediate": lambda: _of(denied_issuer()),
}
