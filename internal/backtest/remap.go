package backtest

import (
	"fmt"
	"strings"

	"signalbox/event"
	"signalbox/internal/normalize"
	"signalbox/internal/record"
)

// Remapped is what mapping the raw bytes again changed.
type Remapped struct {
	Events   uint64 `json:"events"`   // mapped again
	Retyped  uint64 `json:"retyped"`  // of them are of another type now
	Accepted uint64 `json:"accepted"` // had been rejected, and pass now
	Rejected uint64 `json:"rejected"` // had passed, and would be rejected now
	Kept     uint64 `json:"kept"`     // have no raw bytes to map: Signalbox made them itself
}

// Source says how the messages of a source are read.
type Source struct {
	Form    normalize.Form
	Mapping string // Payload: the mapping that the source names
}

// Keys of event.Meta under which a rejected event keeps how it was read. Package
// intake writes them.
const (
	metaForm    = "signalbox-form"
	metaMapping = "signalbox-mapping"
)

// Remapper maps logged events again, by today's mappings. It serves one
// goroutine.
type Remapper struct {
	Normalizer *normalize.Normalizer
	Sources    map[string]Source // by name; where one is not in it the form is seen in the bytes
	Counts     Remapped
}

// Batch gives a copy of b in which what has raw bytes is mapped again. Ids,
// times and causes stay: it is the same event, read anew.
func (m *Remapper) Batch(b *record.Batch) *record.Batch {
	out := *b
	out.Records = make([]record.Record, len(b.Records))
	copy(out.Records, b.Records)
	for i := range out.Records {
		r := &out.Records[i]
		switch r.Kind {
		case record.KindEvent:
			*r = m.event(r, r.Event)
		case record.KindRejected:
			*r = m.event(r, &r.Rejected.Event)
		}
	}
	return &out
}

func (m *Remapper) event(r *record.Record, old *event.Event) record.Record {
	if len(old.Raw) == 0 {
		m.Counts.Kept++
		return *r
	}
	m.Counts.Events++
	res := m.Normalizer.Normalize(m.input(old))
	ev := res.Event
	ev.ID, ev.TraceParent, ev.Cause, ev.Resubmits = old.ID, old.TraceParent, old.Cause, old.Resubmits
	was := r.Kind == record.KindRejected
	if res.Reject != "" {
		if !was {
			m.Counts.Rejected++
		}
		return record.Record{Kind: record.KindRejected, Rejected: &record.Rejected{Event: ev, Reason: res.Reject}}
	}
	switch {
	case was:
		m.Counts.Accepted++
	case ev.Type != old.Type:
		m.Counts.Retyped++
	}
	return record.Record{Kind: record.KindEvent, Event: &ev}
}

// input is the message as it came in.
func (m *Remapper) input(old *event.Event) normalize.Input {
	in := normalize.Input{Source: old.Source, Raw: old.Raw, Peer: old.Peer, Received: old.Received,
		SenderID: old.SenderID, TraceParent: old.TraceParent, Meta: old.Meta}
	if form := old.Meta[metaForm]; form != "" {
		in.Form, in.Mapping = normalize.Form(form), old.Meta[metaMapping]
		in.Meta = map[string]string{}
		for k, v := range old.Meta {
			if k != metaForm && k != metaMapping {
				in.Meta[k] = v
			}
		}
		return in
	}
	if s, ok := m.Sources[old.Source]; ok {
		in.Form, in.Mapping = s.Form, s.Mapping
		return in
	}
	in.Form = formOf(old.Raw)
	if in.Form == normalize.Payload { // the mapping's name before its dot is what the source named
		name, _, _ := strings.Cut(old.Mapping, "@")
		in.Mapping, _, _ = strings.Cut(name, ".")
	}
	return in
}

// formOf sees in the bytes what a message is: JSON objects begin with a brace,
// SNMP messages with the tag of a BER sequence (0x30) and a length that is no
// text; all else is syslog.
func formOf(raw []byte) normalize.Form {
	switch {
	case len(raw) > 0 && raw[0] == '{':
		return normalize.Payload
	case len(raw) > 2 && raw[0] == 0x30 && (raw[1]&0x80 != 0 || raw[2] == 0x02):
		return normalize.SNMP
	}
	return normalize.Syslog
}

// String sums up for people.
func (r Remapped) String() string {
	return fmt.Sprintf("%d events mapped again: %d are of another type now, %d that were rejected pass, %d would be rejected; %d have no raw bytes",
		r.Events, r.Retyped, r.Accepted, r.Rejected, r.Kept)
}
