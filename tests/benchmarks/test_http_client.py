"""The benchmark's HTTP client reads what it must and refuses the rest."""

from __future__ import annotations

import asyncio

import pytest

from benchmarks.http_client import Answer, BrokenAnswer, HttpClient, parse_head

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


def test_a_head_has_a_status_and_lower_case_names() -> None:
    head = parse_head(b"HTTP/1.1 404 Not Found\r\nContent-Length: 7\r\nX-A:  b \r\n\r\n")
    assert (head.status, head.body_bytes, head.headers[b"x-a"]) == (404, 7, b"b")
    assert head.keeps_open


def test_an_answer_without_content_may_leave_its_length_out() -> None:
    assert parse_head(b"HTTP/1.1 204 No Content\r\n\r\n").body_bytes == 0


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"HTTP/2 200\r\n\r\n", "status line"),
        (b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n", "not a header"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "content-length"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "chunked"),
    ],
)
def test_what_the_client_cannot_read_is_an_error(data: bytes, problem: str) -> None:
    with pytest.raises(BrokenAnswer, match=problem):
        _ = parse_head(data).body_bytes


class Server:
    """Answers each request with the next prepared answer; counts connections."""

    def __init__(self, answers: list[bytes]) -> None:
        self.answers = answers
        self.connections = 0
        self.heads: list[bytes] = []

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while self.answers:
            try:
                self.heads.append(await reader.readuntil(b"\r\n\r\n"))
            except asyncio.IncompleteReadError:
                break
            answer = self.answers.pop(0)
            writer.write(answer)
            if b"Connection: close" in answer or not answer:
                break
        writer.close()


async def exchange(answers: list[bytes], count: int) -> tuple[list[Answer], Server]:
    server = Server(answers)
    async with await asyncio.start_server(server.talk, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        async with HttpClient(port, {"X-Key": "k"}) as client:
            return [await client.request("GET", "/x") for _ in range(count)], server


@pytest.mark.anyio
async def test_a_connection_is_used_again() -> None:
    answers, server = await exchange([OK, OK, OK], 3)
    assert [answer.body for answer in answers] == [b"hi"] * 3
    assert server.connections == 1
    assert b"X-Key: k\r\n" in server.heads[0]


@pytest.mark.anyio
async def test_a_connection_the_server_closes_is_not() -> None:
    closing = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    answers, server = await exchange([closing, OK], 2)
    assert [answer.body for answer in answers] == [b"hi"] * 2
    assert server.connections == 2


@pytest.mark.anyio
async def test_a_connection_that_ends_in_the_middle_is_an_error() -> None:
    with pytest.raises(BrokenAnswer, match="closed the connection during /x"):
        await exchange([b""], 1)
