"""No forged, replayed or broken answer opens a session, and each is told by its own reason."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
import sqlalchemy as sa
from joserfc.jwk import RSAKey

from tenancy import Passwords
from tenancy.sessions import LoginSession
from tenancy.single_sign_on import SignOnProblem, SignOnRefused
from tenancy.single_sign_on.attempts import ATTEMPT_SECONDS_MAX
from tests.single_sign_on.forgery import Lie, at_hand
from tests.single_sign_on.identity_provider import IdentityProvider
from tests.single_sign_on.lies import LIES
from tests.single_sign_on.world import DOMAIN, EMAIL, World, open_world

UNAUDITED = frozenset(
    (
        SignOnProblem.NOT_BEGUN,
        SignOnProblem.STATE_MISSING,
        SignOnProblem.STATE_WRONG,
        SignOnProblem.ATTEMPT_OVER,
    )
)
"""Where nobody knows whose log-in it was."""


@pytest.fixture(scope="module")
def told_passwords() -> Iterator[Passwords]:
    passwords = Passwords(token_bytes=Random(1).randbytes, memory_kib=8, passes=1)
    yield passwords
    passwords.close()


@pytest.fixture(scope="module")
async def shared(
    migrated_file: Path,
    tmp_path_factory: pytest.TempPathFactory,
    running: IdentityProvider,
    told_passwords: Passwords,
) -> AsyncIterator[World]:
    """One for all lies, as none of them changes it."""
    path = tmp_path_factory.mktemp("lies") / "control.db"
    shutil.copy(migrated_file, path)
    async with open_world(f"sqlite+aiosqlite:///{path}", running, told_passwords) as world:
        yield world


@pytest.fixture
def liar(shared: World, provider: IdentityProvider, foreign_key: RSAKey) -> World:
    """A provider that is as good as new, and of which nothing is remembered."""
    provider.now = shared.clock.now
    account_id = shared.owner.account_id
    provider.redirect_uri = shared.sign_on.settings.redirect_uri(account_id)
    shared.forget_provider()
    at_hand(provider, foreign_key)
    return shared


async def session_count(world: World) -> int:
    async with world.database.reading() as session:
        count = await session.scalar(sa.select(sa.func.count()).select_from(LoginSession))
    return count or 0


async def tell(world: World, lie: Lie) -> None:
    answer = await world.returned(await world.begin())
    await world.finish(answer if lie.browser is None else lie.browser(answer))


@pytest.mark.parametrize("name", LIES)
async def test_a_lie_is_refused_for_what_it_is(liar: World, name: str) -> None:
    lie = LIES[name]
    liar.provider.faults = lie.faults
    if lie.provider is not None:
        lie.provider(liar.provider)
    sessions = await session_count(liar)
    with pytest.raises(SignOnRefused) as caught:
        await tell(liar, lie)
    assert caught.value.problem is lie.problem, caught.value
    assert await session_count(liar) == sessions
    assert EMAIL not in await liar.users()
    action, result, targets = (await liar.audited())[-1]
    if lie.problem not in UNAUDITED and "metadata" not in lie.faults:
        assert (action, result) == ("user.log_in_by_single_sign_on", "denied")
        assert targets == [lie.problem.name.lower()]


def test_there_is_a_lie_for_each_problem_that_a_provider_can_make() -> None:
    of_their_own = {
        SignOnProblem.ATTEMPT_OVER,
        SignOnProblem.SETTINGS_CHANGED,
        SignOnProblem.CLIENT_REFUSED,
        SignOnProblem.USER_ELSEWHERE,
        SignOnProblem.SUBJECT_CHANGED,
    }
    assert {lie.problem for lie in LIES.values()} == set(SignOnProblem) - of_their_own


async def refusal(world: World, answer: object) -> SignOnProblem:
    with pytest.raises(SignOnRefused) as caught:
        await world.finish(answer)  # type: ignore[arg-type]
    return caught.value.problem


async def test_an_answer_works_once(world: World) -> None:
    answer = await world.returned(await world.begin())
    assert (await world.finish(answer)).opened is not None
    assert await refusal(world, answer) is SignOnProblem.ATTEMPT_OVER


async def test_a_refused_answer_is_not_accepted_when_the_provider_is_honest_again(
    world: World,
) -> None:
    answer = await world.returned(await world.begin())
    world.provider.faults = {"claims": lambda it: {**it, "nonce": "another"}}
    assert await refusal(world, answer) is SignOnProblem.NONCE_WRONG
    world.provider.faults = {}
    assert await refusal(world, answer) is SignOnProblem.ATTEMPT_OVER


@pytest.mark.parametrize(("seconds", "is_over"), [(-1, False), (0, True), (1, True)])
async def test_a_log_in_takes_ten_minutes_at_most(
    world: World, seconds: int, is_over: bool
) -> None:
    answer = await world.returned(await world.begin())
    world.clock.move(seconds=ATTEMPT_SECONDS_MAX + seconds)
    if is_over:
        assert await refusal(world, answer) is SignOnProblem.ATTEMPT_OVER
    else:
        assert (await world.finish(answer)).opened is not None


async def test_the_answer_to_one_browser_is_of_no_use_in_another(world: World) -> None:
    mine, yours = await world.begin(), await world.begin()
    answer = await world.returned(mine)
    foreign = replace(answer, cookie=yours.cookie)
    assert await refusal(world, foreign) is SignOnProblem.STATE_WRONG
    # Whoever put it there has not ended either log-in.
    assert (await world.finish(answer)).opened is not None
    assert (await world.finish(await world.returned(yours))).opened is not None


async def test_a_code_of_one_log_in_is_of_no_use_in_another(world: World) -> None:
    stolen = await world.returned(await world.begin())
    answer = await world.returned(await world.begin())
    injected = replace(answer, code=stolen.code)
    assert await refusal(world, injected) is SignOnProblem.CODE_REFUSED


async def test_a_token_of_one_log_in_is_of_no_use_in_another(world: World) -> None:
    kept: list[str] = []

    def keep(it: str) -> str:
        kept.append(it)
        return it

    world.provider.faults = {"token": keep}
    await world.finish(await world.returned(await world.begin()))
    world.provider.faults = {"token": lambda _: kept[0]}
    answer = await world.returned(await world.begin())
    assert await refusal(world, answer) is SignOnProblem.NONCE_WRONG


async def test_settings_that_change_meanwhile_end_a_log_in(world: World) -> None:
    answer = await world.returned(await world.begin())
    await world.put(replace(world.draft, resource_version=1))
    assert await refusal(world, answer) is SignOnProblem.SETTINGS_CHANGED


async def test_a_wrong_client_secret_is_told_as_such(world: World) -> None:
    await world.put(replace(world.draft, client_secret="wrong", resource_version=1))
    answer = await world.returned(await world.begin())
    assert await refusal(world, answer) is SignOnProblem.CLIENT_REFUSED


async def test_two_providers_cannot_be_mixed_up(
    world: World, second: IdentityProvider, foreign_key: RSAKey
) -> None:
    """The victim begins at the attacker's provider, which sends it on to the honest one."""
    attacker = await world.sign_up("eve@evil.test")
    await world.put(replace(world.draft, issuer=second.issuer), attacker)
    await world.add_domain("evil.test", attacker)
    await world.prove("evil.test", attacker)
    begun = await world.begin("ada@evil.test")
    query = begun.url.partition("?")[2]
    honest = f"{world.provider.issuer}/authorize?{query}"
    # The honest provider knows only the redirect URI of its own account, so that one is asked for.
    honest = honest.replace(attacker.account_id, world.owner.account_id)
    answer = await world.returned(replace(begun, url=honest))
    assert await refusal(world, answer) is SignOnProblem.WRONG_ACCOUNT
    # Not even a provider that lets any redirect URI pass gets the code to the attacker.
    begun = await world.begin("ada@evil.test")
    query = begun.url.partition("?")[2]
    world.provider.redirect_uri = world.sign_on.settings.redirect_uri(attacker.account_id)
    answer = await world.returned(replace(begun, url=f"{world.provider.issuer}/authorize?{query}"))
    assert await refusal(world, answer) is SignOnProblem.ANSWER_ISSUER_WRONG
    assert "/token" not in second.asked
    assert f"ada@{DOMAIN}" not in await world.users()
