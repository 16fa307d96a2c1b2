// A worker and a client in plain JavaScript: fetch and JSON, no SDK. Needs Node 18 or newer.
//
// The workflow `greet` schedules one activity and completes with its result. A worker's code is a
// function from a history to commands; the cloud repeats what goes wrong.

import { randomUUID } from "node:crypto";
import { argv, env, exit, pid } from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import { pathToFileURL } from "node:url";

const address = env.PERDURE_ADDRESS ?? "http://127.0.0.1:8233";
const queue = "plain-javascript";
const identity = `plain-javascript-${pid}`;
const workflow = "/workflows/plain-javascript-1";
const pauseMilliseconds = 1000;

/** The JSON of the answer, waiting for a cloud that is away; a refusal is an exception. */
async function call(method, path, body) {
  const url = `${address}/api/v1/namespaces/${env.PERDURE_NAMESPACE}${path}`;
  const headers = {
    Authorization: `Bearer ${env.PERDURE_API_KEY}`,
    "Content-Type": "application/json",
  };
  for (;;) {
    try {
      const response = await fetch(url, { method, headers, body: body && JSON.stringify(body) });
      const content = await response.text();
      if (response.ok) return JSON.parse(content);
      if (response.status !== 429 && response.status < 500) {
        throw new Error(`${path}: ${response.status} ${content}`);
      }
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // Fetch's way to say: no connection.
    }
    await pause(pauseMilliseconds);
  }
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
  await call("POST", "/workflow-task-complete", { taskToken, commands });
}

async function answerActivityTask({ taskToken, input: [name] }) {
  await call("POST", "/activity-complete", { taskToken, result: [`Hello, ${name}!`] });
}

async function pollForever(kind, answer) {
  for (;;) {
    const task = await call("POST", `/task-queues/${queue}/poll-${kind}`, { identity });
    const tell = ({ message }) => console.log(`${message}; the task comes again if need be`);
    if (task.taskToken) await answer(task).catch(tell);
  }
}

/** Starts a workflow, or goes on with the one that was left behind, and waits for its result. */
async function greet(name) {
  await call("POST", workflow, {
    workflowType: { name: "greet" },
    taskQueue: { name: queue },
    input: [name],
    workflowIdConflictPolicy: "WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING",
    requestId: randomUUID(),
  });
  const filter = "HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT";
  for (;;) {
    const wait = `${workflow}/history?waitNewEvent=true&historyEventFilterType=${filter}`;
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
