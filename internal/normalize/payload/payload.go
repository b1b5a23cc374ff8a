// Package payload takes the body of a webhook request or a broker message
// apart into events: a JSON object, a JSON array of objects, or CloudEvents 1.0
// in structured, batched and binary mode. It is pure: bytes in, bytes out.
//
// The declared content type alone chooses the parser, never the look of the
// body. Every bound (nesting, number of values, number and length of events)
// is checked in one pass over the bytes before anything is parsed, so that a
// small body cannot cost much memory. No event is decoded into Go values here:
// what comes out are stretches of the body itself.
package payload

import (
	"errors"
	"fmt"
	"iter"
	"mime"
	"net/url"
	"strings"
)

// Limits bound one body. A field that is zero takes its value from
// DefaultLimits.
type Limits struct {
	Events     int // events in one body
	EventBytes int // length of one event
	Depth      int // nesting of objects and arrays, the array of events not counted
	Values     int // values in the whole body, counted by their commas
}

// DefaultLimits is what a source uses that has no limits of its own.
func DefaultLimits() Limits {
	return Limits{Events: 1000, EventBytes: 256 << 10, Depth: 32, Values: 1 << 16}
}

func (l Limits) orDefault() Limits {
	d := DefaultLimits()
	pick := func(v *int, def int) {
		if *v <= 0 {
			*v = def
		}
	}
	pick(&l.Events, d.Events)
	pick(&l.EventBytes, d.EventBytes)
	pick(&l.Depth, d.Depth)
	pick(&l.Values, d.Values)
	return l
}

// Message is one body with what its transport says about it.
type Message struct {
	// ContentType as declared, with parameters. Without one the body is taken
	// for application/json: webhooks written by hand often have none.
	ContentType string
	// Attributes are the CloudEvents attributes that the transport carries
	// beside the body (binary mode), by their bare names ("id", "source"): HTTP
	// headers ce-*, AMQP application properties cloudEvents:* or cloudEvents_*.
	// Nil where there are none.
	Attributes iter.Seq2[string, string]
	// Form allows application/x-www-form-urlencoded with the JSON in the field
	// "payload", as some tools send it.
	Form bool
	Body []byte
}

// Item is one event of a body.
type Item struct {
	// Raw is one JSON object, a stretch of the body where it can be. An event
	// in binary mode is written anew in structured mode, so that Raw alone is
	// enough to map it again.
	Raw []byte
	// SenderID names the event for its sender, "" where it has no name. For a
	// CloudEvent it is "source id", since only both together are unique.
	SenderID string
	// TraceParent is the valid W3C trace context of a CloudEvent, or "".
	TraceParent string
	// CloudEvent says that Raw is a CloudEvent in structured mode.
	CloudEvent bool
	// Part numbers, from 1, the events that Parts made of one; 0 where the item
	// is whole. SenderID names them all together.
	Part int
}

// The classes of errors.
var (
	// ErrMalformed: the body is not what its content type says (HTTP 400).
	ErrMalformed = errors.New("malformed")
	// ErrTooLarge: a bound of Limits is passed (HTTP 413).
	ErrTooLarge = errors.New("too large")
	// ErrUnsupported: no parser for the declared content type (HTTP 415).
	ErrUnsupported = errors.New("unsupported content type")
)

// Error says what is wrong with a body, and where.
type Error struct {
	Class  error  // ErrMalformed, ErrTooLarge or ErrUnsupported
	Event  int    // index of the event in its array, or -1
	Field  string // "data.interface", "" where no field is to blame
	Offset int64  // byte offset in the body, or -1
	Reason string
}

// Error names the event, the field and the offset as far as they are known.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Event >= 0 {
		fmt.Fprintf(&b, "event %d: ", e.Event)
	}
	if e.Field != "" {
		fmt.Fprintf(&b, "field %q: ", e.Field)
	}
	b.WriteString(e.Reason)
	if e.Offset >= 0 {
		fmt.Fprintf(&b, " (at byte %d)", e.Offset)
	}
	return b.String()
}

// Unwrap gives the class.
func (e *Error) Unwrap() error { return e.Class }

func malformed(field, format string, args ...any) *Error {
	return &Error{Class: ErrMalformed, Event: -1, Offset: -1, Field: field, Reason: fmt.Sprintf(format, args...)}
}

func tooLarge(format string, args ...any) *Error {
	return &Error{Class: ErrTooLarge, Event: -1, Offset: -1, Reason: fmt.Sprintf(format, args...)}
}

func unsupported(format string, args ...any) *Error {
	return &Error{Class: ErrUnsupported, Event: -1, Offset: -1, Reason: fmt.Sprintf(format, args...)}
}

// mode is which parser a content type chooses.
type mode int

const (
	plain      mode = iota // object or array of objects
	structured             // one CloudEvent
	batched                // array of CloudEvents
	form                   // payload=<json>
	opaque                 // anything else: only as the data of a binary-mode event
)

// Split takes m apart. The items alias m.Body, which must not change
// afterwards. An empty array has no items and is no error. An error is always
// an *Error, and means that no event of the body may be taken.
func Split(m Message, limits Limits) ([]Item, error) {
	limits = limits.orDefault()
	kind, media, err := chooseParser(m.ContentType)
	if err != nil {
		return nil, err
	}
	body := trimBOM(m.Body)
	if m.Attributes != nil && kind != structured && kind != batched {
		return binary(m.Attributes, kind, m.ContentType, media, body, limits)
	}
	switch kind {
	case form:
		if !m.Form {
			return nil, unsupported("content type %s is not accepted here: send application/json (curl: -H 'Content-Type: application/json')", media)
		}
		if body, err = formPayload(body); err != nil {
			return nil, err
		}
		kind = plain
	case opaque:
		return nil, unsupported("content type %.100q has no parser: send application/json, application/cloudevents+json or application/cloudevents-batch+json", media)
	}
	return split(kind, body, limits)
}

func chooseParser(contentType string) (mode, string, error) {
	switch contentType { // what nearly every sender writes, spared the parsing
	case "", "application/json":
		return plain, "application/json", nil
	case "application/cloudevents+json":
		return structured, contentType, nil
	}
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return 0, "", unsupported("content type %.100q cannot be read", contentType)
	}
	if cs, ok := params["charset"]; ok && !strings.EqualFold(cs, "utf-8") && !strings.EqualFold(cs, "us-ascii") && strings.Contains(media, "json") {
		return 0, "", unsupported("charset %.40q: JSON is UTF-8 (RFC 8259)", cs)
	}
	switch {
	case media == "application/cloudevents+json":
		return structured, media, nil
	case media == "application/cloudevents-batch+json":
		return batched, media, nil
	case strings.HasPrefix(media, "application/cloudevents"):
		return 0, "", unsupported("content type %.100q: of CloudEvents formats only JSON is known", media)
	case media == "application/x-www-form-urlencoded":
		return form, media, nil
	case isJSON(media):
		return plain, media, nil
	}
	return opaque, media, nil
}

func isJSON(media string) bool {
	return media == "application/json" || media == "text/json" || strings.HasSuffix(media, "+json")
}

func trimBOM(b []byte) []byte {
	if len(b) >= 3 && b[0] == 0xEF && b[1] == 0xBB && b[2] == 0xBF {
		return b[3:]
	}
	return b
}

func formPayload(body []byte) ([]byte, error) {
	const name = "payload="
	for pair := range strings.SplitSeq(string(body), "&") {
		if v, ok := strings.CutPrefix(pair, name); ok {
			text, err := url.QueryUnescape(v)
			if err != nil {
				return nil, malformed("payload", "%v", err)
			}
			return []byte(text), nil
		}
	}
	return nil, malformed("payload", "the form has no such field")
}
