package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// SpecVersion is the version of CloudEvents that the JSON form follows.
const SpecVersion = "1.0"

// sourceScheme makes the name of a source a URI, as CloudEvents asks.
const sourceScheme = "signalbox:"

// wire is an Event as CloudEvents 1.0 structured JSON. Attributes of our own
// are CloudEvents extensions: lower-case letters and digits only, and simple
// values, so that lists and maps are JSON in a string.
type wire struct {
	SpecVersion string          `json:"specversion"`
	ID          ID              `json:"id"`
	Source      string          `json:"source"`
	Type        string          `json:"type"`
	Subject     string          `json:"subject,omitempty"`
	Time        *stamp          `json:"time,omitempty"`
	DataType    string          `json:"datacontenttype,omitempty"`
	Data        json.RawMessage `json:"data,omitempty"`
	DataBase64  *string         `json:"data_base64,omitempty"` // read only to be refused

	Device      string `json:"device,omitempty"`
	Interface   string `json:"interface,omitempty"`
	TraceParent string `json:"traceparent,omitempty"`
	SenderID    string `json:"senderid,omitempty"`
	Peer        string `json:"peer,omitempty"`
	Received    *stamp `json:"received,omitempty"`
	Mapping     string `json:"mapping,omitempty"`
	Meta        string `json:"meta,omitempty"` // a JSON object of strings
	Resubmits   ID     `json:"resubmits,omitempty"`
	Raw         []byte `json:"rawbase64,omitempty"`

	Cause       bool   `json:"caused,omitempty"`
	CauseRun    string `json:"causerun,omitempty"`
	CauseRule   string `json:"causerule,omitempty"`
	CauseEvent  ID     `json:"causeevent,omitempty"`
	CauseRules  string `json:"causerules,omitempty"` // a JSON list of strings
	CauseReplay bool   `json:"causereplay,omitempty"`
}

// stamp is a time as RFC 3339, whose year must have four digits.
type stamp time.Time

func (s stamp) MarshalJSON() ([]byte, error)  { return time.Time(s).MarshalJSON() }
func (s *stamp) UnmarshalJSON(b []byte) error { return (*time.Time)(s).UnmarshalJSON(b) }

func stampOf(t time.Time) *stamp {
	if t.IsZero() {
		return nil
	}
	return (*stamp)(&t)
}

func (s *stamp) time() time.Time {
	if s == nil {
		return time.Time{}
	}
	return time.Time(*s)
}

// JSONOption changes how AppendJSON writes an event.
type JSONOption func(*wire)

// WithoutRaw leaves out what the peer sent (rawbase64), which can be most of
// an event's size.
func WithoutRaw() JSONOption { return func(w *wire) { w.Raw = nil } }

// MarshalJSON writes e as CloudEvents 1.0 structured JSON: source is
// "signalbox:" and the source's name, subject the device, and the fields that
// CloudEvents does not know are extension attributes. It fails where Data is
// not JSON or a time's year has not four digits.
func (e Event) MarshalJSON() ([]byte, error) { return e.AppendJSON(nil) }

// AppendJSON is MarshalJSON with options, appended to dst.
func (e Event) AppendJSON(dst []byte, opts ...JSONOption) ([]byte, error) {
	w := wire{
		SpecVersion: SpecVersion, ID: e.ID, Source: sourceScheme + url.PathEscape(e.Source),
		Type: e.Type, Subject: e.Device, Device: e.Device, Interface: e.Interface,
		Time: stampOf(e.Time), Received: stampOf(e.Received),
		TraceParent: e.TraceParent, SenderID: e.SenderID, Peer: e.Peer,
		Mapping: e.Mapping, Resubmits: e.Resubmits, Raw: e.Raw,
	}
	if len(e.Data) > 0 {
		w.Data, w.DataType = e.Data, "application/json"
	}
	if len(e.Meta) > 0 {
		b, err := json.Marshal(e.Meta)
		if err != nil {
			return dst, fmt.Errorf("event %s: meta: %w", e.ID, err)
		}
		w.Meta = string(b)
	}
	if c := e.Cause; c != nil {
		w.Cause, w.CauseRun, w.CauseRule, w.CauseEvent, w.CauseReplay = true, c.Run, c.Rule, c.Event, c.Replay
		if len(c.Rules) > 0 {
			b, err := json.Marshal(c.Rules)
			if err != nil {
				return dst, fmt.Errorf("event %s: cause: %w", e.ID, err)
			}
			w.CauseRules = string(b)
		}
	}
	for _, o := range opts {
		o(&w)
	}
	buf := bytes.NewBuffer(dst)
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(&w); err != nil {
		return dst, fmt.Errorf("event %s: %w", e.ID, err)
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

// UnmarshalJSON reads what MarshalJSON writes, and any other CloudEvents 1.0
// event in structured JSON whose data is JSON; unknown extension attributes
// are left out. An id may be missing: who takes the event in gives it one.
func (e *Event) UnmarshalJSON(b []byte) error {
	var w wire
	if err := json.Unmarshal(b, &w); err != nil {
		return fmt.Errorf("event: %w", err)
	}
	if w.SpecVersion != SpecVersion {
		return fmt.Errorf("event: specversion: %q is not %q, the CloudEvents version that is understood", w.SpecVersion, SpecVersion)
	}
	if w.DataBase64 != nil {
		return errors.New("event: data_base64: binary data is not understood; expected JSON in data")
	}
	out := Event{
		ID: w.ID, SenderID: w.SenderID, Source: w.Source, Peer: w.Peer,
		Type: w.Type, Device: w.Device, Interface: w.Interface,
		Time: w.Time.time(), Received: w.Received.time(), TraceParent: w.TraceParent,
		Raw: w.Raw, Mapping: w.Mapping, Resubmits: w.Resubmits,
	}
	if out.Device == "" {
		out.Device = w.Subject
	}
	if name, ok := strings.CutPrefix(w.Source, sourceScheme); ok {
		name, err := url.PathUnescape(name)
		if err != nil {
			return fmt.Errorf("event: source: %w", err)
		}
		out.Source = name
	}
	if len(w.Data) > 0 && string(w.Data) != "null" {
		out.Data = w.Data
	}
	if w.Meta != "" {
		if err := json.Unmarshal([]byte(w.Meta), &out.Meta); err != nil {
			return fmt.Errorf("event: meta: %w", err)
		}
	}
	if w.Cause {
		out.Cause = &Cause{Run: w.CauseRun, Rule: w.CauseRule, Event: w.CauseEvent, Replay: w.CauseReplay}
		if w.CauseRules != "" {
			if err := json.Unmarshal([]byte(w.CauseRules), &out.Cause.Rules); err != nil {
				return fmt.Errorf("event: causerules: %w", err)
			}
		}
	}
	*e = out
	return nil
}
