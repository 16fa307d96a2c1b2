"""A name server on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import cast

import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from dns.rdtypes.ANY.TXT import TXT

from tenancy.text_records import ReadTexts, system_texts

HOST = "127.0.0.1"

Strings = tuple[bytes, ...]


class NameServer:
    """By full name, without a dot at the end: the strings of each TXT record, or whatever else is
    there. What it does not know does not exist; it is `silent` if it answers nothing at all.
    """

    def __init__(self) -> None:
        self.port = 0
        self.records: dict[str, Sequence[Strings]] = {}
        self.aliases: dict[str, str] = {}
        self.failures: dict[str, dns.rcode.Rcode] = {}
        self.garbage: dict[str, bytes] = {}
        self.is_silent = False
        self.asked: list[str] = []

    @property
    def read_texts(self) -> ReadTexts:
        """By the resolver of the product, which asks here instead of where the machine does."""
        return partial(system_texts, servers=[HOST], port=self.port)

    def answer(self, asked: bytes) -> bytes | None:
        query = dns.message.from_wire(asked)
        name = query.question[0].name.to_text(omit_final_dot=True)
        self.asked.append(f"{name} {dns.rdatatype.to_text(query.question[0].rdtype)}")
        if self.is_silent:
            return None
        if name in self.garbage:
            return self.garbage[name]
        told = self.reply(query).to_wire(max_size=65_535)
        # As much as the client said that it takes.
        if len(told) <= max(query.payload, 512):
            return told
        cut = dns.message.make_response(query)
        cut.flags |= dns.flags.TC
        return cut.to_wire()

    def reply(self, query: dns.message.Message) -> dns.message.Message:
        name = query.question[0].name.to_text(omit_final_dot=True)
        reply = dns.message.make_response(query)
        if name in self.failures:
            reply.set_rcode(self.failures[name])
            return reply
        if (alias := self.aliases.get(name)) is not None:
            reply.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", "CNAME", f"{alias}."))
            name = alias
        if name not in self.records:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        elif self.records[name]:
            texts = [TXT(dns.rdataclass.IN, dns.rdatatype.TXT, it) for it in self.records[name]]
            reply.answer.append(dns.rrset.from_rdata_list(f"{name}.", 60, texts))
        return reply


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: NameServer) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)
        self._server.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        told = self._server.answer(data)
        if told is not None:
            self._transport.sendto(told, addr)


@asynccontextmanager
async def name_server() -> AsyncIterator[NameServer]:
    server = NameServer()
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Datagrams(server), local_addr=(HOST, 0)
    )
    try:
        yield server
    finally:
        transport.close()
