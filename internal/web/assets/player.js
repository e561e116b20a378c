// This file answers: how does the stream get onto the screen, and what when one
// way fails?

// Ways to play, the first that works in auto. HLS comes first since it has a
// buffer; WebRTC is nearer to live.
const WAYS = ['hls', 'whep'];
const NAMES = { hls: 'LL-HLS', whep: 'WebRTC' };

const FIRST_PICTURE = 12000; // ms that a way gets for its first picture
const QUIET = 6000; // ms without a new picture after which a way has failed
const FAR = 6; // s behind live from which on playing jumps ahead
const REST = 1500; // ms before the next try
const LISTED = 60; // ms: shorter times between pictures are not remembered

// Player plays in video by what parts has. say(text) covers the picture, '' when
// there is one; changed() is called when the way changes.
export class Player {
  constructor(video, parts, say, changed) {
    Object.assign(this, { video, say, changed, parts: WAYS.filter((w) => parts.has(w)) });
    this.want = 'auto';
    this.way = '';
    this.run = 0; // of the try that counts
    this.gaps = []; // [end, length], ms of performance.now
    this.longest = 0;
    this.watchPictures();
    setInterval(() => this.check(), 500);
    document.addEventListener('visibilitychange', () => { this.last = 0; });
  }

  // choose plays by want: auto, hls or whep.
  choose(want) {
    this.want = want;
    this.begin(want === 'auto' ? this.parts[0] : want);
  }

  async begin(way) {
    this.stop();
    const run = ++this.run;
    this.way = way;
    this.began = performance.now();
    this.seen = 0;
    this.last = 0;
    this.settled = 0;
    this.changed();
    this.say('Looking for the stream…');
    try {
      if (way === 'hls') await this.playHLS(run);
      else if (way === 'whep') await this.playWHEP(run);
    } catch (e) {
      this.failed(run, e.message);
    }
  }

  stop() {
    this.run++;
    this.hls?.destroy();
    const pc = this.pc;
    if (this.session) fetch(this.session, { method: 'DELETE', keepalive: true }).catch(() => {}).finally(() => pc?.close());
    else pc?.close();
    this.hls = this.pc = this.session = null;
    this.video.srcObject = null;
    this.video.removeAttribute('src');
  }

  // failed goes on with the next way in auto, with the same one otherwise.
  failed(run, why) {
    if (run !== this.run) return;
    this.run++; // nothing more of this try counts
    this.why = why;
    this.say(`${NAMES[this.way]}: ${why}. Trying again…`);
    const next = this.want === 'auto' ? this.parts[(this.parts.indexOf(this.way) + 1) % this.parts.length] : this.way;
    const now = this.run;
    setTimeout(() => { if (now === this.run) this.begin(next); }, REST);
  }

  async playHLS(run) {
    const url = '/hls/multi.m3u8';
    // Before there is a whole group, the peer says so: ask until there is.
    for (;;) {
      const res = await fetch(url);
      if (run !== this.run) return;
      if (res.ok) break;
      const why = (await res.text()).trim();
      if (res.status !== 503) throw new Error(why);
      this.say(`Waiting: ${why}`);
      this.began = performance.now();
      await new Promise((done) => setTimeout(done, 1000 * (Number(res.headers.get('Retry-After')) || 1)));
      if (run !== this.run) return;
    }
    const { default: Hls } = await import('/assets/vendor/hls.light.min.mjs');
    if (run !== this.run) return;
    if (!Hls.isSupported()) { // Safari on older phones plays HLS by itself
      if (!this.video.canPlayType('application/vnd.apple.mpegurl')) throw new Error('this browser does not play HLS');
      this.video.src = url;
      this.play();
      return;
    }
    const hls = this.hls = new Hls({ lowLatencyMode: true, enableWorker: false, maxLiveSyncPlaybackRate: 1.08, backBufferLength: 20 });
    let mended = 0;
    hls.on(Hls.Events.ERROR, (_, data) => {
      if (!data.fatal || run !== this.run) return;
      if (data.type === Hls.ErrorTypes.MEDIA_ERROR && mended++ < 2) hls.recoverMediaError();
      else this.failed(run, data.response?.code ? `the peer answered ${data.response.code}` : data.details);
    });
    hls.on(Hls.Events.MANIFEST_PARSED, () => this.play());
    hls.loadSource(url);
    hls.attachMedia(this.video);
  }

  async playWHEP(run) {
    const pc = this.pc = new RTCPeerConnection({ iceServers: [] }); // nobody else is asked
    const stream = new MediaStream();
    pc.addTransceiver('video', { direction: 'recvonly' });
    pc.addTransceiver('audio', { direction: 'recvonly' });
    pc.ontrack = (e) => stream.addTrack(e.track);
    pc.onconnectionstatechange = () => {
      if (pc.connectionState === 'failed') this.failed(run, 'the connection failed');
    };
    await pc.setLocalDescription();
    await gathered(pc);
    if (run !== this.run) return;
    const res = await fetch('/whep', { method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: pc.localDescription.sdp });
    const body = await res.text();
    if (run !== this.run) return;
    if (!res.ok) throw new Error(body.trim());
    this.session = res.headers.get('Location');
    this.sound = res.headers.get('Braidway-Audio') ?? '';
    await pc.setRemoteDescription({ type: 'answer', sdp: body });
    if (run !== this.run) return;
    this.video.srcObject = stream;
    this.play();
  }

  play() {
    this.video.play().catch(() => { if (this.video.paused) this.say('Press play to begin.'); });
  }

  // watchPictures measures the time between pictures on the screen.
  watchPictures() {
    const step = (_, picture) => {
      this.pictured(picture.presentationTime, picture.presentedFrames);
      this.video.requestVideoFrameCallback(step);
    };
    if (this.video.requestVideoFrameCallback) this.video.requestVideoFrameCallback(step);
    else this.video.addEventListener('timeupdate', () => this.pictured(performance.now(), 0));
  }

  // pictured: a picture was shown at a time of performance.now, the count-th;
  // this script may have missed others between.
  pictured(at, count) {
    if (!this.seen) {
      this.seen = at;
      this.say('');
      this.changed();
    }
    // The first second of a way is starting, and a picture that nobody looks at is not drawn.
    if (this.last && at - this.seen > 1000 && !this.video.seeking && !document.hidden) {
      const gap = (at - this.last) / Math.max(1, count - this.count);
      if (gap > LISTED) this.gaps.push([at, gap]);
      if (this.gaps.length > 2000) this.gaps.splice(0, 1000);
      this.longest = Math.max(this.longest, gap);
      this.settled ||= at;
    }
    this.last = document.hidden || this.video.paused ? 0 : at;
    this.count = count;
  }

  // stopBetween is the longest time without a new picture between two times of
  // performance.now; null: not watched.
  stopBetween(from, to) {
    if (!this.settled || this.settled > from) return null;
    let most = 0;
    for (const [end, length] of this.gaps) if (end >= from && end - length <= to) most = Math.max(most, length);
    return most;
  }

  check() {
    if (!this.way || document.hidden || this.video.paused && this.seen) return;
    const now = performance.now();
    // Whoever slept, or was paused, comes back to what is live now.
    if (this.hls && this.hls.latency > FAR && this.hls.liveSyncPosition && !this.video.paused) this.video.currentTime = this.hls.liveSyncPosition;
    if (this.video.ended) this.say('The stream has ended.');
    else if (!this.seen && now - this.began > FIRST_PICTURE) this.failed(this.run, this.why || 'no picture came');
    else if (this.seen && this.last && now - this.last > QUIET) this.failed(this.run, `no picture for ${QUIET / 1000} s`);
  }

  // behind is how old the picture is, ms; age is how old objects are when they
  // come to the peer. null: not known.
  async behind(age) {
    if (this.way === 'hls' && this.hls?.playingDate) return Date.now() - this.hls.playingDate;
    if (this.way === 'whep' && this.pc) {
      const held = await this.held();
      return held === null || age === null ? null : age + held;
    }
    return null;
  }

  // buffer is how much is there to play, ms; null: not known.
  async buffer() {
    if (this.way === 'whep') return this.held();
    const b = this.video.buffered;
    for (let i = 0; i < b.length; i++) {
      if (b.start(i) <= this.video.currentTime && this.video.currentTime <= b.end(i)) return (b.end(i) - this.video.currentTime) * 1000;
    }
    return b.length ? 0 : null;
  }

  // held is how long WebRTC's jitter buffer kept pictures in the last second.
  async held() {
    if (!this.pc) return null;
    for (const s of (await this.pc.getStats()).values()) {
      if (s.type !== 'inbound-rtp' || s.kind !== 'video' || !s.jitterBufferEmittedCount) continue;
      const was = this.jitter;
      this.jitter = { delay: s.jitterBufferDelay, count: s.jitterBufferEmittedCount };
      if (was && this.jitter.count > was.count) this.kept = 1000 * (this.jitter.delay - was.delay) / (this.jitter.count - was.count);
      return this.kept ?? null;
    }
    return null;
  }

  // describe says how it plays.
  describe() {
    if (!this.way) return '';
    const name = NAMES[this.way];
    if (!this.seen) return `${name}, not yet.`;
    if (this.way === 'whep' && this.sound.startsWith('not sent')) return `${name}, without sound (${this.sound.slice(10)}).`;
    return this.want === 'auto' && this.parts.length > 1 ? `${name}, chosen by itself.` : `${name}.`;
  }
}

// gathered waits until the addresses of this browser are known, at most a second.
export function gathered(pc) {
  return new Promise((done) => {
    if (pc.iceGatheringState === 'complete') return done();
    pc.addEventListener('icegatheringstatechange', () => pc.iceGatheringState === 'complete' && done());
    setTimeout(done, 1000);
  });
}
