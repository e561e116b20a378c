package rtc

// This file answers: what does a client that gets no session hear?

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// refusal is an HTTP answer other than success; it is an error.
type refusal struct {
	status int
	retry  time.Duration // Retry-After; 0: none
	text   string
}

// Error implements error.
func (r *refusal) Error() string { return r.text }

func refuse(status int, format string, args ...any) *refusal {
	return &refusal{status: status, text: fmt.Sprintf(format, args...)}
}

// later is a refusal that says when to come again.
func later(status int, format string, args ...any) *refusal {
	r := refuse(status, format, args...)
	r.retry = time.Second
	return r
}

func (r *refusal) write(w http.ResponseWriter) {
	if r.retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((r.retry+time.Second-1)/time.Second)))
	}
	http.Error(w, r.text, r.status)
}
