// This file answers: how does the page ask the peer, and hear from it?

// ask returns the JSON at path, or null when it is not there now.
export async function ask(path) {
  try {
    const res = await fetch(path, { headers: { Accept: 'application/json' } });
    return res.ok ? await res.json() : null;
  } catch {
    return null; // the peer is gone: who shows it says so
  }
}

// act posts text to path; it returns '' or what is wrong.
export async function act(path, text = '') {
  try {
    const res = await fetch(path, { method: 'POST', body: text });
    return res.ok ? '' : (await res.text()).trim();
  } catch {
    return 'the peer that serves this page does not answer';
  }
}

// listen hands the events of those names to heard until the page is left.
export function listen(path, names, heard) {
  const source = new EventSource(path);
  for (const name of names) source.addEventListener(name, (e) => heard(name, JSON.parse(e.data)));
  return source;
}

// every calls work now and then every ms, not while the page is out of sight,
// and never twice at once.
export function every(ms, work) {
  let busy = false;
  const turn = async () => {
    if (busy || document.hidden) return;
    busy = true;
    try { await work(); } finally { busy = false; }
  };
  turn();
  setInterval(turn, ms);
  document.addEventListener('visibilitychange', turn);
  return turn;
}

export const $ = (id) => document.getElementById(id);

// el makes an element with properties, attributes and children.
export function el(tag, props = {}, ...children) {
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(props)) {
    if (v === undefined || v === null) continue;
    if (k in e) e[k] = v; else e.setAttribute(k, v);
  }
  e.append(...children.filter((c) => c !== null && c !== undefined));
  return e;
}

export const seconds = (ms) => (ms < 995 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(ms < 9950 ? 1 : 0)} s`);
export const plural = (n, one, many = one + 's') => `${n} ${n === 1 ? one : many}`;
