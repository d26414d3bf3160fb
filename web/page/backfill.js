// One backfill: how far it is, and its runs.
import { put, useLive } from "./api.js";
import { html } from "./html.js";
import { Action, dagHref, Problem, rateText, seconds, Time } from "./parts.js";
import { RunTable } from "./dag.js";

// A bar in parts: succeeded, failed, running, skipped, and what is left.
export function Progress({ value }) {
  const total = Math.max(value.total, 1);
  const done = value.succeeded + value.failed + value.skipped;
  const parts = [["success", value.succeeded], ["failed", value.failed], ["running", value.running || 0], ["skipped", value.skipped]];
  const text = `${done} of ${value.total}: ${value.succeeded} succeeded, ${value.failed} failed, ${value.skipped} skipped`;
  return html`<div class="progress" role="progressbar" aria-valuemin="0" aria-valuemax=${value.total} aria-valuenow=${done}
      aria-valuetext=${text}>${parts.map(([state, count]) => count > 0 ? html`<span key=${state} class="part s-${state}"
      style=${{ width: `${(100 * count) / total}%` }}></span>` : null)}</div><div class="faint">${text}</div>`;
}

// In words; why it has paused itself, where no person did.
export function stateOf(one) {
  if (one.completed_at) return one.cancelled ? "cancelled" : "done";
  if (one.is_paused) return one.pause_reason ? `paused: ${one.pause_reason}` : "paused";
  return one.is_retrying ? "running what failed again" : "running";
}

// What it was asked for beyond a range of dates.
function terms(one) {
  const list = [`${one.max_active_runs} runs at once`];
  if (one.run_backwards) list.push("newest first");
  if (one.reprocess !== "none") list.push(`runs that exist: ${one.reprocess} ones again`);
  if (one.tasks) list.push(`only ${one.tasks.join(", ")}${one.upstream ? ", with upstream" : ""}${one.downstream ? ", with downstream" : ""}`);
  if (one.on_failure === "stop") list.push("stops at a failure");
  if (one.force) list.push("also unchanged work");
  return list.join("; ");
}

export function Backfill({ id }) {
  const path = `/api/v2/backfills/${id}`;
  const mine = (event) => event.backfill_id === Number(id);
  const backfill = useLive(path, mine);
  const progress = useLive(`/api/millrace/v1/backfills/${id}/progress`, mine);
  const data = backfill.data;
  if (!data) return backfill.error ? html`<h1>Backfill ${id}</h1><${Problem} error=${backfill.error} />` : html`<p class="faint">Loading …</p>`;
  const now = progress.data;
  const change = (action, base = path) => async () => {
    await put(`${base}/${action}`);
    backfill.reload();
    progress.reload();
  };
  const own = `/api/millrace/v1/backfills/${id}`;
  return html`<nav class="crumbs" aria-label="breadcrumbs"><a href="#/">DAGs</a> / <a href=${dagHref(data.dag_id)}>${data.dag_id}</a></nav>
    <h1>Backfill ${id}</h1>
    <p><${Time} at=${data.from_date} /> to <${Time} at=${data.to_date} />, ${terms(data)}</p>
    ${now ? html`<${Progress} value=${now} />` : null}
    <dl class="facts"><div><dt>State</dt><dd>${stateOf(data)}</dd></div>
      ${now ? html`<div><dt>Running</dt><dd>${now.running}, ${now.queued} queued</dd></div>
        <div><dt>Rate</dt><dd>${rateText(now.runs_per_second)}</dd></div>
        <div><dt>Time left</dt><dd>${now.eta_seconds === null ? "–" : `about ${seconds(now.eta_seconds)}`}</dd></div>` : null}
      <div><dt>Created</dt><dd><${Time} at=${data.created_at} /></dd></div>
      <div><dt>Ended</dt><dd><${Time} at=${data.completed_at} /></dd></div></dl>
    <div class="buttons">
      ${data.completed_at ? null : data.is_paused ? html`<${Action} key="unpause" act=${change("unpause")} kind="primary">Resume<//>` : html`<${Action} key="pause" act=${change("pause")}>Pause<//>`}
      ${data.failed > 0 && !data.cancelled && !data.is_retrying ? html`<${Action} key="retry" act=${change("retry", own)}>Retry what failed<//>` : null}
      ${data.completed_at ? null : html`<${Action} key="cancel" act=${change("cancel")} kind="danger">Cancel<//>`}</div>
    <${Problem} error=${backfill.error || progress.error} />
    <h2>Runs</h2><${RunTable} dag=${data.dag_id} query="&backfill_id=${id}" empty="It has made no run yet." />`;
}
