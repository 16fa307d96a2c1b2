"""What the TXT records of a name say, by a real name server on this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator

import dns.message
import dns.name
import dns.rcode
import dns.resolver
import pytest

from tenancy import text_records
from tenancy.errors import NoAnswer
from tenancy.text_records import ANSWER_BYTES_MAX, system_texts
from tests.name_server import HOST, NameServer, Strings, name_server

NAME = "_perdure.acme.example"


@pytest.fixture
async def server() -> AsyncIterator[NameServer]:
    async with name_server() as server:
        yield server


async def why_not(server: NameServer, name: str = NAME) -> str:
    with pytest.raises(NoAnswer) as caught:
        await server.read_texts(name)
    # Where our own name servers are is nobody's business.
    assert HOST not in str(caught.value)
    assert str(server.port) not in str(caught.value)
    return caught.value.why


async def test_all_texts_of_a_name_are_read(server: NameServer) -> None:
    server.records[NAME] = [(b"v=spf1 -all",), (b"perdure-domain=x",)]
    assert sorted(await server.read_texts(NAME)) == [b"perdure-domain=x", b"v=spf1 -all"]


async def test_the_strings_of_a_record_are_one_text(server: NameServer) -> None:
    server.records[NAME] = [(b"perdure-", b"", b"domain=", b"x" * 255)]
    assert await server.read_texts(NAME) == [b"perdure-domain=" + b"x" * 255]


async def test_a_name_that_stands_for_another_has_its_texts(server: NameServer) -> None:
    server.aliases[NAME] = "proofs.example"
    server.records["proofs.example"] = [(b"perdure-domain=x",)]
    assert await server.read_texts(NAME) == [b"perdure-domain=x"]


async def test_the_name_alone_is_asked_for_and_no_text_but_its_texts(server: NameServer) -> None:
    """With no search list, and nothing that would lead to a host."""
    assert await why_not(server) == "the name does not exist"
    assert server.asked == [f"{NAME} TXT"]


async def test_a_search_list_of_the_machine_does_not_apply(
    server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    reset = dns.resolver.BaseResolver.reset

    def as_configured(resolver: dns.resolver.BaseResolver) -> None:
        reset(resolver)
        resolver.search = [dns.name.from_text("internal.example.")]
        resolver.use_search_by_default = True

    monkeypatch.setattr(dns.resolver.BaseResolver, "reset", as_configured)
    for name in (NAME, "db"):
        server.records[f"{name}.internal.example"] = [(b"ours",)]
        assert await why_not(server, name) == "the name does not exist"


async def test_a_name_without_texts_is_told_from_one_that_does_not_exist(
    server: NameServer,
) -> None:
    server.records[NAME] = []
    assert await why_not(server) == "the name has no TXT record"


@pytest.mark.parametrize("code", ["SERVFAIL", "REFUSED"])
async def test_a_failure_of_the_name_servers_is_told_by_its_code(
    server: NameServer, code: str
) -> None:
    server.failures[NAME] = dns.rcode.from_text(code)
    assert await why_not(server) == f"could not be asked, the name servers answer {code}"


async def test_a_name_server_that_says_nothing_is_not_waited_for_for_ever(
    server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_records, "ANSWER_SECONDS_MAX", 0.2)
    server.is_silent = True
    assert await why_not(server) == "could not be asked, no answer within 0.2 seconds"
    assert server.asked


async def test_what_is_no_dns_is_no_answer(
    server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_records, "ANSWER_SECONDS_MAX", 0.2)
    server.garbage[NAME] = b"HTTP/1.1 200 OK"
    assert "no answer within 0.2 seconds" in await why_not(server)


@pytest.mark.parametrize("told", [None, "", "search example.com\n", "nameserver example.com\n"])
async def test_a_machine_without_name_servers_asks_nobody(
    told: str | None, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path_factory.mktemp("etc") / "resolv.conf"
    if told is not None:
        path.write_text(told, encoding="utf-8")
    read = dns.resolver.BaseResolver.read_resolv_conf
    monkeypatch.setattr(
        dns.resolver.BaseResolver, "read_resolv_conf", lambda it, _path: read(it, path)
    )
    with pytest.raises(NoAnswer, match="this server has no name servers"):
        await system_texts(NAME)


@pytest.mark.parametrize("name", ["x." * 127 + "example", "a" * 64 + ".example", "a..example"])
async def test_what_cannot_be_a_name_is_not_asked_for(server: NameServer, name: str) -> None:
    assert "could not be asked" in await why_not(server, name)
    assert not server.asked


def records_of(answer_bytes: int) -> list[Strings]:
    """Several, in an answer of so many bytes."""
    query = dns.message.make_query(NAME, "TXT", use_edns=0)
    alone = NameServer()
    alone.records[NAME] = [(b"first",), (b"",)]
    left = answer_bytes - len(alone.reply(query).to_wire())
    # Each string but the first, which is counted, has a byte for its length.
    strings = [b"x" * 255] * (left // 256)
    return [(b"first",), (b"x" * (left % 256), *strings)]


@pytest.mark.parametrize("size", [ANSWER_BYTES_MAX - 1, ANSWER_BYTES_MAX])
async def test_an_answer_has_so_many_bytes(server: NameServer, size: int) -> None:
    server.records[NAME] = records_of(size)
    assert len(await server.read_texts(NAME)) == 2


@pytest.mark.parametrize("size", [ANSWER_BYTES_MAX + 1, 60_000])
async def test_an_answer_has_no_more_bytes(server: NameServer, size: int) -> None:
    """It is not asked for again by TCP, which this server does not speak."""
    server.records[NAME] = records_of(size)
    assert await why_not(server) == "could not be asked, the answer has more than 1,232 bytes"
    assert len(server.asked) == 1


async def test_thousands_of_records_are_not_read(server: NameServer) -> None:
    server.records[NAME] = [(str(number).encode(),) for number in range(2_000)]
    assert "more than 1,232 bytes" in await why_not(server)


async def test_the_next_server_is_asked_when_one_says_nothing(
    server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_records, "SERVER_SECONDS_MAX", 0.2)
    server.records[NAME] = [(b"perdure-domain=x",)]
    # Of a range that is nobody's.
    servers = ["240.0.0.1", HOST]
    assert await system_texts(NAME, servers=servers, port=server.port) == [b"perdure-domain=x"]
