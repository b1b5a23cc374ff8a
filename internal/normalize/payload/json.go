package payload

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

var decoders = sync.Pool{New: func() any { return new(jsontext.Decoder) }}

// withDecoder lends a decoder over b. The decoder checks UTF-8 and duplicate
// names, which a mapping and a schema could otherwise see differently.
func withDecoder(b []byte, f func(*jsontext.Decoder) error) error {
	d := decoders.Get().(*jsontext.Decoder)
	d.Reset(bytes.NewBuffer(b))
	err := f(d)
	d.Reset(bytes.NewBuffer(nil)) // do not keep b alive
	decoders.Put(d)
	return err
}

func split(kind mode, body []byte, limits Limits) ([]Item, error) {
	first := firstByte(body)
	isArray := first == '['
	switch {
	case first == 0:
		return nil, malformed("", "the body is empty: a JSON object was expected")
	case kind == structured && first != '{':
		return nil, malformed("", "application/cloudevents+json carries one JSON object")
	case kind == batched && !isArray:
		return nil, malformed("", "application/cloudevents-batch+json carries a JSON array")
	case first != '{' && !isArray:
		return nil, malformed("", "an event is a JSON object: the body begins with %q", first)
	}
	depth := limits.Depth
	if isArray {
		depth++
	}
	if err := scan(body, depth, limits.Values); err != nil {
		return nil, err
	}
	if !isArray {
		return splitOne(kind, body, limits)
	}
	return splitArray(kind, body, limits)
}

func splitOne(kind mode, body []byte, limits Limits) ([]Item, error) {
	items := make([]Item, 1)
	err := withDecoder(body, func(d *jsontext.Decoder) error {
		raw, err := value(d, body)
		if err != nil {
			return locate(err, -1)
		}
		if len(raw) > limits.EventBytes {
			return tooLarge("the event has %d bytes, more than the %d allowed", len(raw), limits.EventBytes)
		}
		items[0].Raw = raw
		return atEnd(d)
	})
	if err == nil && kind == structured {
		err = cloudEvent(&items[0])
	}
	if err != nil {
		return nil, err
	}
	return items, nil
}

func splitArray(kind mode, body []byte, limits Limits) ([]Item, error) {
	var items []Item
	err := withDecoder(body, func(d *jsontext.Decoder) error {
		if _, err := d.ReadToken(); err != nil {
			return locate(err, -1)
		}
		for d.PeekKind() != ']' {
			n := len(items)
			if n >= limits.Events {
				return tooLarge("more than the %d events allowed in one body: send several", limits.Events)
			}
			if k := d.PeekKind(); k != '{' && k != 0 {
				e := malformed("", "an event is a JSON object")
				e.Event, e.Offset = n, d.InputOffset()
				return e
			}
			raw, err := value(d, body)
			if err != nil {
				return locate(err, n)
			}
			if len(raw) > limits.EventBytes {
				e := tooLarge("it has %d bytes, more than the %d allowed", len(raw), limits.EventBytes)
				e.Event = n
				return e
			}
			items = append(items, Item{Raw: raw})
			if kind != batched {
				continue
			}
			if err := cloudEvent(&items[n]); err != nil {
				err.(*Error).Event = n
				return err
			}
		}
		if _, err := d.ReadToken(); err != nil {
			return locate(err, -1)
		}
		return atEnd(d)
	})
	if err != nil {
		return nil, err
	}
	return items, nil
}

// value reads the next value as a stretch of body: what the decoder returns is
// its own again at the next read.
func value(d *jsontext.Decoder, body []byte) ([]byte, error) {
	v, err := d.ReadValue()
	if err != nil {
		return nil, err
	}
	end := int(d.InputOffset())
	return body[end-len(v) : end : end], nil
}

func atEnd(d *jsontext.Decoder) error {
	off := d.InputOffset()
	switch _, err := d.ReadToken(); {
	case errors.Is(err, io.EOF):
		return nil
	default:
		e := malformed("", "more follows after the end of the JSON value")
		e.Offset = off
		return e
	}
}

// locate turns an error of the decoder into one that names field and offset.
func locate(err error, event int) error {
	out := malformed("", "%v", err)
	out.Event = event
	var syn *jsontext.SyntacticError
	switch {
	case errors.As(err, &syn):
		out.Offset = syn.ByteOffset
		out.Reason = "not valid JSON: " + strings.TrimPrefix(syn.Err.Error(), "jsontext: ")
		out.Field = dotted(syn.JSONPointer, event >= 0)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		out.Reason = "not valid JSON: it ends too early"
	}
	return out
}

// dotted writes an RFC 6901 pointer as fields are written in rules. inArray
// drops the first token, the index of the event.
func dotted(p jsontext.Pointer, inArray bool) string {
	var b []byte
	for t := range p.Tokens() {
		if inArray {
			inArray = false
			continue
		}
		if len(b) > 200 {
			return string(b) + "…"
		}
		if len(b) > 0 {
			b = append(b, '.')
		}
		b = append(b, strings.ToValidUTF8(t[:min(len(t), 100)], "�")...)
	}
	return string(b)
}

func firstByte(b []byte) byte {
	for _, c := range b {
		switch c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

// scan checks nesting and the number of values without allocating. It knows
// strings and brackets only; whether the text is JSON is for the decoder.
func scan(b []byte, depth, values int) error {
	var level, commas int
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			end := stringEnd(b, i+1)
			if end < 0 {
				return nil // the decoder will say where
			}
			i = end
		case '{', '[':
			if level++; level > depth {
				e := tooLarge("nested deeper than the %d levels allowed", depth)
				e.Offset = int64(i)
				return e
			}
		case '}', ']':
			level--
		case ',':
			if commas++; commas >= values {
				return tooLarge("more than the %s values allowed", strconv.Itoa(values))
			}
		}
	}
	return nil
}

// stringEnd finds the closing quote from i on, or -1.
func stringEnd(b []byte, i int) int {
	for i < len(b) {
		j := bytes.IndexByte(b[i:], '"')
		if j < 0 {
			return -1
		}
		end := i + j
		slashes := 0
		for k := end - 1; k >= i && b[k] == '\\'; k-- {
			slashes++
		}
		if slashes%2 == 0 {
			return end
		}
		i = end + 1
	}
	return -1
}
