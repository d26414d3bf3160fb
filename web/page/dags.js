// The list of DAGs: pause switch, schedule, last runs, next run, and what is wrong with files.
import { useState } from "./preact-hooks.js";
import { patch, segment, useLive } from "./api.js";
import { html } from "./html.js";
import { Bars, dagHref, Problem, State, Time } from "./parts.js";

export function PauseSwitch({ dag, reload }) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(null);
  const toggle = async () => {
    setBusy(true);
    setError(null);
    try {
      await patch(`/api/v2/dags/${segment(dag.dag_id)}`, { is_paused: !dag.is_paused });
      reload();
    } catch (failure) {
      setError(failure);
    }
    setBusy(false);
  };
  return html`<button type="button" role="switch" class="switch" aria-checked=${String(!dag.is_paused)}
      aria-label="${dag.dag_id} is active" disabled=${busy} onClick=${toggle}>
      <span class="knob" aria-hidden="true"></span>${dag.is_paused ? "paused" : "active"}</button>
    <${Problem} error=${error} />`;
}

// Why the scheduler paused it; nothing where a person did.
export function PauseReason({ dag }) {
  return dag.is_paused && dag.pause_reason ? html`<div class="faint">${dag.pause_reason}</div>` : null;
}

function ImportErrors() {
  const { data } = useLive("/api/v2/importErrors?limit=100", () => false);
  if (!data || data.total_entries === 0) return null;
  return html`<section class="banner" aria-label="errors in DAG files">
    <h2>✕ ${data.total_entries} DAG ${data.total_entries === 1 ? "file has" : "files have"} errors</h2>
    ${data.import_errors.map((one) => html`<details key=${one.import_error_id}>
      <summary>${one.filename}, <${Time} at=${one.timestamp} /></summary>
      <pre tabindex="0">${one.stack_trace}</pre></details>`)}
  </section>`;
}

function Row({ dag, runs, reload }) {
  const last = runs && runs.find((run) => run.end_date);
  return html`<tr>
    <th scope="row"><a href=${dagHref(dag.dag_id)}>${dag.dag_id}</a>
      ${dag.has_import_errors ? html` <span class="tag bad">✕ file has errors</span>` : null}
      ${dag.tags.map((tag) => html` <span class="tag" key=${tag.name}>${tag.name}</span>`)}
      ${dag.description ? html`<div class="faint">${dag.description}</div>` : null}</th>
    <td data-label="Active"><${PauseSwitch} dag=${dag} reload=${reload} /><${PauseReason} dag=${dag} /></td>
    <td data-label="Schedule">${dag.timetable_summary || html`<span class="faint">by hand</span>`}</td>
    <td data-label="Last result">${last ? html`<${State} state=${last.state} />` : html`<span class="faint">–</span>`}</td>
    <td data-label="Last runs"><${Bars} dag=${dag.dag_id} runs=${runs} /></td>
    <td data-label="Next run">${dag.is_paused ? html`<span class="faint">paused</span>` : html`<${Time} at=${dag.next_dagrun_run_after} />`}</td>
  </tr>`;
}

export function Dags() {
  const [search, setSearch] = useState("");
  const dags = useLive("/api/v2/dags?limit=10000");
  const summary = useLive("/api/millrace/v1/runs-summary", (event) => !event.task_id);
  const runs = new Map(summary.data ? summary.data.dags.map((dag) => [dag.dag_id, dag.runs]) : []);
  const wanted = search.toLowerCase();
  const shown = dags.data ? dags.data.dags.filter((dag) => dag.dag_id.toLowerCase().includes(wanted)) : [];
  return html`<${ImportErrors} />
    <h1>DAGs</h1>
    <p><label>Find <input type="search" value=${search} onInput=${(event) => setSearch(event.target.value)} /></label></p>
    <${Problem} error=${dags.error || summary.error} />
    ${!dags.data ? (dags.error ? null : html`<p class="faint">Loading …</p>`) : shown.length === 0
      ? html`<p class="faint">${dags.data.total_entries === 0 ? "No DAG has been loaded yet. Put a YAML file into the DAG folder." : "No DAG has such a name."}</p>`
      : html`<table class="stack"><thead><tr><th scope="col">DAG</th><th scope="col">Active</th><th scope="col">Schedule</th>
        <th scope="col">Last result</th><th scope="col">Last runs</th><th scope="col">Next run</th></tr></thead>
      <tbody>${shown.map((dag) => html`<${Row} key=${dag.dag_id} dag=${dag} runs=${runs.get(dag.dag_id)} reload=${dags.reload} />`)}</tbody></table>`}`;
}
