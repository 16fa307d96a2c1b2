"""Each rule bites on a small bad source and lets its nearest good neighbour pass."""

from __future__ import annotations

import pytest

from tests.house import rules
from tests.house.rules import RULES
from tests.house.source import Source

MARK = "TO" + "DO"  # Written apart, or this file would break the rule it tests.


def lines(count: int) -> str:
    return "x = 1\n" * count


def function(length: int) -> str:
    return "def f():\n" + "        x = 1\n" * (length - 1)


def parameters(count: int, *, first: str = "") -> str:
    return first + ", ".join(f"p{number}" for number in range(count))


LONGEST = rules.FUNCTION_LINES_MAX
MOST = rules.POSITIONAL_PARAMETERS_MAX
WIDEST = rules.LINE_CHARACTERS_MAX

BAD = [
    ("function-length", "engine/x.py", function(LONGEST + 1), 1),
    ("function-length", "engine/x.py", f"if x:\n    async {function(LONGEST + 1)}", 2),
    ("file-length", "api/x.py", lines(rules.FILE_LINES_MAX + 1), rules.FILE_LINES_MAX + 1),
    ("line-length", "api/x.py", "\n#" + "x" * WIDEST, 2),
    ("positional-parameters", "api/x.py", f"def f({parameters(MOST + 1)}): ...", 1),
    ("positional-parameters", "api/x.py", f"async def f({parameters(MOST)}, /, p): ...", 1),
    ("positional-parameters", "tests/x.py", f"def make({parameters(MOST + 1)}): ...", 1),
    ("banned-name", "engine/utils.py", "", 1),
    ("banned-name", "engine/common/timer.py", "", 1),
    ("banned-name", "engine/task_manager.py", "", 1),
    ("banned-name", "engine/x.py", "class TimerInfo: ...", 1),
    ("banned-name", "engine/x.py", "class BaseStore: ...", 1),
    ("banned-name", "sdk/src/perdure/base.py", "", 1),
    ("banned-name", "engine/x.py", "class HTTPHelper: ...", 1),
    ("engine-world", "engine/x.py", "import time", 1),
    ("engine-world", "engine/x.py", "import concurrent.futures", 1),
    ("engine-world", "engine/x.py", "def f():\n    from uuid import uuid4", 2),
    ("engine-world", "engine/x.py", "import asyncio\nasyncio.create_task(f())", 2),
    ("engine-world", "engine/x.py", "from asyncio import sleep as wait", 1),
    ("engine-world", "engine/x.py", "from datetime import datetime\ndatetime.now(UTC)", 2),
    ("engine-world", "engine/x.py", "import datetime as d\nclock = d.datetime.utcnow", 2),
    ("engine-world", "engine/persistence/memory.py", "f = open('x')", 1),
    ("engine-world", "engine/persistence/sqlite.py", "import time\ntime.time()", 2),
    ("engine-world", "engine/env/__init__.py", "import random", 1),
    (
        "engine-world",
        "engine/x.py",
        "import asyncio\nasyncio.get_running_loop().call_later(1, f)",
        2,
    ),
    ("engine-world", "engine/x.py", "import os\nos.urandom(8)", 2),
    ("engine-protocol", "engine/x.py", "from temporalio.client import Client", 1),
    ("engine-protocol", "engine/env/x.py", "import temporalio.worker", 1),
    ("engine-protocol", "engine/x.py", "from temporalio import client", 1),
    ("web-session", "web/pages.py", "from tenancy.api_keys import ApiKeys", 1),
    ("web-session", "web/pages.py", "from tenancy import namespaces", 1),
    ("environment", "billing/x.py", "import os\nos.environ['X']", 2),
    ("environment", "api/app.py", "from os import environ", 1),
    ("environment", "benchmarks/door.py", "import os\nx = os.getenv('X')", 2),
    ("printing", "engine/x.py", "print('x')", 1),
    ("printing", "tests/x.py", "import builtins\nbuiltins.print('x')", 2),
    ("log-event", "api/x.py", "log.info(f'run {run}')", 1),
    ("log-event", "api/x.py", "self._logger.warning('run %s', run)", 1),
    ("log-event", "api/x.py", "logging.getLogger(__name__).error(str(error))", 1),
    ("log-event", "api/x.py", "logger.log(10, 'a' + b)", 1),
    ("unfinished", "web/x.py", f"x = 1  # {MARK}: later", 1),
    ("unfinished", "web/x.py", f'"""Does it. {MARK} more."""', 1),
    ("unfinished", "web/x.py", "def f():\n    raise NotImplementedError", 2),
]
GOOD = [
    ("function-length", "engine/x.py", function(LONGEST)),
    ("file-length", "api/x.py", lines(rules.FILE_LINES_MAX)),
    ("line-length", "api/x.py", "#" * WIDEST),
    ("positional-parameters", "api/x.py", f"def f({parameters(MOST)}, *, named): ..."),
    (
        "positional-parameters",
        "api/x.py",
        f"class A:\n    def f({parameters(MOST, first='self, ')}): ...",
    ),
    ("positional-parameters", "tests/x.py", f"def test_x({parameters(MOST + 1)}): ..."),
    ("banned-name", "engine/handlers/get_system_info.py", "class PollerInfo: ..."),
    ("banned-name", "engine/information.py", "class Processor: ...\ndef handle(): ..."),
    ("engine-world", "engine/env/system.py", "import time\ntime.monotonic()"),
    ("engine-world", "engine/x.py", "from datetime import time, timedelta\nself.time.now()"),
    ("engine-world", "engine/x.py", "import asyncio\nqueue = asyncio.Queue()\nfile.open()"),
    ("engine-world", "engine/x.py", "self._env.call_later(1, f)\nenv.spawn('x', f())"),
    ("engine-world", "engine/x.py", "import asyncio\nasyncio.timeout(1)"),
    ("engine-world", "engine/persistence/sqlite.py", "import threading"),
    ("engine-world", "engine/persistence/sqlite.py", "import time\ntime.monotonic()"),
    ("engine-world", "tenancy/x.py", "import secrets"),
    ("banned-name", "sdk/src/perdure/workflow_handle.py", "class WorkflowHandle: ..."),
    ("engine-protocol", "engine/x.py", "from temporalio.api.common.v1 import Payload"),
    ("engine-protocol", "api/x.py", "import temporalio.client"),
    ("web-session", "web/pages.py", "from tenancy.sessions import Session"),
    ("environment", "api/config.py", "import os\nos.environ"),
    ("environment", "benchmarks/start/__main__.py", "import os\nos.environ"),
    ("environment", "engine/x.py", "self.environ"),
    ("printing", "benchmarks/table.py", "print('x')"),
    ("printing", "api/__main__.py", "print('x')"),
    ("log-event", "api/x.py", "log.info('run closed', extra={'run': run})"),
    ("log-event", "api/x.py", "logger.log(level, EVENT)\nmath.log(x)\nstream.error(code)"),
    ("unfinished", "web/x.py", f"mark = '{MARK}'"),
]


@pytest.mark.parametrize(("rule", "path", "text", "line"), BAD)
def test_a_breach_is_found_on_its_line(rule: str, path: str, text: str, line: int) -> None:
    check, remedy = RULES[rule]
    found = list(check(Source(path, text)))
    assert [(finding.rule, finding.line) for finding in found[:1]] == [(rule, line)]
    assert remedy.endswith(".")


@pytest.mark.parametrize(("rule", "path", "text"), GOOD)
def test_what_is_allowed_passes(rule: str, path: str, text: str) -> None:
    check, _ = RULES[rule]
    assert list(check(Source(path, text))) == []


def test_every_rule_has_a_source_that_breaks_it() -> None:
    assert {rule for rule, *_ in BAD} == set(RULES)
