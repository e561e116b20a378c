// This file answers: which parts does this peer have, and how do they go together
// on the page?
import { $, act, ask, el, every, listen, seconds } from './api.js';
import { Charts, Sampler } from './charts.js';
import { OverlayMap } from './map.js';
import { applied, fromDemo, fromState } from './model.js';
import { headline, showFaults, showPeers, showPicked, strike } from './peers.js';
import { Player } from './player.js';
import { setUp } from './start.js';

const parts = new Set(document.documentElement.dataset.parts.split(' '));
for (const e of document.querySelectorAll('[data-needs]')) {
  if (!e.dataset.needs.split(' ').some((p) => parts.has(p))) e.remove();
}

const now = { state: null, demo: null, model: null };
const heardOf = new Map(); // log entry -> when this page learnt of it, ms of performance.now
let switches = 0; // of this viewer, seen by the page

const player = $('video') && new Player($('video'), parts, (text) => { $('cover').textContent = text; }, () => { $('v-mode').textContent = player?.describe() ?? ''; });
const map = $('map') && new OverlayMap($('map'), () => show());
const charts = $('charts') && new Charts($('charts'));
const sampler = new Sampler();

// show draws what is known.
function show() {
  const stream = now.state?.streams[0];
  if (!now.model) return;
  legend(now.model.stripes);
  map.draw(now.model);
  if (!showPicked($('picked'), map.chosen, now.model, now.demo) && map.chosen) map.pick(null);
  showPeers($('peers'), now.model, stream, now.demo);
  if (now.demo) {
    showFaults(now.demo, (e) => player.stopBetween(heardOf.get(e.id) - 600, heardOf.get(e.id) + 2000));
    $('headline').replaceChildren(...headline(now.demo, player.settled ? player.longest : null));
    $('auto').hidden = !now.demo.every_ms;
    $('auto').setAttribute('aria-pressed', String(now.demo.paused));
    $('auto').textContent = now.demo.paused ? 'Resume automatic faults' : 'Pause automatic faults';
    $('kill-mine').disabled = !mine().length;
  }
}

function legend(stripes) {
  const list = $('legend');
  if (list.childElementCount === stripes + 1 || !stripes) return;
  list.replaceChildren(...Array.from({ length: stripes }, (_, i) => el('li', { className: `s${i % 8}` }, el('i'), `${i + 1}`)), el('li', { className: 'dashed' }, el('i'), 'standby'));
}

// mine are the relays on the way here that may be struck, first what brings most.
function mine() {
  const free = now.demo.peers.filter((p) => p.alive && !p.refused && p.role === 'viewer' && now.model.carries.has(p.id));
  const brings = (p) => now.model.carries.get(p.id).length;
  return free.sort((a, b) => brings(b) - brings(a) || b.children - a.children);
}

async function learnDemo() {
  const demo = await ask('/api/v1/demo');
  if (!demo) return;
  now.demo = demo;
  for (const e of demo.log) if (!heardOf.has(e.id)) heardOf.set(e.id, performance.now());
  if (demo.watched) now.model = fromDemo(demo);
  show();
}

async function learnState() {
  const state = await ask('/api/v1/state');
  if (!state) {
    if (player && !player.seen) $('cover').textContent = 'This peer is starting, or gone.';
    return;
  }
  now.state = state;
  const stream = state.streams[0];
  if (!stream) return;
  if (!parts.has('demo')) {
    now.model = fromState(state);
    $('headline').replaceChildren(el('strong', {}, `Stream ${stream.id.slice(0, 8)}…`), stream.started ? ` ${stream.neighbours} neighbours, ${stream.slots_used} of ${stream.slots} places for children taken.` : ` is looked for: ${stream.waiting}`);
    show();
  }
  const sample = sampler.sample(stream);
  if (player) {
    const buffer = await player.buffer();
    sample.buffer = buffer === null ? null : buffer / 1000;
    const behind = await player.behind(sample.latency);
    const put = (id, text, good) => {
      $(id).textContent = text;
      $(id).className = good === undefined ? '' : good ? 'fine' : 'poor';
    };
    put('v-behind', behind === null ? '–' : seconds(behind));
    put('v-buffer', buffer === null ? '–' : seconds(buffer));
    put('v-stall', player.settled ? (player.longest < 100 ? 'none' : seconds(player.longest)) : '–', player.settled ? player.longest < 250 : undefined);
    put('v-switches', String(Math.max(stream.counts.switches + stream.counts.moves, switches)));
  }
  charts.add(sample);
}

if (parts.has('whip') && map) {
  $('map-title').textContent = 'Who carries it';
  $('map-lead').textContent = 'The stream is split into stripes. Each goes from here down its own tree of viewers.';
}
await setUp(parts);
if (player) {
  player.choose('auto');
  $('modes').addEventListener('change', (e) => player.choose(e.target.value));
}
if (parts.has('state')) every(1000, learnState);
if (parts.has('demo')) {
  every(1000, learnDemo);
  $('kill-mine').addEventListener('click', async () => {
    for (const victim of mine()) if (await strike(victim.name, 'kill')) return; // it may have died meanwhile
  });
  $('auto').addEventListener('click', async () => {
    $('deed-note').textContent = await act(`/api/v1/demo/auto/${now.demo.paused ? 'on' : 'off'}`);
    learnDemo();
  });
}
if (parts.has('events')) {
  let soon = 0;
  listen('/api/v1/events', ['join', 'switch', 'move', 'suspect', 'gone', 'orphan', 'demo_fault', 'demo_cost', 'demo_peers'], (name, e) => {
    if (!now.model || document.hidden) return;
    if (name === 'suspect') map.suspect(e.peer);
    if (name === 'join' || name === 'switch' || name === 'move') {
      if ((e.self || now.model.you) === now.model.you && name !== 'join') switches++;
      if (applied(now.model, e)) map.draw(now.model);
    }
    if (!soon && parts.has('demo') && name.startsWith('demo_')) soon = setTimeout(() => { soon = 0; learnDemo(); }, 60);
  });
}
