package backtest

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"signalbox/event"
)

// maxText bounds what a report shows of a message, in bytes.
const maxText = 240

// sampleOf is sample, with the event of one device where the run has several.
func (t *Backtest) sampleOf(st *started, device string) *Sample {
	if len(st.run.Events) > 1 {
		for _, ev := range slices.Backward(st.run.Events) {
			if ev.Device == device {
				return t.about(st, ev)
			}
		}
	}
	return t.sample(st)
}

// sample is what a report tells of a run: of the event that set it off.
func (t *Backtest) sample(st *started) *Sample {
	ev := st.d.Event
	if n := len(st.run.Events); n > 0 {
		// The decision's event, where it is one of them: it may have its raw
		// bytes, which those of a finding have not.
		if ev == nil || !slices.ContainsFunc(st.run.Events, func(e *event.Event) bool { return e.ID == ev.ID }) {
			ev = st.run.Events[n-1]
		}
	}
	return t.about(st, ev)
}

// about makes a sample that keeps nothing of the batch.
func (t *Backtest) about(st *started, ev *event.Event) *Sample {
	s := &Sample{Time: st.at.UTC(), Position: t.position(st.d.At).String(), Timer: !st.d.Due.IsZero(),
		Branch: strings.Clone(st.run.Branch), Key: strings.Clone(correlateKey(st.run.Key)), Events: max(1, st.run.Total, uint32(len(st.run.Events)))}
	if ev == nil {
		s.Device = strings.Clone(st.run.Device)
		return s
	}
	s.Event, s.Type = event.ID(strings.Clone(string(ev.ID))), strings.Clone(ev.Type)
	s.Device, s.Interface = strings.Clone(ev.Device), strings.Clone(ev.Interface)
	s.Message = message(ev)
	return s
}

// correlateKey is a key for people.
func correlateKey(key string) string { return strings.ReplaceAll(key, "\x1f", " ") }

// message is what a device said, or where that is no text the data; short, on
// one line, and safe to print.
func message(ev *event.Event) string {
	text := bytes.TrimSpace(ev.Raw)
	if len(text) == 0 || text[0] == '{' || !utf8.Valid(text) {
		var b bytes.Buffer
		if json.Compact(&b, ev.Data) != nil {
			return ""
		}
		text = b.Bytes()
	}
	if end := bytes.IndexByte(text, '>'); text[0] == '<' && end > 1 && end < 5 {
		text = text[end+1:] // syslog's priority
	}
	line := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, string(text))
	return cut(line, maxText)
}

// cut shortens s to most bytes, not inside a character.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most] + "…"
}
