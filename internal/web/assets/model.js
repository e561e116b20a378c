// This file answers: which peers are there and who takes what from whom, by what
// the peer told?

// short is a name for a peer of which only the id is known.
const short = (id) => id.slice(-4);

// fromDemo makes the map's model of the demo's state: all peers are known.
export function fromDemo(demo) {
  const you = demo.watched;
  const nodes = [];
  const edges = new Map();
  let stripes = 0;
  let publisher = '';
  for (const p of demo.peers) {
    if (p.role === 'publisher' && p.alive) publisher = p.id;
    stripes = Math.max(stripes, p.stripes.length);
  }
  for (const p of demo.peers) {
    const kind = p.role === 'publisher' && p.alive ? 'publisher' : p.role === 'standby' ? 'standby' : p.id === you ? 'you' : 'peer';
    const depths = p.stripes.filter((s) => s.parent).map((s) => s.path.length - 1);
    nodes.push({ id: p.id, name: kind === 'you' ? 'you' : p.name, kind, state: p.state === 'guest' ? 'ok' : p.state, children: p.children,
      depth: depths.length ? Math.min(...depths) : undefined });
    p.stripes.forEach((s, i) => {
      if (s.parent) edges.set(`${i}:${p.id}`, { stripe: i, from: s.parent, to: p.id, fed: s.fed });
    });
  }
  const own = demo.peers.find((p) => p.id === you);
  const standbys = own ? own.stripes.flatMap((s, i) => s.standbys.slice(0, 1).map((from) => ({ stripe: i, from, to: you }))) : [];
  return describe({ you, publisher, stripes, nodes, edges, standbys, mine: new Set() });
}

// fromState makes it of what one peer knows: its ways, standbys and children.
export function fromState(state) {
  const stream = state.streams[0];
  const you = state.peer;
  const nodes = new Map();
  const edges = new Map();
  const standbys = [];
  const add = (id, kind, more = {}) => {
    if (!nodes.has(id)) nodes.set(id, { id, name: kind === 'you' ? 'you' : kind === 'publisher' ? 'pub' : short(id), kind, state: 'ok', children: 0, ...more });
    return nodes.get(id);
  };
  add(you, 'you');
  const publisher = stream?.role === 'publisher' ? you : stream?.publisher ?? stream?.stripes.find((s) => s.path.length > 1)?.path[0] ?? '';
  if (publisher && publisher !== you) add(publisher, 'publisher');
  for (const s of stream?.stripes ?? []) {
    if (s.parent) {
      s.path.forEach((to, i) => {
        const node = add(to, 'peer', { depth: i });
        if (i === 0) return;
        nodes.get(s.path[i - 1]).children++;
        const key = `${s.stripe}:${to}`;
        if (!edges.has(key)) edges.set(key, { stripe: s.stripe, from: s.path[i - 1], to, fed: node.id !== you || s.fed });
      });
    }
    s.standbys.slice(0, 1).forEach((from) => {
      add(from, 'peer');
      standbys.push({ stripe: s.stripe, from, to: you });
    });
  }
  for (const s of stream?.stripes ?? []) {
    for (const to of s.children) {
      add(to, 'peer', { below: true });
      nodes.get(you).children++;
      edges.set(`${s.stripe}:${to}`, { stripe: s.stripe, from: you, to, fed: true });
    }
  }
  return describe({ you, publisher, stripes: stream?.stripes.length ?? 0, nodes: [...nodes.values()], edges, standbys, mine: new Set() });
}

// describe finds the ways that end here, and says of each peer what it is.
export function describe(model) {
  model.mine.clear();
  const carries = new Map(); // peer id -> stripes that it brings here
  for (let i = 0; i < model.stripes; i++) {
    const met = new Set();
    for (let at = model.you; at && !met.has(at);) {
      met.add(at);
      const e = model.edges.get(`${i}:${at}`);
      if (!e) break;
      model.mine.add(`${i}:${at}`);
      carries.set(e.from, [...(carries.get(e.from) ?? []), i]);
      at = e.from;
    }
  }
  model.carries = carries;
  for (const n of model.nodes) {
    const says = [n.kind === 'you' ? 'This viewer' : n.kind === 'publisher' ? `Publisher ${n.name}` : n.kind === 'standby' ? `Standby publisher ${n.name}` : `Peer ${n.name}`];
    if (n.state !== 'ok') says.push(n.state);
    if (n.children) says.push(`${n.children} ${n.children === 1 ? 'child' : 'children'}`);
    const own = carries.get(n.id);
    if (own && n.kind === 'peer') says.push(`brings ${stripeList(own)} here`);
    n.says = says.join(', ');
  }
  return model;
}

// stripeList names stripes as people count them.
export function stripeList(stripes) {
  const names = stripes.map((i) => i + 1);
  if (names.length === 1) return `stripe ${names[0]}`;
  return `stripes ${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
}

// applied changes the model by an event: self now takes a stripe from peer.
export function applied(model, e) {
  const self = e.self || model.you;
  if (!e.peer || !model.nodes.some((n) => n.id === e.peer) || !model.nodes.some((n) => n.id === self)) return false;
  model.edges.set(`${e.stripe}:${self}`, { stripe: e.stripe, from: e.peer, to: self, fed: true });
  describe(model);
  return true;
}
