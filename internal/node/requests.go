package node

// This file answers: which HTTP request was that? Each has an id, in its answer
// and in the log.

import (
	"crypto/rand"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// requestHeader carries a request's id, here and behind proxies that set it.
const requestHeader = "X-Request-Id"

// maxRequestID bounds an id that a client brings.
const maxRequestID = 64

// LogRequests gives every request an id, its own if it brings a sensible one, puts
// that into the answer's X-Request-Id, and logs the request when it is over: at
// debug level, what changes something at info, what failed here (5xx but 503) as a
// warning.
func LogRequests(log *slog.Logger, next http.Handler) http.Handler {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get(requestHeader)
		if !sensibleID(id) {
			id = rand.Text()[:12]
		}
		w.Header().Set(requestHeader, id)
		began, a := time.Now(), &answer{ResponseWriter: w}
		defer func() {
			level := slog.LevelDebug
			switch {
			case a.status >= 500 && a.status != http.StatusServiceUnavailable:
				level = slog.LevelWarn
			case r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodOptions:
				level = slog.LevelInfo
			}
			log.Log(r.Context(), level, "http request", "request", id, "method", r.Method, "path", shortened(r.URL.Path), "from", r.RemoteAddr,
				"status", max(a.status, http.StatusOK), "bytes", a.bytes, "took", time.Since(began))
		}()
		next.ServeHTTP(a, r)
	})
}

// sensibleID reports whether a client's id may stand in a log.
func sensibleID(id string) bool {
	return id != "" && len(id) <= maxRequestID && !strings.ContainsFunc(id, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-_.:", c)
	})
}

func shortened(path string) string {
	if len(path) > 256 {
		return path[:256] + "…"
	}
	return path
}

// answer notes what was answered.
type answer struct {
	http.ResponseWriter
	status int
	bytes  int64
}

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (a *answer) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	n, err := a.ResponseWriter.Write(b)
	a.bytes += int64(n)
	return n, err
}

// Flush implements http.Flusher.
func (a *answer) Flush() { _ = http.NewResponseController(a.ResponseWriter).Flush() }

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
