"""Keys change; what is asked of a provider, and how often."""

from __future__ import annotations

import base64
import hashlib

import pytest
from joserfc.jwk import ECKey, RSAKey
from starlette.responses import PlainTextResponse

from tenancy.single_sign_on import SignOnProblem, SignOnRefused
from tenancy.single_sign_on.id_token import LEEWAY_SECONDS
from tenancy.single_sign_on.known_providers import REFETCH_SECONDS_MIN, REMEMBERED_SECONDS_MAX
from tests.single_sign_on.identity_provider import KEY_ID, Json
from tests.single_sign_on.world import World


def key_questions(world: World) -> int:
    return world.provider.asked.count("/keys")


def rotate(world: World, key: RSAKey, key_id: str) -> None:
    world.provider.key = key
    world.provider.signs_by = {"alg": "RS256", "kid": key_id}
    world.provider.published = {"keys": [{**key.as_dict(private=False), "kid": key_id}]}


async def refused(world: World) -> SignOnProblem:
    answer = await world.returned(await world.begin())
    with pytest.raises(SignOnRefused) as caught:
        await world.finish(answer)
    return caught.value.problem


async def test_keys_are_asked_for_once(world: World) -> None:
    await world.log_in()
    await world.log_in()
    assert key_questions(world) == 1


async def test_a_new_key_is_asked_for(world: World, foreign_key: RSAKey) -> None:
    await world.log_in()
    rotate(world, foreign_key, "key-2")
    await world.log_in()
    assert key_questions(world) == 2


@pytest.mark.parametrize(
    ("seconds", "questions"),
    [(REFETCH_SECONDS_MIN - 1, 2), (REFETCH_SECONDS_MIN, 3), (REFETCH_SECONDS_MIN + 1, 3)],
)
async def test_a_name_that_nobody_knows_has_the_keys_asked_for_now_and_then(
    world: World, seconds: int, questions: int
) -> None:
    await world.log_in()
    first = await world.returned(await world.begin())
    second = await world.returned(await world.begin())
    world.provider.signs_by = {"alg": "RS256", "kid": "unknown"}
    for answer in (first, second):
        with pytest.raises(SignOnRefused):
            await world.finish(answer)
        world.clock.move(seconds=seconds)
    assert key_questions(world) == questions


async def test_a_key_that_is_taken_back_is_not_accepted_for_ever(
    world: World, foreign_key: RSAKey
) -> None:
    await world.log_in()
    world.provider.published = {"keys": [{**foreign_key.as_dict(private=False), "kid": "key-2"}]}
    await world.log_in()
    world.clock.move(seconds=REMEMBERED_SECONDS_MAX)
    assert await refused(world) is SignOnProblem.KEY_UNKNOWN


async def test_a_provider_whose_keys_are_broken_is_not_asked_without_end(world: World) -> None:
    first = await world.returned(await world.begin())
    second = await world.returned(await world.begin())
    third = await world.returned(await world.begin())
    world.provider.faults = {"keys": lambda _: PlainTextResponse("", 500)}
    problems = []
    for answer in (first, second):
        with pytest.raises(SignOnRefused) as caught:
            await world.finish(answer)
        problems.append(caught.value.problem)
    assert problems == [SignOnProblem.DOCUMENT_REFUSED, SignOnProblem.KEY_UNKNOWN]
    assert key_questions(world) == 1
    world.provider.faults = {}
    world.clock.move(seconds=REFETCH_SECONDS_MIN)
    assert (await world.finish(third)).opened is not None


async def test_keys_that_are_known_outlast_a_question_that_failed(world: World) -> None:
    await world.log_in()
    strange = await world.returned(await world.begin())
    answer = await world.returned(await world.begin())
    world.provider.faults = {"keys": lambda _: PlainTextResponse("", 500)}
    world.provider.signs_by = {"alg": "RS256", "kid": "unknown"}
    with pytest.raises(SignOnRefused) as caught:
        await world.finish(strange)
    assert caught.value.problem is SignOnProblem.DOCUMENT_REFUSED
    world.provider.signs_by = {"alg": "RS256", "kid": KEY_ID}
    assert (await world.finish(answer)).opened is not None


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256"])
async def test_each_algorithm_that_is_allowed_works(world: World, algorithm: str) -> None:
    provider = world.provider
    if algorithm == "ES256":
        provider.key = ECKey.generate_key("P-256")
    provider.signs_by = {"alg": algorithm, "kid": "key-1"}
    await world.log_in()


async def test_a_lone_key_needs_no_name(world: World) -> None:
    world.provider.signs_by = {"alg": "RS256"}
    published = world.provider.key.as_dict(private=False)
    world.provider.published = {"keys": [published, {"kty": "EC", "crv": "P-256"}]}
    await world.log_in()


async def test_the_hash_of_the_access_token_is_the_left_half_of_its_digest(world: World) -> None:
    given: list[str] = []

    class Noted(set[str]):
        def add(self, token: str) -> None:
            given.append(token)
            super().add(token)

    def with_hash(claims: Json) -> Json:
        half = hashlib.sha256(given.pop().encode()).digest()[:16]
        return {**claims, "at_hash": base64.urlsafe_b64encode(half).rstrip(b"=").decode()}

    world.provider.access_tokens = Noted()
    world.provider.faults = {"claims": with_hash}
    await world.log_in()


@pytest.mark.parametrize(("late", "is_accepted"), [(-1, True), (0, False), (1, False)])
async def test_a_token_may_be_a_minute_over(world: World, late: int, is_accepted: bool) -> None:
    def expired(claims: Json) -> Json:
        return {**claims, "exp": claims["iat"] - LEEWAY_SECONDS - late}

    world.provider.faults = {"claims": expired}
    if is_accepted:
        await world.log_in()
    else:
        assert await refused(world) is SignOnProblem.EXPIRED


@pytest.mark.parametrize(("early", "is_accepted"), [(-1, True), (0, True), (1, False)])
async def test_a_token_may_be_a_minute_early(world: World, early: int, is_accepted: bool) -> None:
    def from_the_future(claims: Json) -> Json:
        return {**claims, "iat": claims["iat"] + LEEWAY_SECONDS + early}

    world.provider.faults = {"claims": from_the_future}
    if is_accepted:
        await world.log_in()
    else:
        assert await refused(world) is SignOnProblem.ISSUED_IN_FUTURE


async def test_a_provider_that_wants_the_secret_in_the_body_gets_it_there(world: World) -> None:
    methods: Json = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    world.provider.faults = {"metadata": lambda it: {**it, **methods}}
    world.forget_provider()
    await world.log_in()


async def test_an_answer_without_issuer_is_good_where_none_is_promised(world: World) -> None:
    silent = "authorization_response_iss_parameter_supported"
    world.provider.faults = {
        "metadata": lambda it: {**it, silent: False},
        "answer": lambda it: {name: value for name, value in it.items() if name != "iss"},
    }
    world.forget_provider()
    await world.log_in()


async def test_a_configuration_is_read_again_after_an_hour(world: World) -> None:
    path = "/.well-known/openid-configuration"
    await world.log_in()
    asked = world.provider.asked.count(path)
    world.clock.move(seconds=REMEMBERED_SECONDS_MAX)
    await world.log_in()
    assert world.provider.asked.count(path) == asked + 1
