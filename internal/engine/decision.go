package engine

import (
	"strings"
	"time"
	"unsafe"

	"signalbox/internal/correlate"
	"signalbox/internal/record"
)

func (l *lane) shadowKey(f *correlate.Finding) string {
	if f == nil {
		return ""
	}
	return l.keyText(f.Key)
}

func (l *lane) dueText(d *record.Decision) string {
	if d.Due.IsZero() {
		return ""
	}
	return d.Due.Format(time.RFC3339Nano)
}

// note says what a rule did with an event; number none is for what is about
// others.
func (l *lane) note(number uint64, n record.RuleNote) {
	d := l.decision(number)
	if d.Reason == "" && d == l.main && d.Verdict != record.Duplicate {
		switch n.Outcome {
		case "duplicate", "loop", "dampened", "upstream", "late", "full", "limited":
			d.Reason = "rule " + n.Rule + ": " + n.Detail
		}
	}
	d.Notes = l.addNote(d.Notes, n)
}

// addNote appends to the notes of a decision. They come in blocks, since they
// live as long as their neighbours; mostly a decision's own are written one
// after the other.
func (l *lane) addNote(list []record.RuleNote, n record.RuleNote) []record.RuleNote {
	used, has := len(l.notes), len(list)
	if used == cap(l.notes) {
		if has > 0 {
			return append(list, n)
		}
		l.notes, used = make([]record.RuleNote, 0, 128), 0
	}
	if has > 0 && (has > used || &list[0] != &l.notes[used-has]) {
		return append(list, n)
	}
	l.notes = append(l.notes, n)
	return l.notes[used-has : used+1 : used+1]
}

// keyText is a key as people read it. Several rules mostly say the same one.
func (l *lane) keyText(key string) string {
	if len(key) == len(l.key) && (len(key) == 0 || unsafe.StringData(key) == unsafe.StringData(l.key)) {
		return l.read
	}
	if strings.IndexByte(key, '\x1f') < 0 && strings.IndexByte(key, '\\') < 0 {
		return key
	}
	if cap(l.text)-len(l.text) < len(key) {
		l.text = make([]byte, 0, max(4096, len(key)))
	}
	at := len(l.text)
	l.text = correlate.AppendKeyText(l.text, key)
	l.key, l.read = key, unsafe.String(unsafe.SliceData(l.text[at:]), len(l.text)-at)
	return l.read
}

// decision is where something about an event is written: the record's own
// decision where it is about the record's event, or about none; otherwise one
// that says that time made it.
func (l *lane) decision(number uint64) *record.Decision {
	if l.main != nil && (number == none || number == l.mainNumber) {
		return l.main
	}
	if n := len(l.extra); n > 0 && l.extraOf != closed && (number == none || number == l.extraOf || l.extraOf == none) {
		if number != none {
			l.extraOf = number
		}
		return l.extra[n-1].Decision
	}
	due := l.due
	if due == 0 {
		due = l.now
	}
	d := l.newDecision()
	*d = record.Decision{At: l.at, Verdict: record.Decided, Due: unixNano(due), Replay: l.replay, DryRun: l.dryRun}
	l.extra = append(l.extra, record.Record{Kind: record.KindDecision, Decision: d})
	l.extraOf = number
	return d
}

// closed says that nothing more is written into the last of extra.
const closed = 1<<64 - 1

// newDecision makes room for one; they come in blocks, as most live as long as
// their neighbours.
func (l *lane) newDecision() *record.Decision {
	if len(l.slab) == 0 {
		l.slab = make([]record.Decision, 32)
	}
	d := &l.slab[0]
	l.slab = l.slab[1:]
	return d
}
