"""What the engine counts equals what the recount finds in histories and summaries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import count

from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from temporalio.api.command.v1 import (
    Command,
    CompleteWorkflowExecutionCommandAttributes,
    ContinueAsNewWorkflowExecutionCommandAttributes,
    FailWorkflowExecutionCommandAttributes,
    RecordMarkerCommandAttributes,
    ScheduleActivityTaskCommandAttributes,
    StartTimerCommandAttributes,
    UpsertWorkflowSearchAttributesCommandAttributes,
)
from temporalio.api.common.v1 import (
    ActivityType,
    MeteringMetadata,
    Payload,
    RetryPolicy,
    SearchAttributes,
    WorkflowType,
)
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    RespondWorkflowTaskCompletedRequest,
    SignalWithStartWorkflowExecutionRequest,
    StartWorkflowExecutionRequest,
)

from billing.facts import FactRow, count_actions
from engine.history import activity, begin, closing, completion, signals, timeouts, workflow_task
from engine.history.commands.rejection import CommandRejected
from engine.history.protobuf import NANOSECONDS, parse_events
from engine.history.state import Activity, RunState
from engine.history.transition import StartRun, Transition
from engine.metering.facts import NANOSECONDS_PER_HOUR, Fact, FactKind, fold
from engine.metering.summary import summarize
from engine.persistence.protocols import RunKey
from perdure.recount import Key, RunCounters, actions_of_run

AN_HOUR = 3600
TERMINATED_AFTER_EVENTS = 15
CALLS = (
    FactKind.WORKFLOW_QUERIED,
    FactKind.ACTIVITY_HEARTBEAT_RECORDED,
    FactKind.ACTIVITY_HEARTBEAT_RECORDED_BY_ID,
)
SIGNALS = (FactKind.WORKFLOW_SIGNALED, FactKind.SIGNAL_WITH_START)


def marker(name: str) -> Command:
    return Command(record_marker_command_attributes=RecordMarkerCommandAttributes(marker_name=name))


def upsert(*names: str) -> Command:
    attributes = UpsertWorkflowSearchAttributesCommandAttributes(
        search_attributes=SearchAttributes(
            indexed_fields={name: Payload(data=b'"x"') for name in names}
        )
    )
    return Command(upsert_workflow_search_attributes_command_attributes=attributes)


COMMANDS = (
    Command(
        schedule_activity_task_command_attributes=ScheduleActivityTaskCommandAttributes(
            activity_type=ActivityType(name="charge"),
            start_to_close_timeout=Duration(seconds=AN_HOUR),
        )
    ),
    Command(
        start_timer_command_attributes=StartTimerCommandAttributes(
            start_to_fire_timeout=Duration(seconds=1)
        )
    ),
    marker("SideEffect"),
    marker("core_patch"),
    marker("Version"),
    upsert(),
    upsert("TemporalChangeVersion"),
    upsert("City", "TemporalChangeVersion"),
)
REFUSED = marker("")
CLOSING = (
    Command(
        complete_workflow_execution_command_attributes=CompleteWorkflowExecutionCommandAttributes()
    ),
    Command(
        fail_workflow_execution_command_attributes=FailWorkflowExecutionCommandAttributes(
            failure=Failure(message="out of stock")
        )
    ),
    Command(
        continue_as_new_workflow_execution_command_attributes=(
            ContinueAsNewWorkflowExecutionCommandAttributes(task_queue=TaskQueue(name="more"))
        )
    ),
)


class OneWorkflowId(RuleBasedStateMachine):
    """The runs of one workflow id, one after another, decided as the engine decides them."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ns = 500_000 * NANOSECONDS_PER_HOUR
        self.states: list[RunState] = []
        self.histories: list[list[HistoryEvent]] = []
        self.facts: list[Fact] = []
        self.names = (f"name-{number}" for number in count())

    @property
    def state(self) -> RunState:
        return self.states[-1]

    def is_open(self) -> bool:
        return self.state.is_open

    @initialize()
    def start_first(self) -> None:
        self.start(signaled=False, delay_seconds=0, cron_schedule="", attempts=1)

    @rule(
        signaled=st.booleans(),
        delay_seconds=st.sampled_from([0, AN_HOUR]),
        cron_schedule=st.sampled_from(["", "@hourly", "@every 1s"]),
        attempts=st.integers(0, 3),
    )
    @precondition(lambda self: not self.is_open())
    def start(self, signaled: bool, delay_seconds: int, cron_schedule: str, attempts: int) -> None:
        request = StartWorkflowExecutionRequest(
            workflow_type=WorkflowType(name="Order"), task_queue=TaskQueue(name="orders")
        )
        if cron_schedule:
            request.cron_schedule = cron_schedule
        elif delay_seconds:
            request.workflow_start_delay.FromSeconds(delay_seconds)
        if attempts:
            request.retry_policy.CopyFrom(RetryPolicy(maximum_attempts=attempts))
        request.workflow_run_timeout.FromSeconds(24 * AN_HOUR)

        def decide(t: Transition) -> None:
            if signaled:
                begin.from_request(t, request, None)
                self._signal(t, FactKind.SIGNAL_WITH_START)
            else:
                begin.from_request(t, request, FactKind.WORKFLOW_STARTED)
                begin.first_task(t)

        self._create(next(self.names), decide)

    @rule(fact=st.sampled_from(SIGNALS))
    @precondition(is_open)
    def signal(self, fact: FactKind) -> None:
        self._decide(partial(self._signal, fact=fact))

    @rule()
    @precondition(is_open)
    def begin_task(self) -> None:
        if self.state.task.scheduled_event_id and not self.state.task.started_event_id:
            self._decide(partial(workflow_task.start, identity="w", request_id=next(self.names)))

    @rule(
        commands=st.lists(st.sampled_from(COMMANDS), max_size=6),
        last=st.sampled_from([None] * 9 + [REFUSED, *CLOSING]),
        local_retries=st.sampled_from([0, 3, 101]),
        more_time=st.booleans(),
    )
    @precondition(is_open)
    def complete_task(
        self, commands: list[Command], last: Command | None, local_retries: int, more_time: bool
    ) -> None:
        self.begin_task()
        if not self.state.task.started_event_id:
            return
        request = RespondWorkflowTaskCompletedRequest(
            commands=[self._named(command) for command in commands] + ([last] if last else []),
            force_create_new_workflow_task=more_time,
            metering_metadata=MeteringMetadata(
                nonfirst_local_activity_execution_attempts=local_retries
            ),
        )
        self._decide(partial(completion.complete, request=request))

    @rule(outcomes=st.lists(st.booleans(), min_size=1, max_size=3))
    @precondition(lambda self: self.state.activities)
    def attempt_activity(self, outcomes: list[bool]) -> None:
        scheduled_event_id = min(self.state.activities)
        for succeeds in outcomes:
            pending = self.state.activities.get(scheduled_event_id)
            if pending is None:
                return
            if not pending.attempt.started_at_ns:
                start = partial(activity.start, activity=pending, identity="w", request_id="r")
                self._decide(start)
                pending = self.state.activities[scheduled_event_id]
            self._decide(partial(self._end_attempt, started=pending, succeeds=succeeds))

    @rule(fact=st.sampled_from(CALLS))
    def call(self, fact: FactKind) -> None:
        self._decide(partial(Transition.count, kind=fact))

    @rule(seconds=st.sampled_from([1, AN_HOUR]))
    def pass_time(self, seconds: int) -> None:
        self.now_ns += seconds * NANOSECONDS
        self._decide(timeouts.look)

    @rule()
    @precondition(lambda self: self.is_open() and len(self.histories[-1]) > TERMINATED_AFTER_EVENTS)
    def terminate(self) -> None:
        self._decide(partial(closing.terminate, reason="enough"))

    @invariant()
    def the_recount_equals_the_ledger(self) -> None:
        counts = count_actions(FactRow("cell-a", 1, 1, 1, fold(self.facts)))
        ledger = {
            Key(key.hour, key.action, key.workflow_type, key.task_queue): number
            for key, number in counts.items()
        }
        recounted: Counter[Key] = Counter()
        for state, history in zip(self.states, self.histories, strict=True):
            summary = summarize(state)
            counters = {(kind, hour): number for kind, hour, number in summary.counts()}
            recounted.update(
                actions_of_run(
                    [MessageToDict(event) for event in history],
                    RunCounters(summary.workflow_type, summary.task_queue, counters),
                )
            )
        assert {key: number for key, number in recounted.items() if number} == ledger

    def _create(self, run_id: str, decide: Callable[[Transition], None]) -> None:
        self.states.append(RunState(RunKey("acme-1", "order-1", run_id)))
        self.histories.append([])
        self._decide(decide)

    def _decide(self, decide: Callable[[Transition], object]) -> None:
        """Keep what was decided; a refused completion leaves nothing but its failed task."""
        self.now_ns += 1
        t = Transition(self.state, self.now_ns, partial(next, self.names))
        saved = self.state.checkpoint()
        try:
            decide(t)
        except CommandRejected as rejection:
            self.state.restore(saved)
            t = Transition(self.state, self.now_ns, partial(next, self.names))
            completion.reject(t, rejection, "w")
        self.facts += t.facts
        self.histories[-1] += parse_events(t.batch)
        for effect in t.effects:
            if isinstance(effect, StartRun):
                self._create(effect.run_id, effect.begin)

    def _signal(self, t: Transition, fact: FactKind) -> None:
        request = SignalWithStartWorkflowExecutionRequest(request_id=next(self.names))
        signals.signal(t, signals.attributes_of(request), fact)

    def _end_attempt(self, t: Transition, started: Activity, succeeds: bool) -> None:
        if succeeds:
            activity.complete(t, started, None, "w")
        else:
            failure = Failure(application_failure_info=ApplicationFailureInfo())
            activity.fail(t, started, failure, "w")

    def _named(self, command: Command) -> Command:
        """A copy with an id of its own, where its kind has ids."""
        named = Command()
        named.CopyFrom(command)
        if command.HasField("start_timer_command_attributes"):
            named.start_timer_command_attributes.timer_id = next(self.names)
        if command.HasField("schedule_activity_task_command_attributes"):
            named.schedule_activity_task_command_attributes.activity_id = next(self.names)
        return named


OneWorkflowId.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestOneWorkflowId = OneWorkflowId.TestCase
