"""Letters: posted with their cause, delivered by SMTP or as files, given up after a while."""

from __future__ import annotations

import socket
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

import pytest
import sqlalchemy as sa
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from tenancy.deliveries import (
    ATTEMPTS_MAX,
    BACKOFF_SECONDS_FIRST,
    BACKOFF_SECONDS_MAX,
    KEPT_DAYS,
    NotDelivered,
    backoff,
)
from tenancy.errors import InvalidField
from tenancy.mail import Letter, MailFolder, MailTransport, Postman, smtp_server
from tenancy.mail.delivery import CLAIM_SECONDS
from tenancy.mail.outbox import LetterState, PostedLetter
from tests.tenancy.cloud import Cloud

LETTER = Letter("ada@example.com", "Reset your password", "https://cloud.test/reset/secret\n")


@dataclass
class Mailbox:
    """Takes letters over; `failures` are raised by its next calls, in order."""

    messages: list[EmailMessage] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)

    async def send(self, message: EmailMessage) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.messages.append(message)


def postman(cloud: Cloud, transport: MailTransport) -> Postman:
    return Postman(
        database=cloud.database,
        outbox=cloud.control.outbox,
        transport=transport,
        sender="perdure@example.org",
        now=cloud.clock.now,
    )


async def post(cloud: Cloud, letter: Letter = LETTER) -> str:
    async with cloud.database.transaction() as session:
        return await cloud.control.outbox.post(session, letter, account_id=None, kind="reset")


async def posted(cloud: Cloud, letter_id: str) -> PostedLetter:
    async with cloud.database.reading() as session:
        return await session.get_one(PostedLetter, letter_id)


async def test_a_letter_is_sent_once_and_then_forgets_its_text(cloud: Cloud) -> None:
    mailbox = Mailbox()
    letter_id = await post(cloud)
    assert await postman(cloud, mailbox).deliver() == 1
    assert await postman(cloud, mailbox).deliver() == 0
    (message,) = mailbox.messages
    assert (message["To"], message["Subject"]) == (LETTER.to, LETTER.subject)
    assert message["Message-ID"] == f"<{letter_id}@example.org>"
    assert message.get_content() == LETTER.text
    told = await posted(cloud, letter_id)
    assert (told.state, told.sealed, told.due_at) == (LetterState.SENT, None, None)


async def test_a_letter_of_a_unit_of_work_that_fails_is_not_sent(cloud: Cloud) -> None:
    async def post_and_fail() -> None:
        async with cloud.database.transaction() as session:
            await cloud.control.outbox.post(session, LETTER, account_id=None, kind="reset")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await post_and_fail()
    assert await postman(cloud, Mailbox()).deliver() == 0


async def test_a_letter_that_waits_tells_nothing_to_who_reads_the_table(cloud: Cloud) -> None:
    sealed = (await posted(cloud, await post(cloud))).sealed
    assert sealed is not None
    assert b"secret" not in sealed


async def test_a_crash_before_the_mark_sends_again_under_the_same_id(cloud: Cloud) -> None:
    letter_id = await post(cloud)
    crashing = Mailbox(failures=[ZeroDivisionError()])
    with pytest.raises(ZeroDivisionError):
        await postman(cloud, crashing).deliver()
    mailbox = Mailbox()
    assert await postman(cloud, mailbox).deliver() == 0, "it is still claimed"
    cloud.clock.move(seconds=CLAIM_SECONDS)
    assert await postman(cloud, mailbox).deliver() == 1
    assert mailbox.messages[0]["Message-ID"] == f"<{letter_id}@example.org>"


async def test_what_another_server_sent_after_a_claim_had_expired_stays_sent(cloud: Cloud) -> None:
    mailbox = Mailbox()

    class TooSlow(Mailbox):
        async def send(self, message: EmailMessage) -> None:
            cloud.clock.move(seconds=CLAIM_SECONDS)
            assert await postman(cloud, mailbox).deliver() == 1
            raise NotDelivered("the connection broke")

    letter_id = await post(cloud)
    assert await postman(cloud, TooSlow()).deliver() == 0
    told = await posted(cloud, letter_id)
    assert (told.state, told.due_at) == (LetterState.SENT, None)


async def test_a_letter_is_put_off_longer_each_time_and_given_up_in_the_end(
    cloud: Cloud, allow_log: Callable[..., None]
) -> None:
    allow_log("letter_given_up")
    letter_id = await post(cloud)
    refusing = Mailbox(failures=[NotDelivered("busy") for _ in range(ATTEMPTS_MAX)])
    for attempt in range(1, ATTEMPTS_MAX):
        await postman(cloud, refusing).deliver()
        told = await posted(cloud, letter_id)
        assert (told.state, told.attempts) == (LetterState.WAITING, attempt)
        assert told.due_at == cloud.clock.now() + backoff(attempt)
        cloud.clock.move(seconds=backoff(attempt).total_seconds())
    await postman(cloud, refusing).deliver()
    told = await posted(cloud, letter_id)
    assert (told.state, told.attempts, told.sealed) == (LetterState.FAILED, ATTEMPTS_MAX, None)


def test_waits_double_up_to_an_hour() -> None:
    assert backoff(1).total_seconds() == BACKOFF_SECONDS_FIRST
    assert backoff(2) == 2 * backoff(1)
    assert backoff(ATTEMPTS_MAX).total_seconds() == BACKOFF_SECONDS_MAX


async def test_a_refusal_for_good_is_not_tried_again(
    cloud: Cloud, allow_log: Callable[..., None]
) -> None:
    allow_log("letter_given_up")
    letter_id = await post(cloud)
    await postman(cloud, Mailbox(failures=[NotDelivered("no such box", is_final=True)])).deliver()
    assert (await posted(cloud, letter_id)).state is LetterState.FAILED


async def test_an_unreachable_server_is_not_asked_for_every_letter(cloud: Cloud) -> None:
    for _ in range(3):
        await post(cloud)
    mailbox = Mailbox(failures=[NotDelivered("no route", is_unreachable=True)])
    assert await postman(cloud, mailbox).deliver() == 0
    assert await postman(cloud, mailbox).deliver() == 2


async def test_letters_that_ended_are_forgotten_after_a_month(cloud: Cloud) -> None:
    await post(cloud)
    await postman(cloud, Mailbox()).deliver()
    cloud.clock.move(days=KEPT_DAYS, seconds=1)
    await post(cloud)
    await postman(cloud, Mailbox()).deliver()
    async with cloud.database.reading() as session:
        count = await session.scalar(sa.select(sa.func.count()).select_from(PostedLetter))
    assert count == 1


async def test_letters_become_files_that_only_their_owner_reads(
    cloud: Cloud, tmp_path: Path
) -> None:
    letter_id = await post(cloud)
    folder = tmp_path / "mail"
    await postman(cloud, MailFolder(folder)).deliver()
    (path,) = folder.iterdir()
    assert path.name == f"{letter_id}.eml"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert message_from_bytes(path.read_bytes(), policy=default).get_content() == LETTER.text


async def test_a_folder_that_cannot_be_written_puts_letters_off(
    cloud: Cloud, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    letter_id = await post(cloud)
    await postman(cloud, MailFolder(tmp_path / "file")).deliver()
    assert (await posted(cloud, letter_id)).state is LetterState.WAITING


class SmtpHandler:
    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []

    async def handle_RCPT(
        self,
        _server: SMTP,
        _session: Session,
        envelope: Envelope,
        address: str,
        _options: list[str],
    ) -> str:
        if address.startswith("nobody@"):
            return "550 no such mailbox"
        if address.startswith("later@"):
            return "450 try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        message = message_from_bytes(envelope.content, policy=default)
        assert isinstance(message, EmailMessage)
        self.messages.append(message)
        return "250 OK"


@pytest.fixture
def smtp() -> Iterator[Controller]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(SmtpHandler(), hostname="127.0.0.1", port=port)
    controller.start()
    yield controller
    controller.stop()


async def test_letters_go_by_smtp(cloud: Cloud, smtp: Controller) -> None:
    letter_id = await post(cloud, Letter("ada@example.com", "Grüße", "Straße\n"))
    server = smtp_server(f"smtp://127.0.0.1:{smtp.port}")
    assert await postman(cloud, server).deliver() == 1
    (message,) = smtp.handler.messages
    assert (message["To"], message["Subject"]) == ("ada@example.com", "Grüße")
    assert message["Message-ID"] == f"<{letter_id}@example.org>"
    assert message.get_content().strip() == "Straße"


async def test_what_a_server_refuses_for_now_is_put_off_and_for_good_is_ended(
    cloud: Cloud, smtp: Controller, allow_log: Callable[..., None]
) -> None:
    allow_log("letter_given_up")
    ids = [
        await post(cloud, Letter(f"{who}@example.com", "Hello", "Hello\n"))
        for who in ("nobody", "later", "ada")
    ]
    server = smtp_server(f"smtp://127.0.0.1:{smtp.port}")
    assert await postman(cloud, server).deliver() == 1
    states = [(await posted(cloud, id)).state for id in ids]
    assert states == [LetterState.FAILED, LetterState.WAITING, LetterState.SENT]


async def test_a_server_that_is_away_or_wants_no_password_puts_letters_off(
    cloud: Cloud, smtp: Controller
) -> None:
    letter_id = await post(cloud)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        away = smtp_server(f"smtp://127.0.0.1:{free.getsockname()[1]}")
        await postman(cloud, away).deliver()
    cloud.clock.move(hours=1)
    # It offers no authentication, so a password cannot be given to it.
    await postman(cloud, smtp_server(f"smtp://ada:secret@127.0.0.1:{smtp.port}")).deliver()
    told = await posted(cloud, letter_id)
    assert (told.state, told.attempts) == (LetterState.WAITING, 2)


def test_an_smtp_url_says_host_port_and_credentials() -> None:
    server = smtp_server("smtps://a%40b:p%2Fw@mail.example.com")
    assert (server.host, server.port, server.is_tls) == ("mail.example.com", 465, True)
    assert (server.user, server.password) == ("a@b", "p/w")
    assert "p/w" not in repr(server)
    assert smtp_server("smtp://mail.example.com").port == 587


@pytest.mark.parametrize(
    "url",
    ["", "mail.example.com", "http://secret@h", "smtp://", "smtp://h:99999", "smtp://h/secret"],
)
def test_what_is_no_smtp_url_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(InvalidField) as refusal:
        smtp_server(url)
    assert "secret" not in str(refusal.value)
