"""An account names its domains and proves them, by a record or by a file; nobody else does."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tenancy import AlreadyExists, InvalidField, LimitReached, NotFound, Principal, WrongState
from tenancy.errors import AddressRefused, NoAnswer
from tenancy.outgoing import Reply
from tenancy.single_sign_on.domain_proof import PROOF_FILE_BYTES_MAX, PROOF_PATH, DomainProof
from tenancy.single_sign_on.domains import DOMAINS_MAX, SignOnDomains
from tests.single_sign_on.world import DOMAIN, World

NAME = "acme.example"
RECORD = "_perdure.acme.example"
FILE = f"https://acme.example{PROOF_PATH}"


class Internet:
    """As far as domains are proven there. What was asked is in order."""

    def __init__(self) -> None:
        self.files: dict[str, Reply | Exception] = {}
        self.texts: dict[str, Sequence[bytes] | Exception] = {}
        self.asked: list[str] = []

    async def get(self, url: str) -> Reply:
        self.asked.append(url)
        found = self.files.get(url, Reply(404, {}, b""))
        if isinstance(found, Exception):
            raise found
        return found

    async def read_texts(self, name: str) -> Sequence[bytes]:
        self.asked.append(name)
        found = self.texts.get(name, NoAnswer("the name does not exist"))
        if isinstance(found, Exception):
            raise found
        return found


@pytest.fixture
def internet(world: World) -> Internet:
    """Domains must be proven, whatever they end in."""
    internet = Internet()
    proof = DomainProof(internet, accepts_invented=False)  # type: ignore[arg-type]
    world.sign_on.domains = SignOnDomains(world.sign_on.domains._tools, proof=proof)
    return internet


async def proof_of(world: World, actor: Principal, name: str = NAME) -> bytes:
    async with world.database.reading() as session:
        found = await world.sign_on.domains.visible_to(session, actor)
    return next(each.proof for each in found if each.name == name).encode()


async def is_proven(world: World) -> bool:
    async with world.database.reading() as session:
        found = await world.sign_on.domains.visible_to(session, world.owner)
    return next(each.proven_at is not None for each in found if each.name == NAME)


async def test_a_domain_is_proven_by_a_record_that_only_its_owner_can_add(
    world: World, internet: Internet
) -> None:
    await world.add_domain(NAME)
    proof = await proof_of(world, world.owner)
    wrong: list[Sequence[bytes]] = [
        [b""],
        [proof[:-1]],
        [proof + b"x"],
        [b'"' + proof + b'"'],
        [b"v=spf1 " + proof],
        [proof.upper()],
        [proof[:20], proof[20:]],
    ]
    for texts in wrong:
        internet.texts[RECORD] = texts
        with pytest.raises(WrongState, match="says something else"):
            await world.prove(NAME)
    assert not await is_proven(world)
    internet.asked.clear()
    internet.texts[RECORD] = [b"v=spf1 -all", b"perdure-domain=another-account-s", proof]
    await world.prove(NAME)
    assert await is_proven(world)
    # Who has added the record need not have a web server there.
    assert internet.asked == [RECORD]
    assert ("single_sign_on.prove_domain", "accepted", [NAME]) in await world.audited()


async def test_a_record_elsewhere_in_the_zone_proves_nothing(
    world: World, internet: Internet
) -> None:
    await world.add_domain(NAME)
    proof = await proof_of(world, world.owner)
    for place in (NAME, f"www.{NAME}", f"_perdure.www.{NAME}", "_perdure.example"):
        internet.texts[place] = [proof]
    with pytest.raises(WrongState, match="not proven"):
        await world.prove(NAME)
    assert internet.asked == [RECORD, FILE]


@pytest.mark.parametrize(
    "record",
    [
        NoAnswer("could not be asked, no answer within 4 seconds"),
        [b"perdure-domain=of-long-ago"],
    ],
    ids=["not answered", "of long ago"],
)
async def test_the_right_file_proves_a_domain_whatever_is_wrong_with_its_record(
    world: World, internet: Internet, record: NoAnswer | list[bytes]
) -> None:
    await world.add_domain(NAME)
    internet.texts[RECORD] = record
    internet.files[FILE] = Reply(200, {}, await proof_of(world, world.owner))
    await world.prove(NAME)
    assert internet.asked == [RECORD, FILE]


@pytest.mark.parametrize(
    ("record", "file", "in_record", "in_file"),
    [
        (
            NoAnswer("the name does not exist"),
            Reply(404, {}, b""),
            "the name does not exist",
            "the address answers with status 404",
        ),
        (
            [b"v=spf1 -all"],
            Reply(200, {}, b"hello"),
            "says something else",
            "says something else",
        ),
        (
            NoAnswer("could not be asked, the name servers answer SERVFAIL"),
            NoAnswer("the host has no address"),
            "could not be asked, the name servers answer SERVFAIL",
            "could not be asked, the host has no address",
        ),
        (
            NoAnswer("the name has no TXT record"),
            AddressRefused("it leads to an address that is not public"),
            "the name has no TXT record",
            "could not be asked, it leads to an address that is not public",
        ),
    ],
)
async def test_a_refusal_tells_of_both_places_and_what_to_do(
    world: World,
    internet: Internet,
    record: Sequence[bytes] | Exception,
    file: Reply | Exception,
    in_record: str,
    in_file: str,
) -> None:
    await world.add_domain(NAME)
    proof = (await proof_of(world, world.owner)).decode()
    internet.texts[RECORD], internet.files[FILE] = record, file
    with pytest.raises(WrongState) as caught:
        await world.prove(NAME)
    told = str(caught.value)
    assert f"TXT record {RECORD}: {in_record}; file {FILE}: {in_file}" in told
    assert told.endswith(f"let either say {proof}, the file without a redirect, and try again")
    # Not what others have put there.
    assert "spf1" not in told
    assert "hello" not in told


async def test_a_domain_is_proven_by_a_file_that_only_its_owner_can_serve(
    world: World, internet: Internet
) -> None:
    await world.add_domain("Acme.Example.", world.owner)
    proof = await proof_of(world, world.owner)
    wrong = [
        Reply(404, {}, proof),
        Reply(301, {"location": "https://www.acme.example/"}, b""),
        Reply(200, {}, b""),
        Reply(200, {}, proof[:-1]),
        Reply(200, {}, proof + b"x"),
        Reply(200, {}, b"<html>" + proof),
        Reply(200, {}, proof.upper()),
        Reply(200, {}, proof + b" " * PROOF_FILE_BYTES_MAX + b"x"),
    ]
    for reply in wrong:
        internet.files[FILE] = reply
        with pytest.raises(WrongState, match="not proven"):
            await world.prove(NAME)
    internet.files[FILE] = Reply(200, {}, proof + b"\r\n")
    await world.prove(NAME)
    assert ("single_sign_on.prove_domain", "accepted", [NAME]) in await world.audited()


async def test_the_proof_of_one_account_does_not_prove_another_s(
    world: World, internet: Internet
) -> None:
    eve = await world.sign_up("eve@example.com")
    await world.add_domain(NAME)
    await world.add_domain(NAME, eve)
    mine = await proof_of(world, world.owner)
    internet.files[FILE] = Reply(200, {}, mine)
    internet.texts[RECORD] = [mine]
    with pytest.raises(WrongState, match="not proven"):
        await world.prove(NAME, eve)
    await world.prove(NAME)
    yours = await proof_of(world, eve)
    internet.texts[RECORD] = [mine, yours]
    with pytest.raises(AlreadyExists):
        await world.prove(NAME, eve)


async def test_a_domain_that_was_not_named_is_not_there(world: World) -> None:
    with pytest.raises(NotFound):
        await world.prove("other.test")
    with pytest.raises(AlreadyExists):
        await world.add_domain(DOMAIN)


@pytest.mark.parametrize(
    "name", ["", "acme", ".acme.test", "acme..test", "a b.test", "ä.test", "x" * 254, "-a.test"]
)
async def test_what_is_no_domain_is_refused(world: World, name: str) -> None:
    with pytest.raises(InvalidField, match="domain"):
        await world.add_domain(name)


async def test_an_account_has_so_many_domains_and_no_more(world: World) -> None:
    for number in range(1, DOMAINS_MAX):
        await world.add_domain(f"d{number}.test")
    with pytest.raises(LimitReached):
        await world.add_domain("one-more.test")


async def test_an_unproven_domain_leads_nowhere(world: World) -> None:
    await world.add_domain("other.test")
    with pytest.raises(InvalidField, match="by password"):
        await world.begin("ada@other.test")
