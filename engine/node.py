"""A node: one process's part of a cell. It answers calls, or passes them to the shard's owner."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass

from google.protobuf.message import DecodeError, Message

from engine.call import TRACE, Call
from engine.cell import looked_at, remote
from engine.cell.committer import Committer
from engine.cell.directory import Directory
from engine.cell.dispatch import Dispatcher
from engine.cell.forgetting import Forgetting
from engine.cell.forwards import Forwards
from engine.cell.gauges import gauges, of_namespaces
from engine.cell.history_reader import HistoryReader
from engine.cell.loader import Loader
from engine.cell.namespaces import Namespaces
from engine.cell.purge import Purge
from engine.cell.services import Services
from engine.cell.shard import Shard, ShardParts
from engine.cell.task_answers import TaskAnswers
from engine.env import Env
from engine.errors import (
    DeadlineExceeded,
    EngineError,
    Internal,
    InvalidArgument,
    StoreError,
    Unavailable,
    Unimplemented,
)
from engine.handlers import HANDLERS
from engine.handlers.handler import Handler
from engine.handlers.list_task_queues import summaries
from engine.measures import Measures, Reading, encode
from engine.peer import Peer
from engine.persistence.protocols import Store
from engine.protocol.cell_pb2 import ReadMeasuresRequest
from engine.protocol.tasks_pb2 import ListTaskQueuesResponse
from engine.sealing import Sealer
from engine.tokens import Tokens

log = logging.getLogger(__name__)

RETRY_SECONDS = 0.05
RETRY_SECONDS_MAX = 6.0
"""How long a call waits for a shard that moves: longer than a lease lasts."""
IDLE_QUEUE_SECONDS = 60
OFFER_AGAIN_SECONDS = 1
CALL_ID_BYTES = 12


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """What a cell's nodes have in common."""

    shard_count: int
    sealing_keys: Mapping[int, bytes]
    sealing_key_active: int


class Node:
    """Serves the cell's RPCs. Several nodes share a store, each owning some of its shards."""

    def __init__(self, name: str, env: Env, store: Store, peer: Peer, config: NodeConfig) -> None:
        self._env = env
        self._store = store
        self._peer = peer
        self._tasks: list[asyncio.Task[None]] = []
        self._stopped = False
        self._forwards = Forwards(env)
        self.measures = Measures(env.monotonic)
        self._directory = Directory(name, env, store, config.shard_count)
        sealer = Sealer(config.sealing_keys, config.sealing_key_active, env.token_bytes)
        tokens = Tokens(sealer)
        history = HistoryReader(store)
        namespaces = Namespaces(env, store, self._announce_namespaces)
        answers = TaskAnswers(tokens, history)
        owners = _Owners(self._directory, peer, self._refill)
        dispatcher = Dispatcher(env, owners, namespaces, answers, history, measures=self.measures)
        self._committer = Committer(
            env, store, lambda: self._directory.shards, self._directory.lose, self.measures
        )
        load, wake = Loader(env, store).load, self._committer.wake
        forgetting = Forgetting(env)
        ended = forgetting.retention_ended
        parts = ShardParts(env, store, load, dispatcher, wake, self.measures, ended)
        self._directory.wire(parts, self._moved, dispatcher.matching.shard_lost)
        self._purge = Purge(env, store, self._directory, namespaces, forgetting)
        namespaces.changed = self._purge.wake
        self._services = Services(
            env,
            store,
            self._directory,
            dispatcher,
            namespaces,
            history,
            tokens,
            self._elsewhere,
            self.measures,
        )

    async def start(self) -> None:
        """Open the store and take part in the cell. Raises StoreError."""
        await self._store.open(self._directory.shard_count)
        await self._services.namespaces.reload()
        self._tasks = [
            self._env.spawn("commit", self._committer.run()),
            self._env.spawn("keep_leases", self._directory.run()),
            self._env.spawn("forget_idle_queues", self._forget_idle_queues()),
            self._env.spawn("purge", self._purge.run()),
            self._env.spawn("read_namespaces", self._services.namespaces.keep_fresh()),
        ]

    async def stop(self) -> None:
        """Stop answering; what is decided but not durable was acknowledged to nobody."""
        self._stopped = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._directory.leave()
        await self._store.close()

    @property
    def is_ready(self) -> bool:
        """Whether every shard has an owner and the store can be written."""
        return self._directory.is_settled and self._directory.store_error is None

    @property
    def store_error(self) -> StoreError | None:
        """Why nothing can be written now, while that is so."""
        return self._directory.store_error

    def readings(self) -> Iterator[Reading]:
        """What an operator may know of the node's work, at this moment."""
        yield from self.measures.readings()
        yield from gauges(self._directory, self._services.dispatcher.matching)

    async def call(self, method: str, request: bytes, call: Call) -> bytes:
        """Answer an RPC, wherever its shard is. Raises EngineError."""
        handler = _handler(method)
        parsed = _parse(handler, request)
        if handler.complete is not None and handler.complete(parsed, self._env):
            request = parsed.SerializeToString()
        deadline = self._env.monotonic() + call.timeout_seconds
        give_up = min(deadline, self._env.monotonic() + RETRY_SECONDS_MAX)
        pause = RETRY_SECONDS
        while True:
            try:
                shard_id = handler.shard(self._services, parsed, call)
                if shard_id is None or self._directory.is_here(shard_id):
                    return await self._handle(handler, parsed, call)
                left = deadline - self._env.monotonic()
                call_id = self._env.token_bytes(CALL_ID_BYTES)
                forward = remote.Forward(call_id, method, request, call.within(left))
                payload = remote.encode(forward)
                owner = self._directory.owner(shard_id)
                return remote.answer_of(await self._peer.call(owner, remote.FORWARD, payload))
            except Unavailable:
                if self._stopped or self._env.monotonic() + pause > give_up:
                    raise
            await self._env.sleep(pause)
            pause = min(pause * 2, 1.0)

    async def serve(self, method: str, payload: bytes) -> bytes:
        """Answer another node."""
        if method != remote.FORWARD:
            return await self._reply(method, self._serve(method, payload))
        forward = remote.decode(remote.Forward, payload)
        return await self._forwards.once(
            forward.call_id, lambda: self._reply(method, self._serve_forward(forward))
        )

    async def _reply(self, method: str, answer: Awaitable[bytes]) -> bytes:
        """The answer, or the refusal, as another node is told it."""
        try:
            return remote.OK + await answer
        except EngineError as error:
            return remote.encode_refusal(error)
        except StoreError:
            return remote.encode_refusal(Unavailable())
        except Exception:
            log.exception("peer_call_failed", extra={"method": method})
            return remote.encode_refusal(Internal())

    async def _serve(self, method: str, payload: bytes) -> bytes:
        if method == remote.OFFER:
            taken = self._services.dispatcher.accept(remote.decode(remote.Offer, payload))
            return b"\1" if taken else b""
        if method == remote.START:
            start = remote.decode(remote.Start, payload)
            return await self._services.dispatcher.start_here(start.task, start.poller)
        if method == remote.NAMESPACES_CHANGED:
            await self._services.namespaces.reload()
            return b""
        if method == remote.TASK_QUEUES:
            queues = self._services.dispatcher.matching.of_namespace(payload.decode())
            answer = ListTaskQueuesResponse(task_queues=summaries(queues))
            return answer.SerializeToString()
        if method == remote.MEASURES:
            wanted = ReadMeasuresRequest.FromString(payload).namespace_ids
            matching = self._services.dispatcher.matching
            return encode(of_namespaces(wanted, self.measures, matching))
        if method == remote.OFFER_AGAIN:
            self._moved(int(payload))
            return b""
        raise Unimplemented(f"no peer method {method!r}")

    async def _serve_forward(self, forward: remote.Forward) -> bytes:
        handler = _handler(forward.method)
        parsed = _parse(handler, forward.request)
        shard_id = handler.shard(self._services, parsed, forward.call)
        if shard_id is not None and not self._directory.is_here(shard_id):
            raise Unavailable(shard_id=shard_id)
        return await self._handle(handler, parsed, forward.call)

    async def _handle(self, handler: Handler, request: Message, call: Call) -> bytes:
        if call.trace:
            TRACE.set(call.trace)
        looked = looked_at.begin()
        try:
            if handler.in_namespace:
                await self._services.namespaces.get(call.namespace_id)
            answer = await handler.handle(self._services, request, call)
        except EngineError:
            await looked_at.all_durable(looked)
            raise
        except StoreError as error:
            raise Unavailable("the store is not available now") from error
        except TimeoutError:
            raise DeadlineExceeded from None
        except Exception as error:
            log.exception("call_failed", extra={"method": handler.method})
            raise Internal from error
        return answer if isinstance(answer, bytes) else answer.SerializeToString()

    async def _elsewhere(self, method: str, payload: bytes) -> list[bytes]:
        calls = [self._peer.call(node, method, payload) for node in sorted(self._directory.nodes())]
        return [remote.answer_of(reply) for reply in await asyncio.gather(*calls)]

    def _announce_namespaces(self) -> None:
        self._tell_others(remote.NAMESPACES_CHANGED, b"")

    def _refill(self, home_shard: int) -> None:
        """A queue of this node wants more of its backlog than it kept."""
        self._moved(home_shard)
        self._tell_others(remote.OFFER_AGAIN, str(home_shard).encode())

    def _tell_others(self, method: str, payload: bytes) -> None:
        for node in sorted(self._directory.nodes()):
            self._env.spawn("tell_node", self._tell(node, method, payload))

    async def _tell(self, node: str, method: str, payload: bytes) -> None:
        try:
            await self._peer.call(node, method, payload)
        except EngineError:
            # Namespaces are read anew now and then, tasks are offered again when the node takes
            # shards: what it missed it learns then.
            log.info("node_not_told", extra={"node": node, "method": method})

    def _moved(self, shard_id: int) -> None:
        """A shard, and so the task queues it is home of, has another owner."""
        self._purge.wake()
        for shard in self._directory.offering:
            self._env.spawn("offer_again", self._offer_again(shard, shard_id))

    async def _offer_again(self, shard: Shard, home_shard: int) -> None:
        while True:
            try:
                await shard.offer_again(home_shard)
            except (StoreError, Unavailable) as error:
                if shard.lost:
                    return
                # While shards are taken over this passes; a lease that is over is told elsewhere.
                passes = isinstance(error, Unavailable) or not self._directory.is_settled
                tell = log.info if passes else log.warning
                tell("offer_again_failed", extra={"why": str(error)})
                await self._env.sleep(OFFER_AGAIN_SECONDS)
            else:
                return

    async def _forget_idle_queues(self) -> None:
        while True:
            await self._env.sleep(IDLE_QUEUE_SECONDS)
            self._services.dispatcher.matching.forget_idle()


class _Owners:
    """The directory, with a way to ask the other owners."""

    def __init__(
        self, directory: Directory, peer: Peer, offer_again: Callable[[int], None]
    ) -> None:
        self._directory = directory
        self._peer = peer
        self.offer_again = offer_again
        self.shard_count = directory.shard_count

    def owned(self, shard_id: int) -> Shard:
        return self._directory.owned(shard_id)

    def is_here(self, shard_id: int) -> bool:
        return self._directory.is_here(shard_id)

    async def call(self, shard_id: int, method: str, payload: bytes) -> bytes:
        owner = self._directory.owner(shard_id)
        return remote.answer_of(await self._peer.call(owner, method, payload))


def _handler(method: str) -> Handler:
    handler = HANDLERS.get(method)
    if handler is None:
        raise Unimplemented(f"{method.rpartition('.')[2]} is not offered by this cell")
    return handler


def _parse(handler: Handler, request: bytes) -> Message:
    try:
        return handler.request.FromString(request)
    except DecodeError:
        raise InvalidArgument(
            f"the request is no {handler.request.DESCRIPTOR.name} message"
        ) from None
