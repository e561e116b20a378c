package main

import (
	"context"
	"net/http"
	"os/exec"
	"regexp"
	"testing"
	"time"

	"github.com/braidway/braidway/internal/testnet"
)

func TestMetricsAloneAreServedOnAnAddressOfTheirOwnUntilThePeerHasLeft(t *testing.T) {
	file := binary.File(t)
	pub := start(t, "publisher", "publish", "test:", "--metrics", "127.0.0.1:0")
	pub.Line(t)
	testnet.WaitFor(t, "the publisher is ready", 10*time.Second, func() bool { return pub.Readiness() == 200 })
	m := regexp.MustCompile(`msg=metrics addr=(http://\S+)`).FindStringSubmatch(pub.Log())
	if m == nil {
		t.Fatalf("no address of metrics in the log: %s", pub.Log())
	}
	ask := func(method, path string) int {
		req, err := http.NewRequestWithContext(context.Background(), method, m[1]+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0
		}
		_ = res.Body.Close()
		return res.StatusCode
	}
	for path, want := range map[string]int{"/metrics": 200, "/healthz": 200, "/readyz": 200, "/api/v1/state": 404, "/api/v1/events": 404, "/debug/pprof/": 404} {
		if got := ask(http.MethodGet, path); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
	if got := ask(http.MethodPost, "/api/v1/drain"); got != 404 {
		t.Errorf("whoever reads the metrics may drain the peer: %d", got)
	}
	began := time.Now()
	if said, err := exec.Command(file, "drain", "--no-wait", "--admin", pub.Admin()).CombinedOutput(); err != nil || string(said) != "draining\n" {
		t.Errorf("drain after %v: %v: %s", time.Since(began), err, said)
	}
	if err := pub.WaitEnd(t, 10*time.Second); err != nil {
		t.Errorf("the drained publisher: %v", err)
	}
	testnet.WaitFor(t, "the metrics are gone", 5*time.Second, func() bool { return ask(http.MethodGet, "/metrics") == 0 })
}
