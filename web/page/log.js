// The log of one try: blocks of lines in <pre>, so that find, select and copy work; the newest part
// first, the rest on demand; goes on while the try runs.
import { useEffect, useRef, useState } from "./preact-hooks.js";
import { get, listen } from "./api.js";
import { html } from "./html.js";
import { Problem } from "./parts.js";

const BLOCK = 500;
const TAIL_BYTES = 2 * 1024 * 1024;
const POLL_MS = 1000;

// Terminal escapes say nothing here: colours, cursor moves, titles.
const ESCAPES = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[@-Z\\-_])/g;

// The time of day before the text; what did not come from stdout says where it came from.
function lineText({ timestamp, logger, event }) {
  const text = event.replace(ESCAPES, "");
  if (!timestamp) return text;
  return `${timestamp.slice(11, 23)}  ${logger === "stdout" ? "" : `[${logger}] `}${text}`;
}

function addLines(blocks, lines) {
  const next = blocks.slice();
  for (let at = 0; at < lines.length;) {
    const last = next[next.length - 1];
    if (!last || last.length >= BLOCK) {
      next.push([]);
      continue;
    }
    const taken = lines.slice(at, at + BLOCK - last.length);
    next[next.length - 1] = last.concat(taken);
    at += taken.length;
  }
  return next;
}

export function Log({ path }) {
  const [blocks, setBlocks] = useState([]);
  const [status, setStatus] = useState({ loading: true, ended: false, error: null });
  const [whole, setWhole] = useState(false);
  const [follow, setFollow] = useState(true);
  const box = useRef(null);
  useEffect(() => {
    let stopped = false;
    let timer = null;
    let token = null;
    let first = true;
    setBlocks([]);
    async function load() {
      timer = null;
      const query = token ? `token=${token}` : whole ? "token=at-0" : `tail=${TAIL_BYTES}`;
      let lines = [];
      try {
        const answer = await get(`${path}&${query}`);
        if (stopped) return;
        lines = answer.content.map(lineText);
        const replace = first;
        first = false;
        setBlocks((old) => addLines(replace ? [] : old, lines));
        token = answer.continuation_token;
        setStatus({ loading: false, ended: token === null, error: null });
      } catch (error) {
        if (stopped) return;
        setStatus({ loading: false, ended: false, error });
      }
      if (token !== null || first) timer = setTimeout(load, lines.length > 0 ? 0 : POLL_MS);
    }
    load();
    const off = listen((event) => {
      if (event.kind === "resync" && !timer && token !== null) load();
    });
    return () => {
      stopped = true;
      clearTimeout(timer);
      off();
    };
  }, [path, whole]);
  useEffect(() => {
    if (follow && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [blocks, follow]);
  const scrolled = () => {
    const { scrollTop, scrollHeight, clientHeight } = box.current;
    setFollow(scrollHeight - scrollTop - clientHeight < 40);
  };
  const count = blocks.reduce((sum, block) => sum + block.length, 0);
  return html`<div class="buttons"><span class="faint" role="status">${status.loading ? "Loading …" : `${count} lines${status.ended ? "" : ", going on"}`}</span>
      <label class="check"><input type="checkbox" checked=${follow} onInput=${(event) => setFollow(event.target.checked)} /> follow</label>
      ${whole ? null : html`<button type="button" onClick=${() => setWhole(true)}>From the beginning</button>`}</div>
    <${Problem} error=${status.error} />
    <div class="log" ref=${box} onScroll=${scrolled} tabindex="0" role="log" aria-label="log" aria-live="off">
      ${blocks.map((lines, index) => html`<pre key=${index}>${lines.join("\n")}${"\n"}</pre>`)}
      ${!status.loading && count === 0 && !status.error ? html`<p class="faint">Nothing has been written yet.</p>` : null}
    </div>`;
}
