// Small pieces that every view uses.
import { useEffect, useState } from "./preact-hooks.js";
import { segment } from "./api.js";
import { html } from "./html.js";

// A shape per state, so that colour is never the only sign.
const SHAPES = {
  success: "●", failed: "✕", running: "▶", queued: "○", scheduled: "◔", deferred: "◑",
  up_for_retry: "↻", up_for_reschedule: "↻", restarting: "↻", skipped: "–", removed: "–",
  upstream_failed: "⊘", none: "·",
};

export const FINAL = new Set(["success", "failed", "upstream_failed", "skipped", "removed"]);

export const shapeOf = (state) => SHAPES[state || "none"] || "?";
export const dagHref = (dag) => `#/dags/${segment(dag)}`;
export const runHref = (dag, run) => `${dagHref(dag)}/runs/${segment(run)}`;
export const backfillHref = (id) => `#/backfills/${id}`;

export function State({ state }) {
  const name = state || "none";
  return html`<span class="state"><span class="chip s-${name}" aria-hidden="true">${shapeOf(name)}</span>
    ${name.replaceAll("_", " ")}</span>`;
}

const two = (number) => String(number).padStart(2, "0");

// "2026-01-02 03:04:05", always UTC; without a time of day at midnight.
export function timeText(iso) {
  const at = new Date(iso);
  const day = `${at.getUTCFullYear()}-${two(at.getUTCMonth() + 1)}-${two(at.getUTCDate())}`;
  const time = `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}:${two(at.getUTCSeconds())}`;
  return time === "00:00:00" ? day : `${day} ${time}`;
}

export function Time({ at }) {
  if (!at) return html`<span class="faint">–</span>`;
  return html`<time datetime=${at} title="${at} (UTC)">${timeText(at)}</time>`;
}

export function seconds(value) {
  if (value === null || value === undefined || !(value >= 0)) return "–";
  if (value < 10) return `${value.toFixed(value < 1 ? 2 : 1)} s`;
  if (value < 60) return `${Math.round(value)} s`;
  const minutes = Math.floor(value / 60);
  if (minutes < 60) return `${minutes} m ${two(Math.floor(value % 60))} s`;
  if (minutes < 1440) return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} m`;
  return `${Math.floor(minutes / 1440)} d ${Math.floor((minutes % 1440) / 60)} h`;
}

// Counts on while nothing has ended yet.
export function Duration({ start, end }) {
  const [now, setNow] = useState(Date.now());
  const open = Boolean(start) && !end;
  useEffect(() => {
    if (!open) return undefined;
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, [open]);
  if (!start) return html`<span class="faint">–</span>`;
  const until = end ? Date.parse(end) : Math.max(now, Date.now());
  return html`<span class="number">${seconds(Math.max(0, (until - Date.parse(start)) / 1000))}</span>`;
}

// A rate in the unit that gives a number one can read.
export function rateText(perSecond) {
  for (const [unit, factor] of [["s", 1], ["min", 60], ["h", 3600]])
    if (perSecond * factor >= 1) return `${(perSecond * factor).toFixed(1)} runs/${unit}`;
  return perSecond > 0 ? `${(perSecond * 86400).toFixed(1)} runs/day` : "–";
}

export function Problem({ error }) {
  if (!error) return null;
  return html`<p class="problem" role="alert">${error.message}</p>`;
}

// The last runs of a DAG, oldest left: height tells the duration, colour and shape the state.
export function Bars({ dag, runs }) {
  if (!runs || runs.length === 0) return html`<span class="faint">no runs yet</span>`;
  const longest = Math.max(...runs.map((run) => run.duration || 0), 0.001);
  return html`<ol class="bars" aria-label="last runs, oldest first">
    ${[...runs].reverse().map((run) => {
      const height = run.duration ? 30 + 70 * (run.duration / longest) : 30;
      const what = `${run.state}, ${run.logical_date ? timeText(run.logical_date) : run.dag_run_id}, ${seconds(run.duration)}`;
      return html`<li key=${run.dag_run_id}><a href=${runHref(dag, run.dag_run_id)} title=${what} aria-label=${what}>
        <span class="bar s-${run.state}" style=${{ height: `${height}%` }} aria-hidden="true">${shapeOf(run.state)}</span>
      </a></li>`;
    })}
  </ol>`;
}

// A button for a change: disabled while it is under way, the refusal beside it.
export function Action({ act, children, kind, disabled }) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(null);
  const click = async () => {
    setBusy(true);
    setError(null);
    try {
      await act();
    } catch (failure) {
      setError(failure);
    }
    setBusy(false);
  };
  return html`<span class="action"><button type="button" class=${kind || ""} disabled=${busy || disabled}
      onClick=${click}>${children}</button><${Problem} error=${error} /></span>`;
}

export function More({ shown, total, more }) {
  if (shown >= total) return null;
  return html`<p><button type="button" onClick=${more}>Show more (${shown} of ${total})</button></p>`;
}
