"""TXT records of names that tenants give us, by this machine's own resolver.

Whatever the name is, we ask the name servers that the machine is set up with (`/etc/resolv.conf`)
and connect to nobody else: a name is no way to a host of ours. What a record says is for comparing
and must not be told, as these servers may know zones that only we should read.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import dns.asyncresolver
import dns.exception
import dns.message
import dns.name
import dns.nameserver
import dns.rcode
import dns.rdatatype
import dns.resolver
from dns.rdtypes.ANY.TXT import TXT

from tenancy.errors import NoAnswer

ANSWER_SECONDS_MAX = 4.0
SERVER_SECONDS_MAX = 2.0
"""Of one server, so that the next one is asked too."""
ANSWER_BYTES_MAX = 1_232
"""What a datagram carries anywhere without being cut in pieces: a dozen proofs."""
PORT = 53

ReadTexts = Callable[[str], Awaitable[Sequence[bytes]]]
"""What the TXT records of a full name say, at least one; raises NoAnswer, which says why not."""


async def system_texts(
    name: str, *, servers: Sequence[str] = (), port: int = PORT
) -> Sequence[bytes]:
    """`servers` and `port` take the place of the machine's own."""
    try:
        resolver = _resolver(servers, port)
        # A name that does not end in a dot here is absolute all the same: no search list applies.
        answer = await resolver.resolve(dns.name.from_text(name), dns.rdatatype.TXT, search=False)
    except (dns.exception.DNSException, ValueError) as error:
        raise NoAnswer(_why(error)) from None
    # A text of more than 255 bytes comes as several strings.
    return [b"".join(record.strings) for record in answer if isinstance(record, TXT)]


class _ByDatagram(dns.nameserver.Do53Nameserver):
    """What a datagram is too small for is refused: by TCP an answer may have thousands of records,
    which would take a while to read."""

    async def async_query(self, *given: Any, **named: Any) -> dns.message.Message:
        if named["max_size"]:
            raise dns.message.Truncated
        return await super().async_query(*given, **named)


def _resolver(servers: Sequence[str], port: int) -> dns.asyncresolver.Resolver:
    """A new one each time, as the machine's settings may have changed."""
    resolver = dns.asyncresolver.Resolver(configure=not servers)
    known = servers or [str(server) for server in resolver.nameservers]
    resolver.nameservers = [_ByDatagram(server, port) for server in known]
    resolver.timeout, resolver.lifetime = SERVER_SECONDS_MAX, ANSWER_SECONDS_MAX
    resolver.use_edns(0, 0, ANSWER_BYTES_MAX)
    return resolver


def _why(error: Exception) -> str:
    """Without the text of the error, which tells of our network."""
    match error:
        case dns.resolver.NXDOMAIN():
            return "the name does not exist"
        case dns.resolver.NoAnswer():
            return "the name has no TXT record"
        case dns.exception.Timeout():
            return f"could not be asked, no answer within {ANSWER_SECONDS_MAX:g} seconds"
        case dns.resolver.NoNameservers():
            return f"could not be asked, {_server_failure(error)}"
        case dns.resolver.NoResolverConfiguration() | ValueError():
            return "could not be asked, this server has no name servers"
    return "could not be asked, it is too long for a name"


def _server_failure(error: dns.resolver.NoNameservers) -> str:
    *_, problem, answer = error.kwargs["errors"][-1]
    if isinstance(problem, dns.message.Truncated):
        return f"the answer has more than {ANSWER_BYTES_MAX:,} bytes"
    if answer is None:
        return "the name servers cannot be reached"
    return f"the name servers answer {dns.rcode.to_text(answer.rcode())}"
