// This file answers: how went the last two minutes?
import { el, seconds } from './api.js';

const SPAN = 120; // seconds that are shown

// measures, each from one second's samples; null: not known.
const MEASURES = [
  { key: 'buffer', name: 'Buffer', unit: 's', shows: (v) => seconds(v * 1000), least: 2, hint: 'what the player has and has not shown' },
  { key: 'latency', name: 'Age of objects', unit: 'ms', shows: seconds, least: 200, hint: 'from the publisher to this peer' },
  { key: 'gap', name: 'Gap', unit: 'ms', shows: (v) => (v < 40 ? '< 40 ms' : seconds(v)), least: 300, hint: 'longest time without progress in a second' },
  { key: 'redundancy', name: 'Redundancy', unit: '%', shows: (v) => `${v.toFixed(1)} %`, least: 5, hint: 'bytes beyond one copy of the stream, over 10 s' },
  { key: 'download', name: 'Download', unit: 'Mbit/s', shows: (v) => `${v.toFixed(2)} Mbit/s`, least: 1 },
  { key: 'upload', name: 'Upload', unit: 'Mbit/s', shows: (v) => `${v.toFixed(2)} Mbit/s`, least: 1, hint: 'to other viewers' },
];

// Charts draws into a box; add takes what one second measured.
export class Charts {
  constructor(box) {
    this.times = [];
    this.values = MEASURES.map(() => []);
    this.cards = MEASURES.map((m) => {
      const shown = el('b', {}, '–');
      const plot = el('div', { className: 'plot' });
      const card = el('div', { className: 'chart' }, el('h3', { title: m.hint }, el('span', {}, m.name), shown), plot);
      box.append(card);
      return { shown, plot };
    });
    this.load();
  }

  async load() {
    const style = el('link', { rel: 'stylesheet', href: '/assets/vendor/uPlot.min.css' });
    const script = el('script', { src: '/assets/vendor/uPlot.iife.min.js' });
    document.head.append(style, script);
    await new Promise((done) => { script.onload = done; });
    this.colours();
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.colours());
    new ResizeObserver(() => this.size()).observe(this.cards[0].plot);
  }

  // colours makes the plots anew: they are drawn on canvases.
  colours() {
    const css = getComputedStyle(document.documentElement);
    const colour = (name) => css.getPropertyValue(name).trim();
    this.plots?.forEach((p) => p.destroy());
    this.plots = MEASURES.map((m, i) => new window.uPlot({
      width: Math.max(80, this.cards[i].plot.clientWidth), height: 84, pxAlign: 0,
      cursor: { show: false }, legend: { show: false }, padding: [6, 4, 2, 0],
      scales: { x: { time: false, range: () => [-SPAN, 0] }, y: { range: (_, __, max) => [0, Math.max(m.least, (max ?? 0) * 1.15)] } },
      axes: [
        { show: false },
        { size: 34, gap: 4, ticks: { show: false }, grid: { stroke: colour('--line'), width: 1 }, stroke: colour('--soft'), font: '11px system-ui, sans-serif', splits: (_, __, lo, hi) => nice(hi) },
      ],
      series: [{}, { stroke: colour('--accent'), width: 1.75, fill: `${colour('--accent')}22`, points: { show: false }, spanGaps: false }],
    }, this.data(i), this.cards[i].plot));
  }

  size() {
    this.plots?.forEach((p, i) => p.setSize({ width: Math.max(80, this.cards[i].plot.clientWidth), height: 84 }));
  }

  data(i) {
    const last = this.times.at(-1) ?? 0;
    return [this.times.map((t) => t - last), this.values[i]];
  }

  add(sample) {
    this.times.push(performance.now() / 1000);
    MEASURES.forEach((m, i) => {
      const v = sample[m.key];
      this.values[i].push(v ?? null);
      this.cards[i].shown.textContent = v === null || v === undefined ? '–' : m.shows(v);
    });
    const old = this.times.findIndex((t) => t > this.times.at(-1) - SPAN);
    if (old > 0) [this.times, ...this.values].forEach((a) => a.splice(0, old));
    this.plots?.forEach((p, i) => p.setData(this.data(i)));
  }
}

// nice are the marks of an axis up to hi: none but zero and one near the top.
function nice(hi) {
  const size = 10 ** Math.floor(Math.log10(hi));
  const top = [5, 2, 1].map((f) => f * size).find((v) => v <= hi) ?? size;
  return [0, top];
}

// Sampler turns totals of the state into rates.
export class Sampler {
  constructor() { this.past = []; }

  // sample returns what charts take; stream is the state's.
  sample(stream) {
    const now = performance.now() / 1000;
    const totals = { now, received: stream.received_bytes, unique: stream.unique_bytes, sent: stream.sent_bytes };
    if (this.past.length && totals.received < this.past.at(-1).received) this.past = []; // another peer
    const last = this.past.at(-1);
    this.past.push(totals);
    while (this.past.length > 11) this.past.shift();
    const first = this.past[0];
    const rate = (key) => (last && now > last.now ? (totals[key] - last[key]) * 8e-6 / (now - last.now) : null);
    const fresh = totals.unique - first.unique;
    return {
      latency: stream.lately?.latency_ms ?? null, gap: stream.lately?.gap_ms ?? null,
      redundancy: fresh > 0 ? 100 * (totals.received - first.received - fresh) / fresh : null,
      download: rate('received'), upload: rate('sent'),
    };
  }
}
