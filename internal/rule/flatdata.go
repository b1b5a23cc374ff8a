package rule

import (
	"bytes"

	"signalbox/internal/schema/scan"
)

// Most events carry a few plain values, and most rules ask for one or two of
// them. Where the data is such a flat object its values are found where they
// lie and decoded when they are asked for; all other data is decoded whole. Both
// ways give the same answers.

// flatMember is one value of a flat object.
type flatMember struct {
	name, raw []byte
	value     any
	known     bool // value is decoded
}

// maxFlatNumber bounds the digits of a number that is surely in range.
const maxFlatNumber = 300

// flatten finds the values of flat data. It gives nothing where the data is not
// flat, or not plainly right.
func flatten(into []flatMember, data []byte) (out []flatMember, flat bool) {
	into = into[:0]
	if len(data) == 0 || scan.Check(data, 2) != nil {
		return into, false
	}
	if data = scan.Trim(data); data[0] != '{' {
		return into, false
	}
	for name, raw := range scan.Members(data) {
		raw = scan.Trim(raw)
		if bytes.IndexByte(name, '\\') >= 0 || len(raw) == 0 {
			return into, false
		}
		switch c := raw[0]; {
		case c == '{', c == '[':
			return into, false
		case c == '-', c >= '0' && c <= '9':
			if len(raw) > maxFlatNumber || bytes.ContainsAny(raw, "eE") {
				return into, false
			}
		}
		into = append(into, flatMember{name: name, raw: raw})
	}
	return into, true
}

// flatField finds a value. Of two of one name the last counts.
func (v *eventView) flatField(name string) any {
	for i := len(v.flat) - 1; i >= 0; i-- {
		m := &v.flat[i]
		if string(m.name) != name {
			continue
		}
		if !m.known {
			m.value, m.known = flatValue(m.raw), true
		}
		return m.value
	}
	return nil
}

func flatValue(raw []byte) any {
	switch raw[0] {
	case '"':
		s, _ := scan.String(raw)
		return s
	case 't':
		return true
	case 'f':
		return false
	case 'n':
		return nil
	}
	v, err := number(string(raw))
	if err != nil {
		return nil // it is short and has no exponent, so it is in range
	}
	return v
}

// field is one value of the event's data, nil where it is absent. The error is
// for data that cannot be read.
func (v *eventView) field(name string) (any, error) {
	if v.single {
		if !v.scanned {
			v.flat, v.isFlat = flatten(v.flat, v.ev.Data)
			v.scanned = true
		}
		if v.isFlat {
			return v.flatField(name), nil
		}
	}
	m, err := v.data()
	return m[name], err
}
