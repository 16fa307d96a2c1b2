// A worker and a client in plain JavaScript: fetch and JSON, no SDK. Needs Node 18 or newer.
//
// The workflow `greet` schedules one activity and completes with its result. A worker's code is a
// function from a history to commands; the cloud repeats what goes wrong.

import { randomUUID } from "node:crypto";
import { argv, env, exit, pid } from "node:process";
import { pathToFileURL } from "node:url";

const address = env.PERDURE_ADDRESS ?? "http://127.0.0.1:8233";
const queue = `plain-javascript-${randomUUID().slice(0, 8)}`;
const identity = `plain-javascript-${pid}`;

/** The JSON of the answer; an error status is an exception. */
async function call(method, path, body) {
  const response = await fetch(`${address}/api/v1/namespaces/${env.PERDURE_NAMESPACE}${path}`, {
    method,
    headers: {
      Authorization: `Bearer ${env.PERDURE_API_KEY}`,
      "Content-Type": "application/json",
    },
    body: body && JSON.stringify(body),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(`${path}: ${response.status} ${answer.message}`);
  return answer;
}

/** The workflow's code: from all that happened so far to what comes next. */
export function decide(events, taskQueue) {
  const completed = events.findLast((event) => event.activityTaskCompletedEventAttributes);
  if (completed) {
    const { result } = completed.activityTaskCompletedEventAttributes;
    return [
      {
        commandType: "COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION",
        completeWorkflowExecutionCommandAttributes: { result },
      },
    ];
  }
  if (events.some((event) => event.activityTaskScheduledEventAttributes)) return [];
  return [
    {
      commandType: "COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK",
      scheduleActivityTaskCommandAttributes: {
        activityId: "1",
        activityType: { name: "sayHello" },
        taskQueue: { name: taskQueue },
        input: events[0].workflowExecutionStartedEventAttributes.input,
        startToCloseTimeout: "10s",
      },
    },
  ];
}

async function answerWorkflowTask({ taskToken, history }) {
  const commands = decide(history.events, queue);
  await call("POST", "/workflow-task-complete", { taskToken, commands, identity });
}

async function answerActivityTask({ taskToken, input: [name] }) {
  const result = [`Hello, ${name}!`];
  await call("POST", "/activity-complete", { taskToken, result, identity });
}

async function pollForever(kind, answer) {
  for (;;) {
    const task = await call("POST", `/task-queues/${queue}/poll-${kind}`, { identity });
    if (task.taskToken) await answer(task);
  }
}

/** Starts a workflow and waits for its result. */
async function greet(name) {
  const path = `/workflows/greet-${randomUUID()}`;
  await call("POST", path, {
    workflowType: { name: "greet" },
    taskQueue: { name: queue },
    input: [name],
    requestId: randomUUID(),
  });
  const filter = "HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT";
  for (;;) {
    const wait = `${path}/history?waitNewEvent=true&historyEventFilterType=${filter}`;
    const events = (await call("GET", wait)).history?.events ?? [];
    if (events.length) return events.at(-1).workflowExecutionCompletedEventAttributes.result[0];
  }
}

async function main() {
  const polls = [
    pollForever("workflow-task", answerWorkflowTask),
    pollForever("activity-task", answerActivityTask),
  ];
  console.log(await Promise.race([greet("world"), ...polls]));
  exit(0); // The polls have no end of their own.
}

if (import.meta.url === pathToFileURL(argv[1]).href) await main();
