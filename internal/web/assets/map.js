// This file answers: how are the peers and the trees between them drawn, and
// what moves when they change?

const NS = 'http://www.w3.org/2000/svg';
const FRESH = 5000; // ms in which a peer counts as new
const NAMED = 40; // with more peers only those on the way here have names

function svg(tag, attrs = {}, ...children) {
  const e = document.createElementNS(NS, tag);
  for (const [k, v] of Object.entries(attrs)) e.setAttribute(k, v);
  e.append(...children);
  return e;
}

// OverlayMap draws a model into an SVG element: {you, publisher, stripes,
// nodes: [{id, name, kind, state, children, says, below}],
// edges: Map "stripe:child" -> {stripe, from, to, fed},
// mine: Set of keys of edges, standbys: [{stripe, from, to}]}.
// kind is publisher, you or peer; state ok, frozen, drains or gone; below: it
// only takes from you. picked(id) is called when somebody chooses a peer.
export class OverlayMap {
  constructor(root, picked) {
    this.root = root;
    this.onPick = picked;
    this.layers = ['thin', 'standby', 'mine', 'fade', 'chips', 'nodes'].map((name) => root.appendChild(svg('g', { class: name })));
    [this.thin, this.dashed, this.bright, this.fade, this.chips, this.dots] = this.layers;
    this.slots = new Map(); // peer id -> slot
    this.nodes = new Map(); // peer id -> element
    this.paths = new Map(); // key -> {element, from}
    this.met = new Map(); // peer id -> when it was first drawn
    new ResizeObserver(() => this.model && this.draw(this.model)).observe(root);
  }

  draw(model) {
    this.model = model;
    const box = this.root.getBoundingClientRect();
    if (!box.width || !model.nodes.length) return;
    const sized = this.width !== box.width || this.height !== box.height;
    Object.assign(this, { width: box.width, height: box.height });
    this.root.setAttribute('viewBox', `0 0 ${box.width} ${box.height}`);
    this.place(model, sized);
    this.drawEdges(model, sized);
    this.drawNodes(model);
  }

  // place gives each peer a place of its own, which it keeps until it is gone.
  place(model, sized) {
    const peers = model.nodes.filter((n) => n.kind === 'peer' && !n.below);
    const below = model.nodes.filter((n) => n.below);
    const here = new Set(peers.map((n) => n.id));
    for (const id of this.slots.keys()) if (!here.has(id)) this.slots.delete(id);
    const fits = (this.columns ?? 0) * (this.rows ?? 0);
    if (sized || peers.length > fits) {
      const room = Math.max(peers.length + 2, fits);
      const wide = this.width / Math.max(this.height - 170, 120);
      this.rows = Math.max(1, Math.round(Math.sqrt(room / wide / 0.8)));
      this.columns = Math.ceil(room / this.rows);
      if (!this.slots.size) { // at first, those near the publisher are at the top
        const depth = (n) => n.depth ?? 9;
        peers.sort((a, b) => depth(a) - depth(b) || (a.name < b.name ? -1 : 1));
      }
    }
    const taken = new Set(this.slots.values());
    let next = 0;
    for (const n of peers) {
      if (this.slots.has(n.id)) continue;
      while (taken.has(next)) next++;
      taken.add(next);
      this.slots.set(n.id, next);
    }
    const cell = Math.min(this.width / (this.columns + 0.5), (this.height - 150) / this.rows);
    this.radius = Math.max(5, Math.min(17, cell * 0.24));
    const top = 34;
    const bottom = this.height - (below.length ? 88 : 34);
    this.at = new Map();
    for (const n of model.nodes) {
      if (n.kind === 'publisher') this.at.set(n.id, [this.width / 2, top]);
      else if (n.kind === 'you') this.at.set(n.id, [this.width / 2, bottom]);
    }
    const step = this.width / (this.columns + 0.5);
    const lane = (bottom - top) / (this.rows + 1);
    for (const [id, slot] of this.slots) {
      const row = Math.floor(slot / this.columns);
      const column = slot % this.columns;
      // Rows are shifted against each other, and bent, so that lines do not run into one.
      const x = step * (column + (row % 2 ? 1 : 0.5));
      const bend = 10 * Math.cos((x / this.width - 0.5) * Math.PI);
      this.at.set(id, [x, top + lane * (row + 1) + (row < this.rows / 2 ? bend : -bend)]);
    }
    below.forEach((n, i) => this.at.set(n.id, [this.width * (i + 1) / (below.length + 1), this.height - 24]));
    // A standby publisher stands beside the publisher.
    for (const n of model.nodes) if (n.kind === 'standby') this.at.set(n.id, [this.width / 2 + 110, top]);
  }

  // line is the curve of an edge: each stripe has its own track, so that all are seen.
  line(stripe, from, to, stripes) {
    const [x1, y1] = this.at.get(from);
    const [x2, y2] = this.at.get(to);
    const off = (stripe - (stripes - 1) / 2) * Math.min(15, 60 / stripes);
    const far = Math.hypot(x2 - x1, y2 - y1);
    if (Math.abs(y2 - y1) < 40) { // in one row: a bow
      const lift = 26 + Math.abs(off) + far * 0.08;
      return `M${x1} ${y1}C${x1 + off} ${y1 + lift} ${x2 + off} ${y2 + lift} ${x2} ${y2}`;
    }
    const swing = off * (1 + far / 110);
    return `M${x1} ${y1}C${x1 + swing} ${y1 + (y2 - y1) * 0.45} ${x2 + swing} ${y1 + (y2 - y1) * 0.55} ${x2 + off * 0.5} ${y2}`;
  }

  drawEdges(model, sized) {
    const seen = new Set();
    const moving = !sized && this.paths.size > 0;
    for (const [key, e] of model.edges) {
      if (!this.at.has(e.from) || !this.at.has(e.to)) continue;
      seen.add(key);
      let p = this.paths.get(key);
      const changed = p && p.from !== e.from;
      const mine = model.mine.has(key);
      if (changed && (mine || p.mine)) this.leave(p.element);
      if (!p) {
        p = { element: svg('path') };
        this.paths.set(key, p);
      }
      const d = this.line(e.stripe, e.from, e.to, model.stripes);
      p.element.setAttribute('d', d);
      let names = `edge s${e.stripe % 8}`;
      if (e.stripe > 7) names += ' twin';
      if (mine) names += ' mine';
      if (!e.fed) names += ' waits';
      if (this.chosen === e.from || this.chosen === e.to) names += ' chosen';
      if (p.names !== names) p.element.setAttribute('class', p.names = names);
      const layer = mine ? this.bright : this.thin;
      if (p.element.parentNode !== layer) layer.append(p.element);
      if (moving && (changed || p.from === undefined) && mine && e.fed) {
        p.element.setAttribute('pathLength', 1);
        p.element.classList.add('drawn');
        const element = p.element;
        setTimeout(() => { element.classList.remove('drawn'); element.removeAttribute('pathLength'); }, 750);
      }
      p.from = e.from;
      p.mine = mine;
    }
    for (const [key, p] of this.paths) {
      if (seen.has(key)) continue;
      if (p.mine) this.leave(p.element);
      p.element.remove();
      this.paths.delete(key);
    }
    this.dashed.replaceChildren(...(model.standbys ?? []).filter((e) => this.at.has(e.from) && this.at.has(e.to)).map((e) =>
      svg('path', { class: `edge standby s${e.stripe % 8}`, d: this.line(e.stripe, e.from, e.to, model.stripes) })));
    this.drawChips(model);
  }

  // leave lets a line that is no more fade away.
  leave(element) {
    const ghost = element.cloneNode();
    ghost.setAttribute('class', `${ghost.getAttribute('class').replace('drawn', '')} lost`);
    this.fade.append(ghost);
    setTimeout(() => ghost.remove(), 1700);
  }

  // drawChips numbers the lines where they come in: colours are not for everybody.
  drawChips(model) {
    const chips = [];
    for (let i = 0; i < model.stripes; i++) {
      const p = this.paths.get(`${i}:${model.you}`);
      if (!p || model.stripes > 8) continue;
      const length = p.element.getTotalLength();
      const { x, y } = p.element.getPointAtLength(Math.max(0, length - 46));
      chips.push(svg('g', { class: `chip s${i % 8}`, transform: `translate(${x} ${y})` }, svg('circle', { r: 8 }), text(String(i + 1))));
    }
    this.chips.replaceChildren(...chips);
  }

  drawNodes(model) {
    const way = new Set();
    for (const key of model.mine) {
      const e = model.edges.get(key);
      if (e) way.add(e.from).add(e.to);
    }
    const now = performance.now();
    const begun = this.nodes.size > 0;
    const here = new Set();
    for (const n of model.nodes) {
      if (!this.at.has(n.id)) continue;
      here.add(n.id);
      let g = this.nodes.get(n.id);
      if (!g) {
        g = this.dots.appendChild(this.newNode(n));
        this.nodes.set(n.id, g);
        this.met.set(n.id, begun ? now : -FRESH);
      }
      const [x, y] = this.at.get(n.id);
      const names = ['node', n.kind, n.state];
      if (way.has(n.id)) names.push('way');
      if (now - this.met.get(n.id) < FRESH) names.push('fresh');
      if (this.chosen === n.id) names.push('picked');
      if ((this.suspects?.get(n.id) ?? 0) > now) names.push('suspect');
      g.setAttribute('class', names.join(' '));
      g.setAttribute('transform', `translate(${x} ${y})`);
      g.setAttribute('aria-label', n.says);
      g.setAttribute('tabindex', n.state === 'gone' ? '-1' : '0');
      // Who carries more is bigger.
      const r = n.kind === 'peer' ? this.radius * (0.8 + Math.min(0.55, 0.06 * n.children)) : 21;
      g.children[0].setAttribute('r', r + 6);
      g.children[1].setAttribute('r', r);
      const named = n.kind !== 'peer' || model.nodes.length <= NAMED || way.has(n.id) || n.state === 'gone';
      g.children[2].textContent = n.state === 'gone' ? '✕' : named && r >= 11 ? n.name : '';
      g.children[3].textContent = n.state === 'gone' ? `${n.name} is gone` : n.state === 'ok' ? (named && r < 11 ? n.name : '') : n.state;
      g.children[3].setAttribute('y', r + 13);
    }
    for (const [id, g] of this.nodes) {
      if (here.has(id)) continue;
      g.remove();
      this.nodes.delete(id);
      this.met.delete(id);
    }
  }

  newNode(n) {
    const g = svg('g', { role: 'button', 'data-peer': n.name }, svg('circle', { class: 'ring' }), svg('circle', { class: 'body' }), text('', 'inner'), text('', 'says'));
    const pick = () => this.pick(this.chosen === n.id ? null : n.id);
    g.addEventListener('click', pick);
    g.addEventListener('keydown', (e) => {
      if (e.key !== 'Enter' && e.key !== ' ') return;
      e.preventDefault();
      pick();
    });
    return g;
  }

  pick(id) {
    this.chosen = id;
    if (this.model) this.draw(this.model);
    this.onPick(id);
  }

  // suspect rings a peer that somebody does not hear of any more.
  suspect(id) {
    this.suspects ??= new Map();
    this.suspects.set(id, performance.now() + 1600);
    this.nodes.get(id)?.classList.add('suspect');
  }
}

function text(says, name = '') {
  const t = svg('text', { class: name });
  t.textContent = says;
  return t;
}
