// Requests, and the one event stream of this tab.
import { useEffect, useState } from "./preact-hooks.js";

const OWN = "/api/millrace/v1";
const GATHER_MS = 500; // events of this long cause one refetch
const HIDDEN_MS = 30000; // a hidden tab gives its connection back after this

export const segment = encodeURIComponent;

// The server's reason as one line of text.
function detailOf(body, status) {
  const detail = body && body.detail;
  if (typeof detail === "string") return detail;
  if (Array.isArray(detail))
    return detail.map((one) => `${one.loc.slice(1).join(".") || one.loc[0]}: ${one.msg}`).join("; ");
  return (detail && detail.message) || `the server answered ${status}`;
}

async function send(method, path, body) {
  const options = { method, headers: { Accept: "application/json" } };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("the server can't be reached");
  }
  const answer = await response.json().catch(() => null);
  if (!response.ok) throw new Error(detailOf(answer, response.status));
  return answer;
}

export const get = (path) => send("GET", path);
export const post = (path, body) => send("POST", path, body);
export const put = (path) => send("PUT", path);
export const patch = (path, body) => send("PATCH", path, body);

// ---- the stream ----

const listeners = new Set();
let source = null;
let lastId = null;
let hiddenTimer = null;
let connection = { open: null, scheduler: true }; // open null: not known yet

function tell(event) {
  for (const listener of [...listeners]) listener(event);
}

function setConnection(next) {
  if (next.open === connection.open && next.scheduler === connection.scheduler) return;
  connection = next;
  tell({ kind: "connection" });
}

function take(kind, message) {
  lastId = message.lastEventId || lastId;
  const data = JSON.parse(message.data);
  if (kind !== "transition") setConnection({ open: true, scheduler: data.scheduler });
  tell({ kind, data });
}

function open() {
  if (source) return;
  source = new EventSource(`${OWN}/events${lastId ? `?last_event_id=${lastId}` : ""}`);
  source.onmessage = (message) => take("transition", message);
  for (const kind of ["hello", "change", "resync"])
    source.addEventListener(kind, (message) => take(kind, message));
  source.onerror = () => {
    setConnection({ ...connection, open: false });
    // A refused stream is not tried again by the browser.
    if (source && source.readyState === EventSource.CLOSED) {
      source = null;
      setTimeout(open, 3000);
    }
  };
}

function close() {
  if (source) source.close();
  source = null;
}

export function startStream() {
  open();
  document.addEventListener("visibilitychange", () => {
    clearTimeout(hiddenTimer);
    if (document.hidden) hiddenTimer = setTimeout(close, HIDDEN_MS);
    else open();
  });
  addEventListener("pagehide", close);
}

export function listen(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function useConnection() {
  const [state, set] = useState(connection);
  useEffect(() => {
    set(connection); // it may have come between the first drawing and this
    return listen((event) => event.kind === "connection" && set(connection));
  }, []);
  return state;
}

// The document at `path`, fetched again when an event that `matches` arrives (or the stream says
// that something changed). `path` null: nothing. Returns {data, error, reload}.
export function useLive(path, matches) {
  const [state, set] = useState({ path, data: null, error: null });
  const [again, setAgain] = useState(0);
  useEffect(() => {
    if (!path) return undefined;
    let stopped = false;
    let timer = null;
    let busy = false;
    let missed = false;
    const later = () => {
      if (!timer) timer = setTimeout(load, GATHER_MS);
    };
    async function load() {
      timer = null;
      if (busy) {
        missed = true;
        return;
      }
      busy = true;
      try {
        const data = await get(path);
        if (!stopped) set({ path, data, error: null });
      } catch (error) {
        if (!stopped) set((old) => ({ path, data: old.path === path ? old.data : null, error }));
      }
      busy = false;
      if (missed && !stopped) later();
      missed = false;
    }
    load();
    const off = listen((event) => {
      if (event.kind === "connection") return;
      if (event.kind !== "transition" || !matches || matches(event.data)) later();
    });
    return () => {
      stopped = true;
      clearTimeout(timer);
      off();
    };
  }, [path, again]);
  const fresh = state.path === path;
  return {
    data: fresh ? state.data : null,
    error: fresh ? state.error : null,
    reload: () => setAgain((count) => count + 1),
  };
}
