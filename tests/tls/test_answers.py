"""What a client gets over TLS is whole, whatever its size."""

from __future__ import annotations

import asyncio

import pytest

from api.tls.protocol import WAITING_BYTES_MAX, TogetherTransport
from tests.tls.site import TlsSite


class Written(asyncio.Transport):
    """A transport that keeps what is written to it, write by write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.is_closed = False

    def write(self, data: object) -> None:
        assert isinstance(data, bytes)
        self.writes.append(data)

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed


@pytest.fixture
def written() -> Written:
    return Written()


async def together(written: Written) -> TogetherTransport:
    return TogetherTransport(written, asyncio.get_running_loop())


async def test_the_parts_of_an_answer_leave_together(written: Written) -> None:
    transport = await together(written)
    for answer in (b"a", b"c"):
        transport.write(answer)
        transport.write(b"b")
        await asyncio.sleep(0)
    assert written.writes == [b"ab", b"cb"]


async def test_what_waits_leaves_before_the_connection_closes(written: Written) -> None:
    transport = await together(written)
    transport.write(b"last words")
    transport.close()
    await asyncio.sleep(0)
    assert (written.writes, written.is_closed) == ([b"last words"], True)


async def test_nothing_is_written_to_a_connection_that_is_gone(written: Written) -> None:
    transport = await together(written)
    transport.write(b"x")
    written.close()
    await asyncio.sleep(0)
    assert written.writes == []
    assert transport.is_closing()


@pytest.mark.parametrize(("more", "writes"), [(-1, 0), (0, 1), (1, 1)])
async def test_no_more_waits_than_may(written: Written, more: int, writes: int) -> None:
    transport = await together(written)
    transport.write(b"x" * (WAITING_BYTES_MAX + more))
    assert len(written.writes) == writes
    await asyncio.sleep(0)
    assert len(b"".join(written.writes)) == WAITING_BYTES_MAX + more


async def test_a_large_document_arrives_whole(site: TlsSite) -> None:
    headers, extensions = {"host": "localhost"}, {"sni_hostname": "localhost"}
    plain = await site.plain.stranger().get("/api/v1/openapi.json")
    answer = await site.client().get("/api/v1/openapi.json", headers=headers, extensions=extensions)
    assert answer.json() == plain
    assert len(answer.content) > WAITING_BYTES_MAX
