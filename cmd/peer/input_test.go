package main

// Encoders that push into a publisher, and a player three hops later.

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/braidway/braidway/internal/node"
	"github.com/braidway/braidway/internal/testnet"
	"github.com/braidway/braidway/internal/testnet/need"
	"github.com/braidway/braidway/stream"
)

// encoder pushes pictures whose brightness counts from 0 to 99 and again, with a
// beep at every 25th; frames: so many, 0: until it is killed.
func encoder(t *testing.T, frames int, out ...string) *exec.Cmd {
	t.Helper()
	args := []string{"-v", "error", "-re", "-f", "lavfi", "-i", "color=c=black:s=64x64:r=25,geq=lum='16+2*mod(N,100)':cb=128:cr=128",
		"-f", "lavfi", "-i", "aevalsrc='if(lt(mod(t,1),0.04),sin(2*PI*1000*t),0)':s=48000"}
	if frames > 0 {
		args = append(args, "-frames:v", strconv.Itoa(frames), "-t", fmt.Sprintf("%.2f", float64(frames)/25))
	}
	args = append(args, "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-qp", "4", "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "96k")
	cmd := exec.Command("ffmpeg", append(args, out...)...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd
}

// inputOf returns how a publisher's input stands.
func inputOf(p *testnet.Process) node.InputState {
	st, ok := p.Stream()
	if !ok || st.Input == nil {
		return node.InputState{}
	}
	return *st.Input
}

// freeUDP returns an address of loopback that nobody has just now.
func freeUDP(t *testing.T) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	return c.LocalAddr().String()
}

func TestAnEncoderIsKilledAndComesBackAndTheSamePlayerGoesOn(t *testing.T) {
	need.Program(t, "ffmpeg")
	for name, c := range map[string]struct {
		input, push string
		format      string
		torn        int // pictures of the killed run that may be damaged
		tail        int // pictures that a goodbye may cost: SRT drops what its latency holds back
	}{
		"RTMP": {input: "rtmp://%s/live/secret", push: "rtmp://%s/live/secret", format: "flv"},
		"SRT":  {input: "srt://%s", push: "srt://%s?pkt_size=1316", format: "mpegts", torn: 1, tail: 8},
		"UDP":  {input: "udp://%s", push: "udp://%s?pkt_size=1316", format: "mpegts", torn: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := freeUDP(t)
			push := []string{"-f", c.format, fmt.Sprintf(c.push, addr)}
			pub := start(t, name+" publisher", "publish", fmt.Sprintf(c.input, addr), "--max-children", "1")
			link := pub.Line(t)
			first := encoder(t, 0, push...)
			testnet.WaitFor(t, "the input is live", 20*time.Second, func() bool { return inputOf(pub).State == node.InputLive })
			for _, n := range []string{" relay one", " relay two"} {
				r := start(t, name+n, "relay", link, "--max-children", "1")
				testnet.WaitFor(t, r.Name+" is ready", 20*time.Second, func() bool { return r.Readiness() == 200 })
			}
			dir := t.TempDir()
			pipe, seen := filepath.Join(dir, "pipe"), filepath.Join(dir, "seen.ts")
			if err := syscall.Mkfifo(pipe, 0o600); err != nil {
				t.Fatal(err)
			}
			viewer := start(t, name+" viewer", "play", link, "-o", pipe, "--no-relay")
			var said bytes.Buffer
			player := exec.Command("ffmpeg", "-v", "warning", "-nostdin", "-i", pipe, "-map", "0:v", "-map", "0:a", "-f", "null", "-", "-map", "0:v", "-map", "0:a", "-c", "copy", seen)
			player.Stderr = &said
			if err := player.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = player.Process.Kill() })
			testnet.WaitFor(t, "the viewer is three hops away", 20*time.Second, func() bool {
				st, ok := viewer.Stream()
				for _, s := range st.Stripes {
					ok = ok && len(s.Path) >= 4
				}
				return ok && len(st.Stripes) == 4
			})
			before := inputOf(pub).Groups
			testnet.WaitFor(t, "two groups more", 20*time.Second, func() bool { return inputOf(pub).Groups >= before+2 })
			_ = first.Process.Kill()
			_ = first.Wait()
			testnet.WaitFor(t, "the input pauses", 20*time.Second, func() bool { return inputOf(pub).State == node.InputPaused })
			if viewer.Readiness() != 200 {
				t.Error("the viewer is not ready while nobody encodes")
			}
			out, err := exec.Command(binary.File(t), "status", "--admin", pub.Admin()).Output()
			if err != nil || !strings.Contains(string(out), "nobody encodes since") {
				t.Errorf("peer status: %v: %s", err, out)
			}
			second := encoder(t, 100, push...)
			if err := second.Wait(); err != nil {
				t.Errorf("the second run: %v", err)
			}
			testnet.WaitFor(t, "the input pauses again, and its end is long out", 20*time.Second, func() bool {
				in := inputOf(pub)
				return in.State == node.InputPaused && time.Since(in.Since) > 20*stream.FlushInterval
			})
			var edge uint64
			if st, ok := pub.Stream(); ok {
				edge = st.Position
			}
			testnet.WaitFor(t, "the viewer has it all", 20*time.Second, func() bool { st, ok := viewer.Stream(); return ok && st.Position >= edge })
			if in := inputOf(pub); in.Runs != 2 || in.Notices["down"] != 2 {
				t.Errorf("%+v", in)
			}
			checkMetrics(t, pub)
			viewer.Signal(syscall.SIGTERM)
			if err := player.Wait(); err != nil {
				t.Errorf("the player: %v", err)
			}
			if lines := strings.Count(said.String(), "\n"); c.torn == 0 && lines > 0 || lines > 4*c.torn {
				t.Errorf("the player says: %s", said.String())
			}
			checkPictures(t, seen, c.torn, c.tail)
		})
	}
}

func checkMetrics(t *testing.T, pub *testnet.Process) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	res, err := pub.Get(ctx, "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, _ := io.ReadAll(res.Body)
	for _, want := range []string{`braidway_input_state\{state="paused",stream="\w+"\} 1`, `braidway_input_runs_total\{stream="\w+"\} 2`, `braidway_input_notices_total\{kind="down",stream="\w+"\} 2`,
		`braidway_input_groups_total\{stream="\w+"\} [1-9]`, `braidway_events_total\{event="input"\} [1-9]`} {
		if !regexp.MustCompile(want).Match(b) {
			t.Errorf("no metric like %s", want)
		}
	}
}

// filtered runs ffmpeg's filters over a file and returns times, s, and values. With
// -copyts, or each kind would begin at its own first packet.
func filtered(t *testing.T, file, kind, filter, key string) (at, value []float64) {
	t.Helper()
	out, err := exec.Command("ffmpeg", "-v", "error", "-copyts", "-i", file, "-map", "0:"+kind, "-vsync", "passthrough", "-filter:"+kind, filter+":key="+key+":file=-", "-f", "null", "-").Output()
	if err != nil {
		t.Fatalf("ffmpeg: %v", err)
	}
	for _, line := range strings.Split(string(out), "\n") {
		if _, s, ok := strings.Cut(line, "pts_time:"); ok {
			v, _ := strconv.ParseFloat(strings.Fields(s)[0], 64)
			at = append(at, v)
		} else if _, s, ok := strings.Cut(line, "="); ok {
			v, err := strconv.ParseFloat(s, 64)
			if err != nil {
				v = math.Inf(-1) // silence
			}
			value = append(value, v)
		}
	}
	if len(at) == 0 || len(at) != len(value) {
		t.Fatalf("%d times and %d values", len(at), len(value))
	}
	return at, value
}

// checkPictures reads the number of each picture, which is its brightness: none is
// missing in either run, and each beep is with its picture.
func checkPictures(t *testing.T, file string, torn, tail int) {
	t.Helper()
	at, lum := filtered(t, file, "v", "signalstats,metadata=print", "lavfi.signalstats.YAVG")
	splices, bad := 0, 0
	var marks []float64 // when pictures with a beep are shown
	last := -1
	for i := range lum {
		n := int(math.Round((lum[i] - 16) / 2))
		step := 0.0
		if i > 0 {
			step = at[i] - at[i-1]
		}
		switch {
		case i == 0 || n == (last+1)%100:
			if i > 0 && (step < 0.035 || step > 0.045) {
				t.Errorf("picture %d is shown %.3f s after the one before", i, step)
			}
		case n == 0: // the second run
			splices++
			if step <= 0 || step > 0.2 {
				t.Errorf("the second run begins %.3f s after the first", step)
			}
		default:
			bad++
			t.Logf("picture %d has number %d after %d", i, n, last)
		}
		if n%25 == 0 {
			marks = append(marks, at[i])
		}
		last = n
	}
	if splices > 1 || bad > torn || last < 99-tail || len(lum) < 100+25 {
		t.Errorf("%d pictures, %d runs begin, %d numbers are wrong, the last one is %d", len(lum), splices, bad, last)
	}
	when, level := filtered(t, file, "a", "asetnsamples=240,astats=metadata=1:reset=1:measure_perchannel=none,ametadata=print", "lavfi.astats.Overall.RMS_level")
	beeps, matched := 0, 0
	loud := false
	worst := 0.0
	for i := range level {
		if now := level[i] > -30; now && !loud {
			beeps++
			best := math.Inf(1)
			for _, m := range marks {
				best = min(best, math.Abs(m-when[i]))
			}
			if worst = max(worst, best); best < 0.06 {
				matched++
			} else {
				t.Logf("the beep at %.3f s is %.0f ms from its picture", when[i], 1000*best)
			}
			loud = true
		} else if !now {
			loud = false
		}
	}
	if beeps < 5 || beeps-matched > torn {
		t.Errorf("%d beeps, %d of them with their pictures", beeps, matched)
	}
	t.Logf("%d pictures, %d beeps, at most %.0f ms from their pictures", len(lum), beeps, 1000*worst)
}

// A publisher that is killed leaves no ffmpeg behind.
func TestFFmpegEndsWithItsPublisher(t *testing.T) {
	need.Program(t, "ffmpeg")
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("SKIPPED: this needs Linux")
	}
	pub := exec.Command(binary.File(t), append([]string{"publish", "srt://" + freeUDP(t)}, common...)...)
	if err := pub.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pub.Process.Kill() })
	var child int
	testnet.WaitFor(t, "ffmpeg runs", 20*time.Second, func() bool { child = childOf(pub.Process.Pid, "ffmpeg"); return child != 0 })
	_ = pub.Process.Kill()
	_ = pub.Wait()
	testnet.WaitFor(t, "ffmpeg has ended", 5*time.Second, func() bool {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child))
		return err != nil || strings.Contains(string(b), ") Z ")
	})
}

// childOf returns the process id of a child of this name; 0: there is none.
func childOf(parent int, name string) int {
	all, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range all {
		b, _ := os.ReadFile(file)
		var pid, ppid int
		var state string
		if _, rest, ok := strings.Cut(string(b), "("+name+") "); ok {
			_, _ = fmt.Sscan(string(b), &pid)
			if _, err := fmt.Sscan(rest, &state, &ppid); err == nil && ppid == parent {
				return pid
			}
		}
	}
	return 0
}
