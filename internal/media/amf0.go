package media

// This file answers: what do RTMP's commands say (AMF 0)? Only the types that
// encoders send; nesting and lengths are bounded.

import (
	"encoding/binary"
	"errors"
	"math"
)

var errAMF = errors.New("rtmp: a command is malformed")

const (
	// maxAMFDepth of objects in objects, maxAMFItems of values in a command.
	maxAMFDepth = 4
	maxAMFItems = 256
)

// amfReader reads values one by one.
type amfReader struct {
	b     []byte
	items int
}

func (r *amfReader) take(n int) ([]byte, error) {
	if n > len(r.b) {
		return nil, errAMF
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b, nil
}

// value reads one value: float64, bool, string, map[string]any, []any, or nil.
func (r *amfReader) value(depth int) (any, error) {
	if r.items++; depth > maxAMFDepth || r.items > maxAMFItems {
		return nil, errAMF
	}
	t, err := r.take(1)
	if err != nil {
		return nil, err
	}
	switch t[0] {
	case 0: // number
		b, err := r.take(8)
		if err != nil {
			return nil, err
		}
		return math.Float64frombits(binary.BigEndian.Uint64(b)), nil
	case 1: // boolean
		b, err := r.take(1)
		if err != nil {
			return nil, err
		}
		return b[0] != 0, nil
	case 2: // string
		return r.text(2)
	case 12: // long string
		return r.text(4)
	case 5, 6: // null, undefined
		return nil, nil
	case 8: // ECMA array: a count that is only a hint, then as an object
		if _, err := r.take(4); err != nil {
			return nil, err
		}
		return r.object(depth)
	case 3:
		return r.object(depth)
	case 10: // strict array
		b, err := r.take(4)
		if err != nil {
			return nil, err
		}
		var all []any
		for n := binary.BigEndian.Uint32(b); n > 0; n-- {
			v, err := r.value(depth + 1)
			if err != nil {
				return nil, err
			}
			all = append(all, v)
		}
		return all, nil
	case 11: // date
		_, err := r.take(10)
		return nil, err
	}
	return nil, errAMF
}

func (r *amfReader) text(size int) (string, error) {
	b, err := r.take(size)
	if err != nil {
		return "", err
	}
	n := 0
	for _, x := range b {
		n = n<<8 | int(x)
	}
	b, err = r.take(n)
	return string(b), err
}

func (r *amfReader) object(depth int) (map[string]any, error) {
	o := make(map[string]any)
	for {
		name, err := r.text(2)
		if err != nil {
			return nil, err
		}
		if name == "" && len(r.b) > 0 && r.b[0] == 9 {
			r.b = r.b[1:]
			return o, nil
		}
		v, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		o[name] = v
	}
}

// parseAMF reads all values of a command or of metadata.
func parseAMF(b []byte) (all []any, err error) {
	r := amfReader{b: b}
	for len(r.b) > 0 {
		v, err := r.value(0)
		if err != nil {
			return all, err
		}
		all = append(all, v)
	}
	return all, nil
}

// amfPair is a property of an object; properties go out in order.
type amfPair struct {
	name  string
	value any
}

// appendAMF appends values: float64, string, nil, []amfPair.
func appendAMF(b []byte, values ...any) []byte {
	for _, v := range values {
		switch v := v.(type) {
		case nil:
			b = append(b, 5)
		case float64:
			b = binary.BigEndian.AppendUint64(append(b, 0), math.Float64bits(v))
		case string:
			b = appendAMFText(append(b, 2), v)
		case []amfPair:
			b = append(b, 3)
			for _, p := range v {
				b = appendAMF(appendAMFText(b, p.name), p.value)
			}
			b = append(b, 0, 0, 9)
		}
	}
	return b
}

func appendAMFText(b []byte, s string) []byte {
	s = s[:min(len(s), 1<<16-1)]
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}
