package media

// This file answers: how is MPEG-TS from any reader sent at the pace of its clock?

import (
	"bufio"
	"io"
)

// NewPaced returns a source that paces the MPEG-TS that r gives by its PCRs, as
// a file. Close does nothing: r stays the caller's.
func NewPaced(r io.Reader) Source {
	return &fileSource{f: io.NopCloser(nil), r: bufio.NewReaderSize(r, 256<<10)}
}
