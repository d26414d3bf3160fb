// One run: its tasks with state, try, duration and why; the log of the one that is chosen. A mapped
// task is one row with the counts of its instances, which it shows when asked.
import { useState } from "./preact-hooks.js";
import { segment, useLive } from "./api.js";
import { html } from "./html.js";
import { backfillHref, dagHref, Duration, FINAL, More, Problem, runHref, State, Time } from "./parts.js";
import { Log } from "./log.js";

const LIMIT = 10000;
const SHOWN = 100; // instances of a mapped task at first

// "load[3]": what an instance of a mapped task is called here and in reasons.
const nameOf = (one) => (one.map_index >= 0 ? `${one.task_id}[${one.map_index}]` : one.task_id);

function Tries({ dag, run, task, chosen }) {
  const [, id, index] = /^(.*?)(?:\[(\d+)\])?$/.exec(task);
  const base = `/api/v2/dags/${segment(dag)}/dagRuns/${segment(run)}/taskInstances/${segment(id)}`;
  const mine = (event) => event.dag_id === dag && event.dag_run_id === run && nameOf(event) === task;
  const tries = useLive(index === undefined ? `${base}/tries` : `${base}/${index}/tries`, mine);
  if (!tries.data) return html`<${Problem} error=${tries.error} />`;
  const list = tries.data.task_instances;
  if (list.length === 0) return html`<p class="faint">It has not been tried yet.</p>`;
  const number = chosen ? Number(chosen) : list[list.length - 1].try_number;
  const attempt = list.find((one) => one.try_number === number);
  if (!attempt) return html`<p class="problem">There is no try ${number}.</p>`;
  const outputs = attempt.outputs ? JSON.stringify(attempt.outputs, null, 2) : null;
  return html`<nav class="tabs" aria-label="tries">${list.map((one) => html`<a key=${one.try_number}
      href="${runHref(dag, run)}/tasks/${segment(task)}/${one.try_number}"
      aria-current=${one.try_number === number ? "true" : null}>Try ${one.try_number} <${State} state=${one.state} /></a>`)}</nav>
    <p>${attempt.reason ? `${attempt.reason} · ` : attempt.exit_code ? `exit code ${attempt.exit_code} · ` : ""}<${Duration} start=${attempt.start_date} end=${attempt.end_date} /></p>
    ${outputs && outputs !== "{}" ? html`<details><summary>Outputs</summary><pre tabindex="0">${outputs}</pre></details>` : null}
    <${Log} key=${number} path="${base}/logs/${number}?map_index=${index === undefined ? -1 : index}" />`;
}

function counts(tasks) {
  const byState = new Map();
  for (const task of tasks) byState.set(task.state || "none", (byState.get(task.state || "none") || 0) + 1);
  return [...byState];
}

function Counts({ of }) {
  return html`<span class="counts">${counts(of).map(([state, count]) => html`<span key=${state}>${count} × <${State} state=${state} /></span> `)}</span>`;
}

// Rows as they come, with the instances of a mapped task in one.
function gather(list) {
  const rows = [];
  for (const one of list) {
    const last = rows[rows.length - 1];
    if (one.map_index < 0) rows.push({ one });
    else if (last && last.instances && last.instances[0].task_id === one.task_id) last.instances.push(one);
    else rows.push({ instances: [one] });
  }
  return rows;
}

const endOf = (one) => (FINAL.has(one.state) ? one.end_date || one.start_date : one.end_date);

function TaskRow({ dag, run, one, chosen, why }) {
  const name = nameOf(one);
  return html`<tr class=${chosen ? "chosen" : ""}>
    <th scope="row"><a href="${runHref(dag, run)}/tasks/${segment(name)}" aria-current=${chosen ? "true" : null}>${name}</a>
      ${one.operator ? html` <span class="tag">${one.operator}</span>` : null}</th>
    <td data-label="State"><${State} state=${one.state} /></td>
    <td data-label="Try" class="number">${one.try_number || "–"}</td>
    <td data-label="Duration"><${Duration} start=${one.start_date} end=${endOf(one)} /></td>
    <td data-label="Why" class="why">${one.state === "success" ? "" : why(one)}</td></tr>`;
}

// From the first begin to the last end; open while one has not ended.
function span(instances) {
  const starts = instances.map((one) => one.start_date).filter(Boolean).sort();
  const ends = instances.map(endOf).filter(Boolean).sort();
  const isOpen = instances.some((one) => !FINAL.has(one.state));
  return { start: starts[0] || null, end: isOpen ? null : ends[ends.length - 1] || null };
}

function MappedRows({ dag, run, instances, task, why }) {
  const { task_id: id, operator } = instances[0];
  const isChosen = instances.some((one) => nameOf(one) === task);
  const [open, setOpen] = useState({ task, isOpen: isChosen });
  const [limit, setLimit] = useState(SHOWN);
  const isOpen = open.isOpen || (isChosen && open.task !== task); // folded by hand: until another one is chosen
  const bad = instances.find((one) => one.state === "failed" || one.state === "upstream_failed");
  const times = span(instances);
  const shown = instances.filter((one, place) => place < limit || nameOf(one) === task);
  return html`<tr>
      <th scope="row"><button type="button" class="fold" aria-expanded=${String(isOpen)} onClick=${() => setOpen({ task, isOpen: !isOpen })}>
        <span aria-hidden="true">${isOpen ? "▾" : "▸"}</span> ${id}</button> <span class="tag">${instances.length} instances</span>
        ${operator ? html` <span class="tag">${operator}</span>` : null}</th>
      <td data-label="State"><${Counts} of=${instances} /></td>
      <td data-label="Try" class="number"></td>
      <td data-label="Duration"><${Duration} start=${times.start} end=${times.end} /></td>
      <td data-label="Why" class="why">${bad ? `${nameOf(bad)}: ${why(bad)}` : ""}</td></tr>
    ${isOpen ? shown.map((one) => html`<${TaskRow} key=${one.id} dag=${dag} run=${run} one=${one}
      chosen=${nameOf(one) === task} why=${why} />`) : null}
    ${isOpen && shown.length < instances.length ? html`<tr><td colspan="5"><${More} shown=${shown.length} total=${instances.length}
      more=${() => setLimit(limit + 10 * SHOWN)} /></td></tr>` : null}`;
}

export function Run({ dag, id, task, tryNumber }) {
  const base = `/api/v2/dags/${segment(dag)}/dagRuns/${segment(id)}`;
  const mine = (event) => event.dag_id === dag && event.dag_run_id === id;
  const run = useLive(base, mine);
  const tasks = useLive(`${base}/taskInstances?limit=${LIMIT}`, mine);
  const explain = useLive(`/api/millrace/v1/dags/${segment(dag)}/dagRuns/${segment(id)}/explain`, mine);
  const crumbs = html`<nav class="crumbs" aria-label="breadcrumbs"><a href="#/">DAGs</a> / <a href=${dagHref(dag)}>${dag}</a></nav>`;
  const data = run.data;
  if (!data) return run.error ? html`${crumbs}<h1>${id}</h1><${Problem} error=${run.error} />` : html`<p class="faint">Loading …</p>`;
  const why = new Map(explain.data ? explain.data.tasks.map((one) => [`${one.task_id} ${one.map_index}`, one.why]) : []);
  const list = tasks.data ? tasks.data.task_instances : [];
  const reason = (one) => why.get(`${one.task_id} ${one.map_index}`) || one.reason || "";
  return html`${crumbs}<h1 class="run-id">${id}</h1>
    <dl class="facts"><div><dt>State</dt><dd><${State} state=${data.state} />${data.reason ? html` <span class="faint">${data.reason}</span>` : null}</dd></div>
      <div><dt>Kind</dt><dd>${data.run_type}${data.backfill_id ? html` (<a href=${backfillHref(data.backfill_id)}>backfill ${data.backfill_id}</a>)` : null}</dd></div>
      <div><dt>Data interval</dt><dd><${Time} at=${data.data_interval_start} /> to <${Time} at=${data.data_interval_end} /></dd></div>
      <div><dt>Started</dt><dd><${Time} at=${data.start_date} /></dd></div>
      <div><dt>Duration</dt><dd><${Duration} start=${data.start_date} end=${data.end_date} /></dd></div>
      <div><dt>DAG version</dt><dd>${data.dag_versions[0].version_number}</dd></div></dl>
    ${data.note ? html`<p>${data.note}</p>` : null}
    <p><${Counts} of=${list} /></p>
    ${tasks.data && tasks.data.total_entries > list.length ? html`<p class="faint">The first ${list.length} of ${tasks.data.total_entries} task instances.</p>` : null}
    <${Problem} error=${run.error || tasks.error || explain.error} />
    <table class="stack"><thead><tr><th scope="col">Task</th><th scope="col">State</th><th scope="col">Try</th>
      <th scope="col">Duration</th><th scope="col">Why</th></tr></thead>
    <tbody>${gather(list).map((row) => row.instances
      ? html`<${MappedRows} key=${row.instances[0].task_id} dag=${dag} run=${id} instances=${row.instances} task=${task} why=${reason} />`
      : html`<${TaskRow} key=${row.one.id} dag=${dag} run=${id} one=${row.one} chosen=${nameOf(row.one) === task} why=${reason} />`)}</tbody></table>
    ${task ? html`<section class="task" aria-label="task ${task}"><h2>${task}</h2>
      <${Tries} key=${task} dag=${dag} run=${id} task=${task} chosen=${tryNumber} /></section>` : html`<p class="faint">Choose a task to see its log.</p>`}`;
}
