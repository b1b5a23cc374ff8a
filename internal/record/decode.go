package record

import (
	"encoding/json"
	"fmt"
	"time"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"

	"signalbox/event"
)

// field is one field of a message as it stands on the wire: a number for
// varints, bytes for everything that has a length.
type field struct {
	key   uint64 // number<<3 | wire type
	value uint64
	bytes []byte
}

// next takes one field off b. Fields of fixed width and groups, which we never
// write, come back without their value.
func next(b []byte) (field, []byte, error) {
	key, n := varint(b)
	if n <= 0 || key>>3 == 0 || key > 1<<32-1 {
		return field{}, nil, fmt.Errorf("bad field tag, %d bytes before the end", len(b))
	}
	b = b[n:]
	switch key & 7 {
	case 0:
		v, n := varint(b)
		if n <= 0 {
			return field{}, nil, fmt.Errorf("field %d: bad number", key>>3)
		}
		return field{key: key, value: v}, b[n:], nil
	case 2:
		v, n := varint(b)
		if n <= 0 || v > uint64(len(b)-n) {
			return field{}, nil, fmt.Errorf("field %d: longer than what is left (%d bytes)", key>>3, len(b))
		}
		end := n + int(v)
		return field{key: key, bytes: b[n:end:end]}, b[end:], nil
	default:
		n := protowire.ConsumeFieldValue(protowire.Number(key>>3), protowire.Type(key&7), b)
		if n < 0 {
			return field{}, nil, fmt.Errorf("field %d: %w", key>>3, protowire.ParseError(n))
		}
		return field{key: key}, b[n:], nil
	}
}

// varint is protowire.ConsumeVarint with the commonest case, one byte, inline.
func varint(b []byte) (uint64, int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	return protowire.ConsumeVarint(b)
}

// Keys of fields: number n as a varint, or with a length.
const (
	vint = 0
	blen = 2
)

// str is b as a string, without a copy: see DecodeBatch on what that means.
func str(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// some is b, or nil where it is empty: no empty slices, so that a value is the
// same after coding and decoding.
func some(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}

func within(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// decoder makes room for many events at once: a batch is mostly events, and
// one allocation each would cost more than reading them.
type decoder struct {
	events []event.Event
	left   int // records not decoded yet
}

func (d *decoder) newEvent() *event.Event {
	if len(d.events) == 0 {
		d.events = make([]event.Event, max(1, min(d.left, 64)))
	}
	e := &d.events[0]
	d.events = d.events[1:]
	return e
}

func (d *decoder) record(b []byte, r *Record) error {
	for len(b) > 0 {
		f, rest, err := next(b)
		if err != nil {
			return err
		}
		b = rest
		if f.key == 1<<3|vint {
			if f.value > 255 {
				return fmt.Errorf("kind %d is out of range", f.value)
			}
			r.Kind = Kind(f.value)
			continue
		}
		if err := d.body(f, r); err != nil {
			return err
		}
	}
	return r.complete()
}

func (d *decoder) body(f field, r *Record) error {
	switch f.key {
	case 2<<3 | blen:
		r.Event = d.newEvent()
		return within("event", decodeEvent(f.bytes, r.Event))
	case 3<<3 | blen:
		r.Rejected = new(Rejected)
		return within("rejected", decodeRejected(f.bytes, r.Rejected))
	case 4<<3 | blen:
		r.Rules = new(Rules)
		return within("rules", decodeRules(f.bytes, r.Rules))
	case 5<<3 | blen:
		r.Command = new(Command)
		return within("command", d.command(f.bytes, r.Command))
	case 6<<3 | blen:
		r.Retention = new(Retention)
		return within("retention", decodeRetention(f.bytes, r.Retention))
	case 7<<3 | blen:
		r.Decision = new(Decision)
		return within("decision", d.decision(f.bytes, r.Decision))
	case 8<<3 | blen:
		r.Begin = new(StepBegin)
		return within("step begin", decodeBegin(f.bytes, r.Begin))
	case 9<<3 | blen:
		r.End = new(StepEnd)
		return within("step end", decodeEnd(f.bytes, r.End))
	case 10<<3 | blen:
		r.RunEnd = new(RunEnd)
		return within("run end", decodeRunEnd(f.bytes, r.RunEnd))
	}
	return nil
}

// complete says whether a record has what its kind promises, so that nobody
// who reads the log meets a nil. Kinds of a newer version pass.
func (r *Record) complete() error {
	var ok bool
	switch r.Kind {
	case 0:
		return fmt.Errorf("no kind")
	case KindEvent:
		ok = r.Event != nil
	case KindRejected:
		ok = r.Rejected != nil
	case KindRules:
		ok = r.Rules != nil
	case KindCommand:
		ok = r.Command != nil
	case KindRetention:
		ok = r.Retention != nil
	case KindDecision:
		ok = r.Decision != nil
	case KindStepBegin:
		ok = r.Begin != nil
	case KindStepEnd:
		ok = r.End != nil
	case KindRunEnd:
		ok = r.RunEnd != nil
	default:
		ok = true
	}
	if !ok {
		return fmt.Errorf("kind %d without its content", r.Kind)
	}
	return nil
}

func decodeTime(b []byte) (time.Time, error) {
	var sec, nsec int64
	if len(b) > 0 && b[0] == 1<<3|vint { // as it is written: seconds, then the rest of one
		if v, n := varint(b[1:]); n > 0 {
			sec, b = int64(v), b[1+n:]
		}
		if len(b) > 0 && b[0] == 2<<3|vint {
			if v, n := varint(b[1:]); n > 0 {
				nsec, b = int64(v), b[1+n:]
			}
		}
	}
	for len(b) > 0 {
		f, rest, err := next(b)
		if err != nil {
			return time.Time{}, err
		}
		b = rest
		switch f.key {
		case 1<<3 | vint:
			sec = int64(f.value)
		case 2<<3 | vint:
			nsec = int64(f.value)
		}
	}
	if nsec < 0 || nsec > 999_999_999 {
		return time.Time{}, fmt.Errorf("time: %d nanoseconds", nsec)
	}
	return time.Unix(sec, nsec).UTC(), nil
}

func decodePosition(b []byte) (Position, error) {
	var p Position
	for len(b) > 0 {
		f, rest, err := next(b)
		if err != nil {
			return p, err
		}
		b = rest
		switch f.key {
		case 1<<3 | vint:
			p.Seq = f.value
		case 2<<3 | vint:
			p.Index = uint32(f.value)
		}
	}
	return p, nil
}

// DecodeEvent reads what AppendEvent wrote. As with DecodeBatch, strings and
// bytes of the result are parts of b.
func DecodeEvent(b []byte) (*event.Event, error) {
	e := new(event.Event)
	if err := decodeEvent(b, e); err != nil {
		return nil, within("event", err)
	}
	return e, nil
}

func decodeEvent(b []byte, e *event.Event) error {
	for len(b) > 0 {
		var f field
		var err error
		// Nearly all fields have a length, of one byte or two, and a number below
		// 16: those are read here.
		if at, n, ok := short(b); ok {
			f = field{key: uint64(b[0]), bytes: b[at : at+n : at+n]}
			b = b[at+n:]
		} else if f, b, err = next(b); err != nil {
			return err
		}
		switch f.key {
		case 1<<3 | blen:
			e.ID = event.ID(str(f.bytes))
		case 2<<3 | blen:
			e.SenderID = str(f.bytes)
		case 3<<3 | blen:
			e.Source = str(f.bytes)
		case 4<<3 | blen:
			e.Peer = str(f.bytes)
		case 5<<3 | blen:
			e.Type = str(f.bytes)
		case 6<<3 | blen:
			e.Device = str(f.bytes)
		case 7<<3 | blen:
			e.Interface = str(f.bytes)
		case 8<<3 | blen:
			e.Time, err = decodeTime(f.bytes)
		case 9<<3 | blen:
			e.Received, err = decodeTime(f.bytes)
		case 10<<3 | blen:
			e.TraceParent = str(f.bytes)
		case 11<<3 | blen:
			e.Data = json.RawMessage(some(f.bytes))
		case 12<<3 | blen:
			e.Raw = some(f.bytes)
		case 13<<3 | blen:
			e.Mapping = str(f.bytes)
		case 14<<3 | blen:
			err = decodeMeta(f.bytes, e)
		case 15<<3 | blen:
			e.Cause = new(event.Cause)
			err = decodeCause(f.bytes, e.Cause)
		case 16<<3 | blen:
			e.Resubmits = event.ID(str(f.bytes))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// short finds the content of a field whose key is one byte, and whose length one
// or two; ok is false where next has to read it. An event has ten of them: here
// that pays, in next itself it costs more than it saves.
func short(b []byte) (at, n int, ok bool) {
	if len(b) < 3 || b[0]&0x87 != blen || b[0] < 1<<3 {
		return 0, 0, false
	}
	at, n = 2, int(b[1])
	if n >= 0x80 {
		at, n = 3, n&0x7f|int(b[2])<<7
	}
	return at, n, n <= len(b)-at && (at == 2 || b[2] < 0x80)
}

func decodeMeta(b []byte, e *event.Event) error {
	var k, v string
	for len(b) > 0 {
		f, rest, err := next(b)
		if err != nil {
			return within("meta", err)
		}
		b = rest
		switch f.key {
		case 1<<3 | blen:
			k = str(f.bytes)
		case 2<<3 | blen:
			v = str(f.bytes)
		}
	}
	if e.Meta == nil {
		e.Meta = make(map[string]string)
	}
	e.Meta[k] = v
	return nil
}

func decodeCause(b []byte, c *event.Cause) error {
	for len(b) > 0 {
		f, rest, err := next(b)
		if err != nil {
			return within("cause", err)
		}
		b = rest
		switch f.key {
		case 1<<3 | blen:
			c.Run = str(f.bytes)
		case 2<<3 | blen:
			c.Rule = str(f.bytes)
		case 3<<3 | blen:
			c.Event = event.ID(str(f.bytes))
		case 4<<3 | blen:
			c.Rules = append(c.Rules, str(f.bytes))
		case 5<<3 | vint:
			c.Replay = f.value != 0
		}
	}
	return nil
}
