package backtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"signalbox/event"
	"signalbox/internal/normalize"
	"signalbox/internal/normalize/payload"
	"signalbox/internal/normalize/syslogmsg"
	"signalbox/internal/record"
)

// parse makes events of one line. It keeps the line.
func (f *File) parse(line []byte) error {
	trimmed := bytes.TrimSpace(line)
	if trimmed[0] == '"' { // a message with line breaks in it, as a JSON string
		var text string
		if json.Unmarshal(trimmed, &text) == nil {
			line, trimmed = []byte(text), bytes.TrimSpace([]byte(text))
		}
		if len(trimmed) == 0 {
			return nil
		}
	}
	switch f.sniff(line) {
	case normalize.Syslog:
		f.syslog(line)
		return nil
	case normalize.Payload:
		if trimmed[0] == '{' && f.o.Mapping == "" {
			if done, err := f.logged(trimmed); done {
				return err
			}
		}
		return f.bodies(trimmed)
	}
	return fmt.Errorf("messages of the form %q are not read from files", f.o.Form)
}

// entry is a line of `signalbox events --json`, as far as it matters here.
type entry struct {
	LogTime time.Time    `json:"log_time"`
	Status  string       `json:"status"`
	Reason  string       `json:"reason"`
	Event   *event.Event `json:"event"`
}

// logged takes events as Signalbox wrote them: in a line of `signalbox events
// --json`, or alone. done is false where the line is something else.
func (f *File) logged(line []byte) (done bool, err error) {
	var probe struct {
		Event    json.RawMessage `json:"event"`
		Position string          `json:"position"`
		Spec     string          `json:"specversion"`
		Source   string          `json:"source"`
		Received string          `json:"received"`
	}
	if err := json.Unmarshal(line, &probe); err != nil {
		var typ *json.UnmarshalTypeError
		if errors.As(err, &typ) {
			return false, nil // JSON, but not ours: a webhook's body
		}
		return true, err
	}
	switch {
	case probe.Position != "" && len(probe.Event) > 0:
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			return true, err
		}
		f.take(e.Event, e.LogTime, e.Status == "rejected", e.Reason)
		return true, nil
	case probe.Spec != "" && probe.Received != "":
		ev := new(event.Event)
		if err := json.Unmarshal(line, ev); err != nil {
			return true, err
		}
		f.take(ev, ev.Received, false, "")
		return true, nil
	}
	return false, nil
}

func (f *File) take(ev *event.Event, at time.Time, rejected bool, reason string) {
	if rejected {
		f.add(record.Record{Kind: record.KindRejected, Rejected: &record.Rejected{Event: *ev, Reason: reason}}, at)
		return
	}
	f.add(record.Record{Kind: record.KindEvent, Event: ev}, at)
}

// syslog maps one message. A time that the device itself marks as not set is
// none.
func (f *File) syslog(line []byte) {
	msg := syslogmsg.Parse(line, f.o.Reference)
	if !msg.HasYear && !msg.Timestamp.IsZero() && !f.plausible(msg.Timestamp) {
		msg.Timestamp = msg.Timestamp.AddDate(-1, 0, 0) // the nearest one may be still to come
	}
	at := msg.Timestamp
	if msg.Unsynced {
		at = time.Time{}
	}
	f.normalized(normalize.Input{Source: f.o.Source, Form: normalize.Syslog, Raw: line, Parsed: &msg}, at)
}

// bodies maps what a webhook would have brought: one object, or a list of them,
// each of which may be split further by its mapping.
func (f *File) bodies(line []byte) error {
	limits := payload.Limits{EventBytes: maxLine, Events: 100_000, Values: 1 << 20}
	items, err := payload.Split(payload.Message{Body: line}, limits)
	if err == nil {
		items, err = payload.Parts(items, limits, func(raw []byte) ([][]byte, error) {
			return f.o.Normalizer.SplitPayload(f.o.Mapping, raw)
		})
	}
	if err != nil {
		return err
	}
	for _, it := range items {
		f.normalized(normalize.Input{Source: f.o.Source, Form: normalize.Payload, Mapping: f.o.Mapping,
			Raw: it.Raw, SenderID: it.SenderID, TraceParent: it.TraceParent}, time.Time{})
	}
	return nil
}

// normalized maps a message and puts it in line at its time; where at is zero
// that which the mapping found in it.
func (f *File) normalized(in normalize.Input, at time.Time) {
	// What a mapping makes of a message does not depend on when it came, but
	// for times without a year.
	in.Received = f.o.Reference
	res := f.o.Normalizer.Normalize(in)
	if in.Form == normalize.Payload {
		at = res.Event.Time
	}
	ev := res.Event
	ev.Received = time.Time{} // add knows it
	if res.Reject != "" {
		f.take(&ev, at, true, res.Reject)
		return
	}
	f.take(&ev, at, false, "")
}

// sniff says how a line is read: JSON objects and lists begin with what no
// syslog message begins with.
func (f *File) sniff(line []byte) normalize.Form {
	if f.o.Form != "" {
		return f.o.Form
	}
	switch bytes.TrimSpace(line)[0] {
	case '{', '[':
		return normalize.Payload
	}
	return normalize.Syslog
}
