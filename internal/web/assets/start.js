// This file answers: how does somebody watch another stream, or publish a camera?
import { $, act, ask, el } from './api.js';
import { gathered } from './player.js';

const LINK = /^braidway:\/\/[a-z2-7]{52}\?\S*v=\d+\S*$/;

// wrong is what is wrong with a link; '': nothing.
export function wrong(link) {
  if (!link) return 'Paste the link that peer publish printed.';
  if (!link.startsWith('braidway://')) return 'A link begins with braidway://';
  if (!LINK.test(link)) return 'The link is broken or cut short: after braidway:// come 52 letters and digits, and ?v=1&…';
  return '';
}

// quoted is a link for a shell.
const quoted = (link) => `'${link.replaceAll("'", "'\\''")}'`;

// command is text to be copied.
function command(text) {
  const copy = el('button', { type: 'button', className: 'small', onclick: async () => {
    await navigator.clipboard.writeText(text);
    copy.textContent = 'Copied';
  } }, 'Copy');
  return el('div', { className: 'command' }, el('code', {}, text), copy);
}

// setUp returns when there is a stream to play: at once, but where the peer waits for its link.
export async function setUp(parts) {
  const dialog = $('start');
  const waiting = parts.has('open') && !!(await ask('/api/v1/open'))?.waiting;
  const plays = !waiting && ['live', 'hls', 'whep'].some((p) => parts.has(p));
  $('start-open').addEventListener('click', () => dialog.showModal());
  $('no-camera').hidden = parts.has('whip');
  if (parts.has('whip')) camera();
  const alone = (is) => { // there is nothing else to do here yet
    $('start-open').hidden = $('start-close').hidden = is;
    dialog.classList.toggle('here', is);
  };
  if (!plays) {
    alone(true);
    if ($('stage-title')) $('main').before(dialog);
    else $('main').prepend(dialog); // in the place of the stream
    dialog.show();
    if (waiting) $('cover').textContent = 'Waiting for a link.';
  }
  const opened = new Promise((open) => $('link-form').addEventListener('submit', async (e) => {
    e.preventDefault();
    const link = $('link').value.trim();
    const why = wrong(link) || (waiting && await act('/api/v1/open', link));
    $('link').setAttribute('aria-invalid', String(!!why));
    if (why) {
      $('link-answer').replaceChildren(el('p', { className: 'say poor' }, why));
    } else if (waiting) {
      dialog.close();
      alone(false);
      open();
    } else { // whoever watches a stream relays it: that takes a peer of its own
      $('link-answer').replaceChildren(el('p', { className: 'say' }, 'Whoever watches a stream passes it on, so it takes a peer of its own. Run this, and open ', el('a', { href: 'http://127.0.0.1:8090/' }, 'its page'), ':'),
        command(`peer play ${quoted(link)} --http 127.0.0.1:8090`));
    }
  }));
  if (waiting) await opened;
}

// camera publishes over WHIP.
function camera() {
  const go = $('camera-go');
  const note = $('camera-note');
  let end = null;
  go.addEventListener('click', async () => {
    if (end) return end('Stopped.');
    go.disabled = true;
    $('camera-link').hidden = true;
    try {
      end = await publish((text) => { note.textContent = text; }, (why) => {
        end = null;
        go.textContent = 'Start the camera';
        note.textContent = why;
      });
      go.textContent = 'Stop';
    } catch (e) {
      note.textContent = e.name === 'NotAllowedError' ? 'The browser may not use the camera: allow it for this page.' : e.name === 'NotFoundError' ? 'There is no camera here.' : e.message;
    }
    go.disabled = false;
  });
}

// publish sends camera and microphone; it returns what ends that.
async function publish(say, over) {
  if (!navigator.mediaDevices) throw new Error('Browsers give the camera to https pages and to localhost only: open this page there.');
  const media = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } }, audio: true });
  const preview = $('preview');
  preview.srcObject = media;
  preview.hidden = false;
  preview.play();
  const pc = new RTCPeerConnection({ iceServers: [] });
  const token = $('camera-token').value.trim();
  const secret = token ? { Authorization: `Bearer ${token}` } : {};
  let session = null;
  const end = (why) => {
    media.getTracks().forEach((t) => t.stop());
    pc.close();
    preview.hidden = true;
    if (session) fetch(session, { method: 'DELETE', headers: secret, keepalive: true }).catch(() => {});
    over(why);
  };
  try {
    for (const track of media.getTracks()) {
      const t = pc.addTransceiver(track, { direction: 'sendonly', streams: [media] });
      if (track.kind === 'video') { // the stream carries H.264, which every player reads
        const all = RTCRtpReceiver.getCapabilities('video').codecs;
        t.setCodecPreferences([...all.filter((c) => c.mimeType === 'video/H264'), ...all.filter((c) => c.mimeType !== 'video/H264')]);
      }
    }
    await pc.setLocalDescription();
    await gathered(pc);
    const res = await fetch('/whip', { method: 'POST', headers: { 'Content-Type': 'application/sdp', ...secret }, body: pc.localDescription.sdp });
    const body = await res.text();
    if (res.status === 401) $('camera-secret').hidden = false;
    if (!res.ok) throw new Error(res.status === 401 && !secret.Authorization ? 'Give the token, and start again.' : body.trim());
    session = res.headers.get('Location');
    await pc.setRemoteDescription({ type: 'answer', sdp: body });
    const link = res.headers.get('Braidway-Link');
    if (link) {
      $('camera-link').replaceChildren(el('p', { className: 'say' }, 'Who has this link can watch:'), command(link));
      $('camera-link').hidden = false;
    }
  } catch (e) {
    end(e.message);
    throw e;
  }
  pc.onconnectionstatechange = () => {
    if (pc.connectionState === 'connected') say('On the air.');
    if (pc.connectionState === 'failed') end('The connection to the peer failed.');
  };
  say('Connecting…');
  return end;
}
