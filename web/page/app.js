// The page: an address after the # chooses the view.
import { render } from "./preact.js";
import { useEffect, useState } from "./preact-hooks.js";
import { startStream, useConnection } from "./api.js";
import { html } from "./html.js";
import { Backfill } from "./backfill.js";
import { Dag } from "./dag.js";
import { Dags } from "./dags.js";
import { Run } from "./run.js";

function parts() {
  try {
    return location.hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decodeURIComponent);
  } catch {
    return ["?"];
  }
}

// The view of an address, and the title of its tab.
function choose([noun, id, below, run, tasks, task, tryNumber]) {
  if (!noun) return ["DAGs", html`<${Dags} />`];
  if (noun === "backfills" && /^\d+$/.test(id || "")) return [`Backfill ${id}`, html`<${Backfill} key=${id} id=${id} />`];
  if (noun === "dags" && id && below === "runs" && run)
    return [`${run} · ${id}`, html`<${Run} key="${id} ${run}" dag=${id} id=${run} task=${tasks === "tasks" ? task : null} tryNumber=${tryNumber} />`];
  if (noun === "dags" && id && !below) return [id, html`<${Dag} key=${id} id=${id} />`];
  return ["Not found", html`<h1>There is no such page</h1><p><a href="#/">All DAGs</a></p>`];
}

function Connection() {
  const { open, scheduler } = useConnection();
  if (open === null) return html`<p class="status faint" role="status">connecting …</p>`;
  if (!open) return html`<p class="status bad" role="status"><span aria-hidden="true">✕</span> not connected</p>`;
  if (!scheduler) return html`<p class="status bad" role="status"><span aria-hidden="true">✕</span> scheduler is away: changes have to wait</p>`;
  return html`<p class="status" role="status"><span aria-hidden="true">●</span> live</p>`;
}

function App() {
  const [path, setPath] = useState(parts());
  useEffect(() => {
    const moved = () => setPath(parts());
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  const [title, view] = choose(path);
  useEffect(() => {
    document.title = `${title} · Millrace`;
  }, [title]);
  return html`<a class="skip" href="#main" onClick=${(event) => {
    event.preventDefault();
    document.getElementById("main").focus();
  }}>To the content</a>
    <header><a class="brand" href="#/">Millrace</a><${Connection} /></header>
    <main id="main" tabindex="-1">${view}</main>
    <footer>All times are UTC. <a href="/openapi.json">REST API</a></footer>`;
}

startStream();
render(html`<${App} />`, document.getElementById("app"));
