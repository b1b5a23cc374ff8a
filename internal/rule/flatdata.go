package rule

import (
	"bytes"
	"strconv"
	"unsafe"

	"signalbox/internal/schema/scan"
)

// Most events carry a few plain values, and most rules ask for one or two of
// them. Where the data is such a flat object its values are found where they
// lie and decoded when they are asked for; all other data is decoded whole. Both
// ways give the same answers.

// flatField finds a value. A text may lie in the event's data.
func (v *eventView) flatField(name string) plain {
	m := v.member(name)
	switch {
	case m == nil:
		return plain{}
	case m.Plain: // as it lies there: nobody changes an event's data
		text := v.ev.Data[m.From+1 : m.To-1]
		return plain{kind: isText, text: unsafe.String(unsafe.SliceData(text), len(text))}
	}
	return flatValue(v.ev.Data[m.From:m.To])
}

// member finds a member of flat data, nil where there is none. Of two of one name
// the last counts.
func (v *eventView) member(name string) *scan.Member {
	for i := len(v.flat) - 1; i >= 0; i-- {
		if m := &v.flat[i]; int(m.NameTo-m.NameFrom) == len(name) && string(v.ev.Data[m.NameFrom:m.NameTo]) == name {
			return m
		}
	}
	return nil
}

func flatValue(raw []byte) plain {
	switch raw[0] {
	case '"':
		s, _ := scan.String(raw)
		return plain{kind: isText, text: s}
	case 't':
		return plainBool(true)
	case 'f':
		return plainBool(false)
	case 'n':
		return plain{}
	}
	return flatNumber(raw)
}

// flatNumber reads a number that is short and has no exponent, so that it is in
// range.
func flatNumber(raw []byte) plain {
	if n, ok := digits(raw); ok {
		return plain{kind: isWhole, whole: n}
	}
	text := unsafe.String(unsafe.SliceData(raw), len(raw))
	if bytes.IndexByte(raw, '.') < 0 {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return plain{kind: isWhole, whole: n}
		}
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return plain{}
	}
	return plain{kind: isFloat, float: f}
}

// digits reads a whole number of up to 18 digits.
func digits(raw []byte) (n int64, ok bool) {
	less := raw[0] == '-'
	if less {
		raw = raw[1:]
	}
	if len(raw) > 18 {
		return 0, false
	}
	for _, c := range raw {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	if less {
		n = -n
	}
	return n, true
}

// isFlatData scans the data of a view that one goroutine has, once, and says
// whether its values are found where they lie.
func (v *eventView) isFlatData() bool {
	if !v.single {
		return false
	}
	if !v.scanned {
		v.flat, v.isFlat = scan.Flat(v.flat[:0], v.ev.Data)
		v.scanned = true
	}
	return v.isFlat
}

// field is one value of the event's data, nil where it is absent. The error is
// for data that cannot be read.
func (v *eventView) field(name string) (any, error) {
	if v.isFlatData() {
		p := v.flatField(name)
		return p.boxed(), nil
	}
	m, err := v.data()
	return m[name], err
}

// value is field without a box.
func (v *eventView) value(name string) (plain, error) {
	if v.isFlatData() {
		return v.flatField(name), nil
	}
	m, err := v.data()
	if err != nil {
		return plain{}, err
	}
	return plainOf(m[name]), nil
}
