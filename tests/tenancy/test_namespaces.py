from __future__ import annotations

import pytest

from tenancy import (
    AccountRole,
    AlreadyExists,
    Conflict,
    InvalidField,
    LimitReached,
    NamespaceSettings,
    NamespaceState,
    NotFound,
    OperationKind,
    OperationState,
    Permission,
    PermissionDenied,
    Principal,
    SearchAttributeType,
    WrongState,
)
from tenancy.namespace_name import NAME_CHARACTERS_MAX, NAME_CHARACTERS_MIN, check_name
from tenancy.namespace_settings import (
    RETENTION_DAYS_DEFAULT,
    RETENTION_DAYS_MAX,
    RETENTION_DAYS_MIN,
    SEARCH_ATTRIBUTES_MAX,
)
from tenancy.namespaces import (
    NAMESPACES_PER_ACCOUNT_MAX,
    TRANSITIONS,
)
from tests.tenancy.cloud import Cloud


async def delete(cloud: Cloud, actor: Principal, namespace_id: str, version: int) -> None:
    async with cloud.control.acting(actor) as session:
        await cloud.control.namespaces.delete(
            session, actor, namespace_id, resource_version=version
        )
    await cloud.control.reconciler.reconcile(cloud.cell)


@pytest.mark.parametrize(
    "name",
    [
        "a" * (NAME_CHARACTERS_MIN - 1),
        "a" * (NAME_CHARACTERS_MAX + 1),
        "1orders",
        "-orders",
        "orders-",
        "Orders",
        "or_ders",
        "or.ders",
        "órders",
        "orders\n",
        "",
    ],
)
def test_what_is_no_namespace_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidField, match="name"):
        check_name(name)


@pytest.mark.parametrize("name", ["a" * NAME_CHARACTERS_MIN, "a" * NAME_CHARACTERS_MAX, "a-9"])
def test_names_may_be_as_short_and_as_long_as_the_limits(name: str) -> None:
    check_name(name)


def test_retention_stays_in_its_range() -> None:
    for days in (RETENTION_DAYS_MIN, RETENTION_DAYS_MAX):
        NamespaceSettings(days)
    for days in (RETENTION_DAYS_MIN - 1, RETENTION_DAYS_MAX + 1):
        with pytest.raises(InvalidField, match="retention_days"):
            NamespaceSettings(days)


@pytest.mark.parametrize("type", SearchAttributeType)
def test_search_attributes_are_counted_by_type(type: SearchAttributeType) -> None:
    limit = SEARCH_ATTRIBUTES_MAX[type]
    NamespaceSettings(search_attributes={f"a{number}": type for number in range(limit)})
    with pytest.raises(InvalidField, match=f"at most {limit} of type {type}"):
        NamespaceSettings(search_attributes={f"a{number}": type for number in range(limit + 1)})


@pytest.mark.parametrize("name", ["", "1a", "a b", "a" * 65, "ä"])
def test_search_attributes_have_plain_names(name: str) -> None:
    with pytest.raises(InvalidField, match="search_attributes"):
        NamespaceSettings(search_attributes={name: SearchAttributeType.INT})


async def test_search_attributes_are_added_and_never_removed_or_retyped(cloud: Cloud) -> None:
    owner = await cloud.owner()
    ref = await cloud.namespace(owner)
    update = cloud.control.namespaces.update
    city = {"City": SearchAttributeType.KEYWORD}
    async with cloud.control.acting(owner) as session:
        await update(
            session, owner, ref.id, NamespaceSettings(search_attributes=city), resource_version=2
        )
    await cloud.control.reconciler.reconcile(cloud.cell)
    refused: list[dict[str, SearchAttributeType]] = [{}, {"City": SearchAttributeType.TEXT}]
    for attributes in refused:
        settings = NamespaceSettings(search_attributes=attributes)
        with pytest.raises(InvalidField, match="City"):
            async with cloud.control.acting(owner) as session:
                await update(session, owner, ref.id, settings, resource_version=4)


async def test_a_protected_namespace_is_not_deleted(cloud: Cloud) -> None:
    owner = await cloud.owner()
    ref = await cloud.namespace(owner)
    update = cloud.control.namespaces.update
    for is_protected, version in ((True, 2), (False, 4)):
        settings = NamespaceSettings(is_delete_protected=is_protected)
        async with cloud.control.acting(owner) as session:
            await update(session, owner, ref.id, settings, resource_version=version)
        await cloud.control.reconciler.reconcile(cloud.cell)
        if is_protected:
            with pytest.raises(WrongState, match="protected"):
                await delete(cloud, owner, ref.id, 4)
    await delete(cloud, owner, ref.id, 6)
    assert cloud.cell.namespaces == {}


async def test_a_repeated_request_undoes_nothing_that_came_after_it(cloud: Cloud) -> None:
    owner = await cloud.owner()
    ref = await cloud.namespace(owner)
    update = cloud.control.namespaces.update

    async def set_retention(days: int, version: int, operation_id: str) -> None:
        async with cloud.control.acting(owner) as session:
            await update(
                session,
                owner,
                ref.id,
                NamespaceSettings(days),
                resource_version=version,
                operation_id=operation_id,
            )
        await cloud.control.reconciler.reconcile(cloud.cell)

    await set_retention(7, 2, "op-1")
    await set_retention(9, 4, "op-2")
    await set_retention(7, 2, "op-1")
    assert cloud.cell.namespaces == {ref.id: 9}
    async with cloud.database.reading() as session:
        assert (await cloud.control.namespaces.get(session, owner, ref.id)).retention_days == 9


async def test_a_repeated_deletion_is_the_same_operation(cloud: Cloud) -> None:
    owner = await cloud.owner()
    ref = await cloud.namespace(owner)
    for _ in range(2):
        async with cloud.control.acting(owner) as session:
            operation = await cloud.control.namespaces.delete(
                session, owner, ref.id, resource_version=2, operation_id="op-1"
            )
        await cloud.control.reconciler.reconcile(cloud.cell)
    assert operation.state is OperationState.FULFILLED


def test_states_lead_to_deleted_and_never_back() -> None:
    order = list(NamespaceState)
    for state, following in TRANSITIONS.items():
        assert all(order.index(each) > order.index(state) for each in following)
    assert TRANSITIONS[NamespaceState.DELETED] == frozenset()


async def test_a_created_namespace_becomes_active_in_its_cell(cloud: Cloud) -> None:
    owner = await cloud.owner()
    async with cloud.control.acting(owner) as session:
        operation = await cloud.control.namespaces.create(session, owner, "orders")
        assert operation.state is OperationState.PENDING
        created = await cloud.control.namespaces.get(session, owner, operation.resource_id)
        assert created.state is NamespaceState.ACTIVATING
    assert await cloud.control.reconciler.reconcile(cloud.cell) == 0
    async with cloud.database.reading() as session:
        operation = await cloud.control.operations.get(session, owner, operation.id)
        found = await cloud.control.namespaces.find(session, owner, f"orders.{owner.account_id}")
    assert operation.state is OperationState.FULFILLED
    assert operation.started_at == operation.finished_at == cloud.clock.now()
    assert (found.state, found.generation) == (NamespaceState.ACTIVE, 1)
    assert cloud.cell.namespaces == {found.id: RETENTION_DAYS_DEFAULT}


async def test_a_name_in_use_is_taken_in_its_account_only(cloud: Cloud) -> None:
    ada, bob = await cloud.owner(), await cloud.owner("bob@example.com")
    await cloud.namespace(ada, "orders")
    with pytest.raises(AlreadyExists):
        await cloud.namespace(ada, "orders")
    assert (await cloud.namespace(bob, "orders")).account_id == bob.account_id


async def test_an_account_has_at_most_its_number_of_namespaces(cloud: Cloud) -> None:
    owner = await cloud.owner()
    async with cloud.control.acting(owner) as session:
        for number in range(NAMESPACES_PER_ACCOUNT_MAX):
            await cloud.control.namespaces.create(session, owner, f"name-{number}")
    with pytest.raises(LimitReached, match=str(NAMESPACES_PER_ACCOUNT_MAX)):
        async with cloud.control.acting(owner) as session:
            await cloud.control.namespaces.create(session, owner, "one-more")


async def test_a_name_made_again_is_another_namespace(cloud: Cloud) -> None:
    owner = await cloud.owner()
    first = await cloud.namespace(owner)
    await delete(cloud, owner, first.id, 2)
    assert cloud.cell.namespaces == {}
    second = await cloud.namespace(owner)
    assert second.full_name == first.full_name
    assert second.id != first.id
    assert second.generation == first.generation + 1


async def test_an_update_needs_the_version_that_was_read(cloud: Cloud) -> None:
    owner = await cloud.owner()
    ref = await cloud.namespace(owner)
    update = cloud.control.namespaces.update
    async with cloud.control.acting(owner) as session:
        read = await cloud.control.namespaces.get(session, owner, ref.id)
        version = read.resource_version
        await update(session, owner, ref.id, NamespaceSettings(7), resource_version=version)
    await cloud.control.reconciler.reconcile(cloud.cell)
    assert cloud.cell.namespaces == {ref.id: 7}
    with pytest.raises(Conflict) as refusal:
        async with cloud.control.acting(owner) as session:
            await update(session, owner, ref.id, NamespaceSettings(9), resource_version=version)
    async with cloud.control.acting(owner) as session:
        await update(
            session,
            owner,
            ref.id,
            NamespaceSettings(9),
            resource_version=refusal.value.resource_version,
        )


async def test_one_operation_at_a_time_changes_a_namespace(cloud: Cloud) -> None:
    owner = await cloud.owner()
    async with cloud.control.acting(owner) as session:
        operation = await cloud.control.namespaces.create(session, owner, "orders")
    with pytest.raises(WrongState, match="another operation"):
        await delete(cloud, owner, operation.resource_id, 1)


async def test_a_deleted_namespace_cannot_be_changed_again(cloud: Cloud) -> None:
    owner = await cloud.owner()
    ref = await cloud.namespace(owner)
    await delete(cloud, owner, ref.id, 2)
    async with cloud.database.reading() as session:
        version = (await cloud.control.namespaces.get(session, owner, ref.id)).resource_version
        assert await cloud.control.namespaces.visible_to(session, owner) == []
        with pytest.raises(NotFound):
            await cloud.control.namespaces.find(session, owner, ref.full_name)
    with pytest.raises(WrongState, match="deleted"):
        await delete(cloud, owner, ref.id, version)
    with pytest.raises(WrongState, match="deleted"):
        async with cloud.control.acting(owner) as session:
            await cloud.control.namespaces.update(
                session, owner, ref.id, NamespaceSettings(5), resource_version=version
            )


async def test_a_repeated_request_starts_one_operation(cloud: Cloud) -> None:
    owner = await cloud.owner()
    create = cloud.control.namespaces.create
    for _ in range(2):
        async with cloud.control.acting(owner) as session:
            operation = await create(session, owner, "orders", operation_id="op-1")
            assert (operation.id, operation.kind) == ("op-1", OperationKind.CREATE_NAMESPACE)
    with pytest.raises(AlreadyExists, match="op-1"):
        async with cloud.control.acting(owner) as session:
            await create(session, owner, "billing", operation_id="op-1")
    with pytest.raises(InvalidField, match="async_operation_id"):
        async with cloud.control.acting(owner) as session:
            await create(session, owner, "billing", operation_id="")


async def test_operation_ids_of_two_accounts_do_not_meet(cloud: Cloud) -> None:
    ada, bob = await cloud.owner(), await cloud.owner("bob@example.com")
    for actor in (ada, bob):
        async with cloud.control.acting(actor) as session:
            await cloud.control.namespaces.create(session, actor, "orders", operation_id="op-1")
    async with cloud.control.acting(ada) as session:
        await cloud.control.namespaces.create(session, ada, "billing", operation_id="op-2")
    async with cloud.database.reading() as session:
        assert (await cloud.control.operations.get(session, bob, "op-1")).account_id == (
            bob.account_id
        )
        with pytest.raises(NotFound):
            await cloud.control.operations.get(session, bob, "op-2")


async def test_a_deleted_namespace_is_told_from_the_others_of_its_name(cloud: Cloud) -> None:
    owner = await cloud.owner()
    refs = [await cloud.namespace(owner)]
    for _ in range(2):
        await delete(cloud, owner, refs[-1].id, 2)
        refs.append(await cloud.namespace(owner))
    name, day = refs[0].full_name, f"{cloud.clock.now():%Y-%m-%d}"
    async with cloud.database.reading() as session:
        names = cloud.control.namespaces.names
        assert await names(session, owner) == {refs[2].id: name}
        assert await names(session, owner, with_deleted=True) == {
            refs[0].id: f"{name} (deleted {day}, generation 1)",
            refs[1].id: f"{name} (deleted {day}, generation 2)",
            refs[2].id: name,
        }


async def test_a_namespace_of_another_account_does_not_exist(cloud: Cloud) -> None:
    ada, bob = await cloud.owner(), await cloud.owner("bob@example.com")
    ref = await cloud.namespace(ada)
    namespaces = cloud.control.namespaces
    async with cloud.database.transaction() as session:
        assert await namespaces.visible_to(session, bob) == []
        with pytest.raises(NotFound):
            await namespaces.get(session, bob, ref.id)
        with pytest.raises(NotFound):
            await namespaces.find(session, bob, ref.full_name)
        with pytest.raises(NotFound):
            await namespaces.update(session, bob, ref.id, NamespaceSettings(5), resource_version=2)
        with pytest.raises(NotFound):
            await namespaces.delete(session, bob, ref.id, resource_version=2)


async def test_a_developer_administers_what_it_created_and_no_more(cloud: Cloud) -> None:
    owner = await cloud.owner()
    developer = await cloud.member(owner, AccountRole.DEVELOPER)
    others = await cloud.namespace(owner, "orders")
    own = await cloud.namespace(developer, "drafts")
    developer = await cloud.principal(developer.id)
    assert developer.permissions(own.id) == {Permission.ADMIN}
    async with cloud.database.reading() as session:
        seen = await cloud.control.namespaces.visible_to(session, developer)
    assert [namespace.name for namespace in seen] == ["drafts", "orders"]
    with pytest.raises(PermissionDenied):
        await delete(cloud, developer, others.id, 2)
    await delete(cloud, developer, own.id, 2)


async def test_readers_create_no_namespace_and_the_refusal_is_audited(cloud: Cloud) -> None:
    owner = await cloud.owner()
    reader = await cloud.member(owner, AccountRole.READ)
    before = await cloud.audit_count(owner.account_id)
    with pytest.raises(PermissionDenied):
        await cloud.namespace(reader)
    assert await cloud.audit_count(owner.account_id) == before + 1
