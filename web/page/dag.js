// One DAG: its runs and backfills, and the forms that make them.
import { useState } from "./preact-hooks.js";
import { post, segment, useLive } from "./api.js";
import { PauseReason, PauseSwitch } from "./dags.js";
import { html } from "./html.js";
import { Action, backfillHref, Bars, Duration, More, Problem, runHref, State, Time } from "./parts.js";
import { Progress, stateOf } from "./backfill.js";

const PAGE = 50;

export function RunTable({ dag, query, empty }) {
  const [limit, setLimit] = useState(PAGE);
  const path = `/api/v2/dags/${segment(dag)}/dagRuns?order_by=-run_after&limit=${limit}${query || ""}`;
  const runs = useLive(path, (event) => event.dag_id === dag && !event.task_id);
  if (!runs.data) return runs.error ? html`<${Problem} error=${runs.error} />` : html`<p class="faint">Loading …</p>`;
  if (runs.data.total_entries === 0) return html`<p class="faint">${empty}</p>`;
  return html`<${Problem} error=${runs.error} />
    <table class="stack"><thead><tr><th scope="col">Run</th><th scope="col">State</th><th scope="col">Kind</th>
      <th scope="col">Logical date</th><th scope="col">Started</th><th scope="col">Duration</th></tr></thead>
    <tbody>${runs.data.dag_runs.map((run) => html`<tr key=${run.dag_run_id}>
      <th scope="row"><a href=${runHref(dag, run.dag_run_id)}>${run.dag_run_id}</a></th>
      <td data-label="State"><${State} state=${run.state} />${run.reason ? html`<div class="faint">${run.reason}</div>` : null}</td>
      <td data-label="Kind">${run.run_type}</td>
      <td data-label="Logical date"><${Time} at=${run.logical_date} /></td>
      <td data-label="Started"><${Time} at=${run.start_date} /></td>
      <td data-label="Duration"><${Duration} start=${run.start_date} end=${run.end_date} /></td></tr>`)}</tbody></table>
    <${More} shown=${runs.data.dag_runs.length} total=${runs.data.total_entries} more=${() => setLimit(limit + PAGE)} />`;
}

function TriggerForm({ dag }) {
  const [conf, setConf] = useState("{}");
  const [note, setNote] = useState("");
  const trigger = async () => {
    let parsed;
    try {
      parsed = JSON.parse(conf || "{}");
    } catch (failure) {
      throw new Error(`conf is no JSON: ${failure.message}`);
    }
    const run = await post(`/api/v2/dags/${segment(dag)}/dagRuns`, { logical_date: null, conf: parsed, note: note || null });
    location.hash = runHref(dag, run.dag_run_id);
  };
  return html`<details class="form"><summary>Trigger a run</summary>
    <label>Configuration (JSON) <textarea rows="3" value=${conf} onInput=${(event) => setConf(event.target.value)} spellcheck=${false}></textarea></label>
    <label>Note <input value=${note} maxlength="1000" onInput=${(event) => setNote(event.target.value)} /></label>
    <${Action} act=${trigger} kind="primary">Trigger<//></details>`;
}

// A day from a date field, as an instant; the end of a range includes its whole day.
const instant = (day, end) => (day ? `${day}T${end ? "23:59:59.999999" : "00:00:00"}Z` : null);

function BackfillForm({ dag }) {
  const [form, setForm] = useState({ from: "", to: "", runs: 10, reprocess: "none", backwards: false });
  const [preview, setPreview] = useState(null);
  const set = (change) => {
    setForm({ ...form, ...change });
    setPreview(null);
  };
  const body = () => {
    if (!form.from || !form.to) throw new Error("choose the first and the last day");
    return {
      dag_id: dag, from_date: instant(form.from), to_date: instant(form.to, true),
      max_active_runs: Number(form.runs), reprocess_behavior: form.reprocess, run_backwards: form.backwards,
    };
  };
  const look = async () => setPreview(await post("/api/v2/backfills/dry_run", body()));
  const create = async () => {
    const backfill = await post("/api/v2/backfills", body());
    location.hash = backfillHref(backfill.id);
  };
  return html`<details class="form"><summary>Backfill a range</summary>
    <label>First day <input type="date" value=${form.from} onInput=${(event) => set({ from: event.target.value })} /></label>
    <label>Last day <input type="date" value=${form.to} onInput=${(event) => set({ to: event.target.value })} /></label>
    <label>Runs at once <input type="number" min="1" value=${form.runs} onInput=${(event) => set({ runs: event.target.value })} /></label>
    <label>Intervals that have a run <select value=${form.reprocess} onInput=${(event) => set({ reprocess: event.target.value })}>
      <option value="none">leave alone</option><option value="failed">run again if failed</option>
      <option value="completed">run again</option></select></label>
    <label class="check"><input type="checkbox" checked=${form.backwards} onInput=${(event) => set({ backwards: event.target.checked })} /> newest first</label>
    <div class="buttons"><${Action} act=${look}>Preview<//><${Action} act=${create} kind="primary">Create<//></div>
    ${preview ? html`<p role="status">${preview.total_entries === 0 ? "Nothing to run in this range." : html`
      ${preview.total_entries} ${preview.total_entries === 1 ? "run" : "runs"}, from
      <${Time} at=${preview.backfills[0].logical_date} /> to <${Time} at=${preview.backfills[preview.backfills.length - 1].logical_date} />`}</p>` : null}
  </details>`;
}

function Backfills({ dag }) {
  const list = useLive(`/api/v2/backfills?dag_id=${segment(dag)}&order_by=-id&limit=10`,
    (event) => event.dag_id === dag && event.backfill_id);
  if (!list.data || list.data.total_entries === 0) return html`<${Problem} error=${list.error} />`;
  return html`<h2>Backfills</h2><ul class="plain">${list.data.backfills.map((one) => html`<li key=${one.id}>
    <a href=${backfillHref(one.id)}>Backfill ${one.id}</a>: <${Time} at=${one.from_date} /> to <${Time} at=${one.to_date} /> · ${stateOf(one)}
    <${Progress} value=${{ ...one, running: 0 }} /></li>`)}</ul>`;
}

export function Dag({ id }) {
  const dag = useLive(`/api/v2/dags/${segment(id)}/details`, (event) => event.dag_id === id && !event.task_id);
  const summary = useLive(`/api/millrace/v1/dags/${segment(id)}/runs-summary?limit=30`,
    (event) => event.dag_id === id && !event.task_id);
  const data = dag.data;
  if (!data) return dag.error ? html`<h1>${id}</h1><${Problem} error=${dag.error} />` : html`<p class="faint">Loading …</p>`;
  return html`<nav class="crumbs" aria-label="breadcrumbs"><a href="#/">DAGs</a></nav>
    <h1>${id}</h1>
    ${data.has_import_errors ? html`<p class="problem">✕ ${data.relative_fileloc} has errors now: version ${data.latest_dag_version.version_number}, the last good one, goes on.</p>` : null}
    ${data.description ? html`<p>${data.description}</p>` : null}
    <dl class="facts"><div><dt>Active</dt><dd><${PauseSwitch} dag=${data} reload=${dag.reload} /><${PauseReason} dag=${data} /></dd></div>
      <div><dt>Schedule</dt><dd>${data.timetable_summary || "by hand"}${data.timezone && data.timetable_summary ? `, ${data.timezone}` : ""}</dd></div>
      <div><dt>Next run</dt><dd><${Time} at=${data.next_dagrun_run_after} /></dd></div>
      <div><dt>Runs going on</dt><dd>${data.active_runs_count} of ${data.max_active_runs}</dd></div>
      <div><dt>File</dt><dd>${data.relative_fileloc}, version ${data.latest_dag_version.version_number}</dd></div></dl>
    ${summary.data ? html`<${Bars} dag=${id} runs=${summary.data.runs} />` : null}
    <div class="forms"><${TriggerForm} dag=${id} /><${BackfillForm} dag=${id} /></div>
    <${Backfills} dag=${id} />
    <h2>Runs</h2><${RunTable} dag=${id} empty="No runs yet." />`;
}
