package node

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestEveryRequestHasAnIDInItsAnswerAndInTheLog(t *testing.T) {
	var log bytes.Buffer
	h := LogRequests(slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := w.(http.Flusher); !ok {
			t.Error("events cannot be sent: the answer cannot be flushed")
		}
		if r.URL.Path == "/broken" {
			w.WriteHeader(http.StatusInternalServerError)
		}
		_, _ = w.Write([]byte("hello"))
	}))
	for name, c := range map[string]struct {
		method, path, brings string
		keeps                bool
		level                string
		status               float64
	}{
		"a question":             {"GET", "/metrics", "", false, "DEBUG", 200},
		"with an id of a proxy":  {"GET", "/metrics", "4f1c-22:a_b.Z", true, "DEBUG", 200},
		"with an id of two rows": {"GET", "/metrics", "a\tb", false, "DEBUG", 200},
		"with an endless id":     {"GET", "/metrics", strings.Repeat("x", 65), false, "DEBUG", 200},
		"a change":               {"POST", "/api/v1/drain", "", false, "INFO", 200},
		"a failure":              {"GET", "/broken", "", false, "WARN", 500},
	} {
		t.Run(name, func(t *testing.T) {
			log.Reset()
			req := httptest.NewRequest(c.method, c.path, nil)
			if c.brings != "" {
				req.Header.Set(requestHeader, c.brings)
			}
			res := httptest.NewRecorder()
			h.ServeHTTP(res, req)
			id := res.Header().Get(requestHeader)
			if (id == c.brings) != c.keeps || !sensibleID(id) {
				t.Errorf("id %q, brought %q", id, c.brings)
			}
			var rec map[string]any
			if err := json.Unmarshal(log.Bytes(), &rec); err != nil {
				t.Fatalf("%v in %s", err, log.Bytes())
			}
			if rec["request"] != id || rec["level"] != c.level || rec["status"] != c.status || rec["path"] != c.path || rec["method"] != c.method || rec["bytes"] != 5.0 {
				t.Errorf("log %s", log.Bytes())
			}
		})
	}
}
