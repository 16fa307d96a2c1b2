"use strict";

const SAMPLE = `curl -X POST "$ADDRESS/api/v1/namespaces/$NAMESPACE/workflows/order-7" \\
  -H "Authorization: Bearer $API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{"workflowType": {"name": "Order"}, "taskQueue": {"name": "orders"}, "input": [7]}'`;
const DEPTH_MAX = 3;

// The theme that was chosen in the console.
const theme = /(?:^|; )theme=(light|dark)/.exec(document.cookie)?.[1];
if (theme) document.documentElement.dataset.theme = theme;

/** An element with attributes and children; text is never read as markup. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const lastName = (reference) => reference.slice(reference.lastIndexOf("/") + 1);
const shortName = (reference) => lastName(reference).split(".").pop();

function resolve(api, schema) {
  return schema.$ref ? api.components.schemas[lastName(schema.$ref)] ?? {} : schema;
}

function typeName(api, schema) {
  const real = resolve(api, schema);
  if (schema.$ref && real.type === "object") return shortName(schema.$ref);
  if (real.type === "array") return `list of ${typeName(api, real.items ?? {})}`;
  if (real.enum) return `enum ${schema.$ref ? shortName(schema.$ref) : ""}`;
  if (schema.$ref && !real.type) return shortName(schema.$ref);
  if (real.examples) return `${real.type} such as ${real.examples[0]}`;
  return [real.type ?? "any", real.format].filter(Boolean).join(", ");
}

/** An example of a schema, a few levels deep. */
function example(api, schema, depth = 0) {
  const real = resolve(api, schema);
  if (real.examples) return real.examples[0];
  if (real.enum) return real.enum[Math.min(1, real.enum.length - 1)];
  switch (real.type) {
    case "object": {
      if (depth >= DEPTH_MAX) return {};
      const entries = Object.entries(real.properties ?? {});
      return Object.fromEntries(entries.map(([k, v]) => [k, example(api, v, depth + 1)]));
    }
    case "array": return depth >= DEPTH_MAX ? [] : [example(api, real.items ?? {}, depth + 1)];
    case "boolean": return false;
    case "integer": case "number": return 0;
    case "string": return real.pattern?.startsWith("^-?[0-9]") ? "0" : "";
    default: return real.type ? null : "any JSON value";
  }
}

/** A table of names and what is said of each. */
function fields(rows) {
  return make("table", {}, ...rows.map(([name, type, note]) => {
    const said = make("td", {}, make("span", { class: "type" }, type), note ? ` ${note}` : "");
    return make("tr", {}, make("td", {}, name), said);
  }));
}

function bodyOf(api, operation) {
  const body = make("div", { class: "body" });
  if (operation.description) body.append(make("p", {}, operation.description));
  for (const place of ["path", "query"]) {
    const given = (operation.parameters ?? []).filter((p) => p.in === place);
    if (!given.length) continue;
    body.append(make("h3", {}, place === "path" ? "In the path" : "In the query"));
    body.append(fields(given.map((p) => [p.name, typeName(api, p.schema), p.description ?? ""])));
  }
  const schemaOf = (holder) => holder?.content?.["application/json"]?.schema;
  const request = schemaOf(operation.requestBody);
  if (request) {
    body.append(make("h3", {}, "Body"));
    const properties = Object.entries(resolve(api, request).properties ?? {});
    body.append(fields(properties.map(([name, s]) => [name, typeName(api, s), s.description ?? ""])));
    body.append(make("pre", { tabindex: 0 }, make("code", {}, JSON.stringify(example(api, request), null, 2))));
  }
  for (const status of ["200", "201", "202"]) {
    const answer = schemaOf(operation.responses?.[status]);
    if (!answer) continue;
    body.append(make("h3", {}, `Answer ${status}`));
    body.append(make("pre", { tabindex: 0 }, make("code", {}, JSON.stringify(example(api, answer), null, 2))));
  }
  const refusals = Object.entries(operation.responses ?? {}).filter(([s]) => /^[45]/.test(s));
  if (refusals.length) {
    body.append(make("h3", {}, "Refusals"));
    body.append(fields(refusals.map(([status, r]) => [status, "", r.description ?? ""])));
  }
  return body;
}

function operationOf(api, path, verb, operation) {
  const id = operation.operationId ?? `${verb}${path}`;
  const card = make("details", { class: "operation", id },
    make("summary", {},
      make("span", { class: `verb ${verb}` }, verb.toUpperCase()),
      make("span", { class: "path" }, path),
      make("span", { class: "title" }, operation.summary ?? id)));
  // A body is drawn when it is first opened: all of them together are large.
  card.addEventListener("toggle", () => {
    if (card.open && card.children.length === 1) card.append(bodyOf(api, operation));
  });
  const link = make("a", { href: `#${encodeURIComponent(id)}` }, operation.summary ?? id);
  const words = `${verb} ${path} ${operation.summary ?? ""} ${id}`.toLowerCase();
  return { card, link, words };
}

function draw(api) {
  const groups = new Map();
  for (const [path, verbs] of Object.entries(api.paths)) {
    for (const [verb, operation] of Object.entries(verbs)) {
      const tag = operation.tags?.[0] ?? "Account";
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push(operationOf(api, path, verb, operation));
    }
  }
  const contents = document.getElementById("contents");
  const main = document.getElementById("operations");
  for (const [tag, operations] of groups) {
    const title = tag.replace(/([a-z])([A-Z])/g, "$1 $2").toLowerCase();
    const heading = title[0].toUpperCase() + title.slice(1);
    const entry = make("div", {}, make("h2", {}, heading), ...operations.map((o) => o.link));
    const section = make("section", {}, make("h2", {}, heading), ...operations.map((o) => o.card));
    contents.append(entry);
    main.append(section);
    Object.assign(operations, { entry, section });
  }
  return [...groups.values()];
}

function reveal() {
  const card = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (card instanceof HTMLDetailsElement) {
    card.open = true;
    card.scrollIntoView();
  }
}

function filterBy(groups, text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const operations of groups) {
    let some = false;
    for (const { card, link, words: own } of operations) {
      const fits = words.every((word) => own.includes(word));
      card.hidden = link.hidden = !fits;
      some ||= fits;
      shown += fits;
    }
    operations.entry.hidden = operations.section.hidden = !some;
  }
  const status = document.getElementById("status");
  status.hidden = shown > 0;
  status.textContent = "No operation fits this filter.";
}

async function start() {
  document.getElementById("sample").textContent = SAMPLE;
  const status = document.getElementById("status");
  try {
    const answer = await fetch("/api/v1/openapi.json");
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const api = await answer.json();
    const sentences = make("p", {}, api.info.description.replaceAll("`", ""));
    document.getElementById("description").append(sentences);
    const groups = draw(api);
    status.hidden = true;
    const filter = document.getElementById("filter");
    filter.addEventListener("input", () => filterBy(groups, filter.value));
    document.addEventListener("keydown", (event) => {
      if (event.key === "/" && document.activeElement !== filter) {
        event.preventDefault();
        filter.focus();
      }
    });
    addEventListener("hashchange", reveal);
    reveal();
  } catch (problem) {
    status.textContent = `The reference could not be loaded: ${problem.message}. Reload the page.`;
  }
}

start();
