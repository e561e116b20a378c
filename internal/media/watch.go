package media

// This file answers: how does an input stand, and what is wrong with it? Sources
// and cutters note what they see in a Watch; the command shows it to the user.

import (
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// How an input stands.
const (
	InputWaiting = "waiting" // nothing has come yet
	InputLive    = "live"    // bytes come
	InputPaused  = "paused"  // nobody encodes: the stream stands still, viewers wait
)

// What an input tells of, as Notice.Kind: a closed set.
const (
	NoticeUp      = "up"      // an encoder is there
	NoticeDown    = "down"    // nobody encodes
	NoticeRefused = "refused" // a second encoder, a wrong key, a codec that cannot be carried
	NoticeResync  = "resync"  // the sync byte of MPEG-TS was not where it had to be
	NoticeLoss    = "loss"    // packets are missing
	NoticeJump    = "jump"    // timestamps jumped or ran backwards
	NoticeRate    = "rate"    // more bits than announced or allowed
	NoticeGroups  = "groups"  // keyframes are missing, or far apart
	NoticeCodec   = "codec"   // a codec that not every player knows, or another one than before
	NoticeRetry   = "retry"   // the program that reads the input is started again
)

// Notices are all kinds, for metrics.
var Notices = []string{NoticeUp, NoticeDown, NoticeRefused, NoticeResync, NoticeLoss, NoticeJump, NoticeRate, NoticeGroups, NoticeCodec, NoticeRetry}

// Notice is something about an input that the user should know.
type Notice struct {
	Kind string
	Text string
	Peer string // the encoder's address; "": not known
}

// Input is how an input stands. Totals are since the start.
type Input struct {
	State   string
	Peer    string            // the encoder's address
	Since   time.Time         // of State
	Bitrate float64           // bit/s, over the last seconds; 0 while nothing comes
	Bytes   uint64            // as they came
	Dropped uint64            // bytes over the highest bitrate, which went to nobody
	Groups  uint64            // groups begun
	Runs    uint64            // encoders that came
	Lost    uint64            // packets of MPEG-TS that are missing, by their counters
	Counts  map[string]uint64 // notices, by kind
	Warning string            // the last one; "": none since an encoder came
}

const (
	// InputIdle is how long nothing comes until nobody is taken to encode.
	InputIdle = 2 * time.Second
	// noticeEvery is the pace at which one kind of warning is told: a broken
	// input breaks a hundred times a second.
	noticeEvery = 5 * time.Second
	// rateWindow is what a bitrate is measured over.
	rateWindow = time.Second
)

// Watch keeps how an input stands. Its methods may be called from anywhere; a
// nil Watch keeps nothing.
type Watch struct {
	log  *slog.Logger
	tell func(Notice)

	mu      sync.Mutex
	in      Input
	last    time.Time            // when bytes came
	told    map[string]time.Time // warnings, by kind
	window  time.Time            // since when bits are counted
	bits    float64
	rate    rateGuard
	stopped bool
}

// NewWatch returns a watch that logs what changes and hands it to tell; both may
// be nil. announced is the bitrate that was announced, bit/s; 0: none.
func NewWatch(log *slog.Logger, announced uint64, tell func(Notice)) *Watch {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Watch{log: log, tell: tell, in: Input{State: InputWaiting, Since: time.Now(), Counts: make(map[string]uint64)},
		told: make(map[string]time.Time), rate: rateGuard{announced: float64(announced)}}
}

// Input returns how the input stands.
func (w *Watch) Input() Input {
	if w == nil {
		return Input{State: InputWaiting}
	}
	w.look(time.Now())
	w.mu.Lock()
	defer w.mu.Unlock()
	in := w.in
	in.Counts = make(map[string]uint64, len(w.in.Counts))
	for k, n := range w.in.Counts {
		in.Counts[k] = n
	}
	return in
}

// came notes n bytes of the input.
func (w *Watch) came(n int) {
	if w == nil || n == 0 {
		return
	}
	now := time.Now()
	w.mu.Lock()
	w.in.Bytes += uint64(n)
	w.last = now
	if w.window.IsZero() {
		w.window = now
	}
	w.bits += 8 * float64(n)
	over := w.measure(now)
	up := w.in.State != InputLive
	if up {
		w.in.State, w.in.Since, w.in.Warning = InputLive, now, ""
		w.in.Runs++
	}
	peer := w.in.Peer
	w.mu.Unlock()
	if up {
		w.note(slog.LevelInfo, NoticeUp, peer, "the input is live")
	}
	if over != "" {
		w.Warn(NoticeRate, "%s", over)
	}
}

// measure ends a window of the bitrate; w.mu is held.
func (w *Watch) measure(now time.Time) (over string) {
	d := now.Sub(w.window)
	if d < rateWindow {
		return ""
	}
	rate := w.bits / d.Seconds()
	if w.in.Bitrate == 0 {
		w.in.Bitrate = rate
	} else {
		w.in.Bitrate += (rate - w.in.Bitrate) / 2
	}
	w.window, w.bits = now, 0
	return w.rate.look(rate)
}

// look finds out that nothing comes any more.
func (w *Watch) look(now time.Time) {
	w.mu.Lock()
	down := w.in.State == InputLive && now.Sub(w.last) >= InputIdle && !w.stopped
	w.mu.Unlock()
	if down {
		w.down(fmt.Sprintf("nothing has come for %v", InputIdle))
	}
}

// run looks now and then, until done.
func (w *Watch) run(done <-chan struct{}) {
	if w == nil {
		return
	}
	t := time.NewTicker(InputIdle / 8)
	defer t.Stop()
	for {
		select {
		case now := <-t.C:
			w.look(now)
		case <-done:
			return
		}
	}
}

// up notes who encodes from now on; its bytes make the input live.
func (w *Watch) up(peer string) {
	if w == nil {
		return
	}
	w.mu.Lock()
	w.in.Peer = peer
	w.mu.Unlock()
}

// down notes that nobody encodes, and why.
func (w *Watch) down(why string) {
	if w == nil {
		return
	}
	w.mu.Lock()
	if w.in.State != InputLive {
		w.mu.Unlock()
		return
	}
	peer := w.in.Peer
	w.in.State, w.in.Since, w.in.Bitrate, w.in.Peer = InputPaused, time.Now(), 0, ""
	w.window, w.bits = time.Time{}, 0
	w.mu.Unlock()
	w.note(slog.LevelWarn, NoticeDown, peer, "nobody encodes: the stream pauses, viewers wait: "+why)
}

// end notes that the input is over: silence is no pause any more.
func (w *Watch) end() {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
}

// group notes that a group has begun, drop that n bytes went to nobody, loss that
// n packets are missing.
func (w *Watch) group() {
	if w != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.in.Groups++
	}
}

func (w *Watch) drop(n int) {
	if w != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.in.Dropped += uint64(n)
	}
}

func (w *Watch) loss(n int) {
	if w == nil {
		return
	}
	w.mu.Lock()
	w.in.Lost += uint64(n)
	all := w.in.Lost
	w.mu.Unlock()
	w.Warn(NoticeLoss, "packets of MPEG-TS are missing in the input, %d so far: the way from the encoder loses them; viewers see the damage", all)
}

// Warn counts a notice and tells it, of one kind not more often than every 5 s.
func (w *Watch) Warn(kind, format string, args ...any) {
	if w != nil {
		w.warn(kind, "", fmt.Sprintf(format, args...))
	}
}

func (w *Watch) warn(kind, peer, text string) {
	now := time.Now()
	w.mu.Lock()
	w.in.Warning = text
	if last, ok := w.told[kind]; ok && now.Sub(last) < noticeEvery {
		w.in.Counts[kind]++
		w.mu.Unlock()
		return
	}
	w.told[kind] = now
	w.mu.Unlock()
	w.note(slog.LevelWarn, kind, peer, text)
}

// refuse tells that an encoder was turned away.
func (w *Watch) refuse(peer, text string) {
	if w != nil {
		w.warn(NoticeRefused, peer, text)
	}
}

func (w *Watch) note(level slog.Level, kind, peer, text string) {
	w.mu.Lock()
	w.in.Counts[kind]++
	w.mu.Unlock()
	args := []any{"notice", kind}
	if peer != "" {
		args = append(args, "encoder", peer)
	}
	w.log.Log(nil, level, "input: "+text, args...) //nolint:staticcheck // there is no context here
	if w.tell != nil {
		w.tell(Notice{Kind: kind, Text: text, Peer: peer})
	}
}
