// This file answers: what do the table of peers, the chosen peer and the log of
// faults say?
import { $, act, el, plural, seconds } from './api.js';
import { stripeList } from './model.js';

const FAULTS = ['kill', 'freeze', 'drain'];
const TIPS = { kill: 'Its packets stop at once, as when its cable is pulled', freeze: 'It stands still for 6 s and comes back', drain: 'It hands its children over and leaves, as for an update' };

// buttons are the faults that can strike a peer.
function buttons(peer) {
  return el('span', { className: 'faults' }, ...FAULTS.map((fault) => el('button', {
    type: 'button', className: 'small', disabled: !!peer.refused || !peer.alive, title: peer.refused || TIPS[fault],
    'aria-label': `${fault} ${peer.name}`, 'data-fault': fault, 'data-peer': peer.name, onclick: () => strike(peer.name, fault),
  }, fault[0].toUpperCase() + fault.slice(1))));
}

// strike does something to a peer, says where that is refused, and returns
// whether it was done.
export async function strike(name, fault) {
  const why = await act(`/api/v1/demo/peers/${encodeURIComponent(name)}/${fault}`);
  $('deed-note').textContent = why || { kill: `${name} is cut off.`, freeze: `${name} stands still for six seconds.`, drain: `${name} hands its children over and leaves.` }[fault];
  return !why;
}

// relation is what a peer is for this viewer.
function relation(id, model, stream) {
  const tags = [];
  const list = (what, stripes) => {
    if (stripes.length) tags.push(el('span', { className: 'tag' }, ...stripes.map((i) => el('i', { className: `s${i % 8}`, title: `stripe ${i + 1}` })), `${what} ${stripeList(stripes)}`));
  };
  const own = stream?.stripes ?? [];
  const pick = (has) => own.filter(has).map((s) => s.stripe);
  list('parent in', pick((s) => s.parent === id));
  list('further up in', pick((s) => s.parent && s.parent !== id && s.path.includes(id) && id !== model.you));
  list('standby for', pick((s) => s.standbys[0] === id));
  list('child in', pick((s) => s.children.includes(id)));
  return tags;
}

// showPeers fills the table.
export function showPeers(body, model, stream, demo) {
  const levels = new Map((stream?.levels ?? []).map((l) => [l.peer, l]));
  const all = demo ? demo.peers.filter((p) => p.state !== 'gone') : [...new Set([...model.nodes.map((n) => n.id), ...levels.keys()])].map((id) => ({ id }));
  const rows = all.map((p) => {
    const node = model.nodes.find((n) => n.id === p.id);
    const l = levels.get(p.id);
    const you = p.id === model.you;
    let level = l ? (l.leaving ? 'leaving' : l.level) : 'none';
    if (p.state === 'frozen') level = 'frozen';
    const word = you ? 'this viewer' : level === 'none' ? 'not a neighbour' : level;
    return {
      id: p.id, key: [p.id, word, node?.children, p.refused, l?.rtt_ms, JSON.stringify(stream?.stripes.map((s) => [s.parent, s.path.includes(p.id), s.standbys[0], s.children.includes(p.id)]))].join('|'),
      make: () => el('tr', { 'data-id': p.id }, el('th', { scope: 'row', title: p.id }, you && demo ? `${p.name} (you)` : p.name ?? node?.name ?? p.id.slice(-4)),
        el('td', {}, el('span', { className: `level ${you ? 'healthy' : level}` }, word)),
        el('td', { className: 'wide' }, ...(you ? ['plays, and relays to its children'] : relation(p.id, model, stream))),
        el('td', { className: 'num' }, demo ? String(p.children) : String(node?.children ?? 0)),
        el('td', { className: 'num' }, l ? seconds(l.rtt_ms) : '–'),
        demo ? el('td', {}, buttons(p)) : null),
    };
  });
  // Rows that did not change stay: who has the focus there keeps it.
  const old = new Map([...body.children].map((tr) => [tr.dataset.id, tr]));
  rows.forEach((r, i) => {
    let tr = old.get(r.id);
    if (!tr || tr.dataset.key !== r.key) {
      const focus = tr?.contains(document.activeElement) && document.activeElement.dataset.fault;
      const fresh = r.make();
      fresh.dataset.key = r.key;
      tr?.replaceWith(fresh);
      tr = fresh;
      if (focus) tr.querySelector(`[data-fault=${focus}]`)?.focus();
    }
    if (body.children[i] !== tr) body.insertBefore(tr, body.children[i] ?? null);
    old.delete(r.id);
  });
  for (const tr of old.values()) tr.remove();
}

// showPicked says what the chosen peer does; it returns whether there is one.
export function showPicked(box, id, model, demo) {
  const node = model.nodes.find((n) => n.id === id && n.state !== 'gone');
  box.hidden = !node;
  if (!node) return false;
  const p = demo?.peers.find((q) => q.id === id);
  const key = `${id}|${node.says}|${p?.refused}`;
  if (box.dataset.key === key) return true;
  const focus = box.contains(document.activeElement) && document.activeElement.dataset.fault;
  box.dataset.key = key;
  box.replaceChildren(el('p', {}, el('strong', {}, node.says.split(',')[0]), node.says.slice(node.says.split(',')[0].length), p?.refused ? el('span', { className: 'note' }, `, cannot be struck: ${p.refused}`) : '.'), ...(p && !p.refused ? [buttons(p)] : []));
  if (focus) box.querySelector(`[data-fault=${focus}]`)?.focus();
  return true;
}

const gone = (ms) => (ms === undefined || ms === null ? '–' : ms < 40 ? 'none' : seconds(ms));

// showFaults fills the card of the last fault and the log. stopped(entry) is the
// longest time without a new picture here, ms; null: not known.
export function showFaults(demo, stopped) {
  const faults = demo.log.filter((e) => e.fault);
  const last = faults[0];
  if (!last) return;
  const what = last.text.split(':')[0];
  const fact = (name, value, good) => el('div', {}, el('dt', {}, name), el('dd', { className: good === undefined ? '' : good ? 'fine' : 'poor' }, value));
  const facts = [];
  if (last.cost) {
    const stop = stopped(last);
    if (stop !== null) facts.push(fact('Your picture stopped for', stop < 250 ? 'no time' : seconds(stop), stop < 250));
    facts.push(fact('Longest gap of a viewer', gone(last.cost.gap_ms)), fact('Parents replaced', String(last.cost.switches)),
      fact('Objects lost', String(last.cost.missed), last.cost.missed === 0));
  }
  const key = `${last.id}|${what}|${!!last.cost}`;
  const box = $('last');
  if (box.dataset.key !== key) {
    box.dataset.key = key;
    box.replaceChildren(el('p', { className: 'what' }, `${what}.`), last.cost ? el('dl', {}, ...facts) : el('p', { className: 'note' }, 'Its cost is known in two seconds…'));
  }
  $('log').replaceChildren(...faults.map((e) => el('tr', {},
    el('td', {}, new Date(e.at).toLocaleTimeString()), el('td', { className: 'wide' }, e.text.split(':')[0]),
    el('td', { className: 'num' }, e.cost ? gone(e.cost.gap_ms) : '…'), el('td', { className: 'num' }, e.cost ? String(e.cost.switches) : '…'),
    el('td', { className: 'num' }, e.cost ? String(e.cost.missed) : '…'))));
}

// headline sums the demo up in a sentence.
export function headline(demo, longest) {
  const alive = demo.peers.filter((p) => p.alive && p.role === 'viewer').length;
  const times = demo.events ? `${plural(demo.events, 'fault')} so far` : 'No fault so far';
  return [el('strong', {}, `${plural(alive, 'viewer')} pass one stream on to each other. `), longest === null ? times : `${times}, and this picture never stopped for more than ${seconds(Math.max(longest, 40))}.`];
}
