package record

import (
	"bytes"
	"maps"
	"slices"
	"strings"

	"signalbox/event"
)

// Strings of a decoded batch are parts of its buffer: one that is kept keeps
// all of the batch in memory. The clones below are for what outlives its batch.

// text copies strings into one buffer of its own.
type text struct {
	fields []*string
	size   int
}

// own has s replaced by a copy when copied is called.
func (t *text) own(s *string) {
	t.fields = append(t.fields, s)
	t.size += len(*s)
}

func (t *text) copied() {
	var b strings.Builder
	b.Grow(t.size)
	for _, f := range t.fields {
		b.WriteString(*f)
	}
	all, at := b.String(), 0
	for _, f := range t.fields {
		n := len(*f)
		*f = all[at : at+n]
		at += n
	}
}

// CloneEvent is a deep copy of e: what to keep when the batch is let go.
func CloneEvent(e *event.Event) *event.Event {
	if e == nil {
		return nil
	}
	c := *e
	t := text{fields: make([]*string, 0, 16)}
	t.event(&c)
	t.copied()
	return &c
}

// event makes the parts of c its own that are no strings, and notes those that
// are. c is a shallow copy.
func (t *text) event(c *event.Event) {
	t.own((*string)(&c.ID))
	t.own((*string)(&c.Resubmits))
	for _, s := range []*string{&c.SenderID, &c.Source, &c.Peer, &c.Type, &c.Device, &c.Interface, &c.TraceParent, &c.Mapping} {
		t.own(s)
	}
	c.Data, c.Raw = bytes.Clone(c.Data), bytes.Clone(c.Raw)
	if c.Meta != nil {
		meta := make(map[string]string, len(c.Meta))
		for _, k := range slices.Sorted(maps.Keys(c.Meta)) {
			meta[strings.Clone(k)] = strings.Clone(c.Meta[k])
		}
		c.Meta = meta
	}
	if c.Cause != nil {
		cause := *c.Cause
		t.own(&cause.Run)
		t.own(&cause.Rule)
		t.own((*string)(&cause.Event))
		cause.Rules = slices.Clone(cause.Rules)
		for i := range cause.Rules {
			t.own(&cause.Rules[i])
		}
		c.Cause = &cause
	}
}

// CloneDecision is a deep copy of d without its notes, which no run needs.
func CloneDecision(d *Decision) *Decision {
	c := *d
	c.Notes = nil
	t := text{fields: make([]*string, 0, 16+3*len(d.Runs))}
	t.own((*string)(&c.Of))
	t.own(&c.Reason)
	c.Runs = slices.Clone(d.Runs)
	for i := range c.Runs {
		r := &c.Runs[i]
		t.own(&r.Run)
		t.own(&r.Rule)
		t.own(&r.RuleVersion)
		t.own(&r.Device)
		t.own(&r.Key)
		t.own(&r.Branch)
		t.own(&r.Situation)
		r.As = slices.Clone(r.As)
		for j := range r.As {
			t.own(&r.As[j])
		}
		r.Events = slices.Clone(r.Events)
		for j, ev := range r.Events {
			own := *ev
			r.Events[j] = &own
			t.event(&own)
		}
	}
	c.Situations = slices.Clone(d.Situations)
	for i := range c.Situations {
		s := &c.Situations[i]
		for _, f := range []*string{&s.ID, &s.Rule, &s.Key, &s.Change, &s.State, (*string)(&s.Event), &s.Run, &s.By, &s.Note} {
			t.own(f)
		}
	}
	if d.Event != nil {
		ev := *d.Event
		c.Event = &ev
		t.event(&ev)
	}
	if d.Command != nil {
		cmd := *d.Command
		for _, s := range []*string{&cmd.ID, &cmd.Verb, &cmd.Run, &cmd.By, &cmd.Note} {
			t.own(s)
		}
		cmd.Event = CloneEvent(cmd.Event)
		c.Command = &cmd
	}
	t.copied()
	return &c
}

// CloneJournal is a deep copy of a record of log.journal.
func CloneJournal(r *Record) *Record {
	c := Record{Kind: r.Kind}
	var t text
	if r.Begin != nil {
		b := *r.Begin
		c.Begin = &b
		for _, s := range []*string{&b.Run, &b.Step, &b.Action} {
			t.own(s)
		}
	}
	if r.End != nil {
		e := *r.End
		c.End = &e
		for _, s := range []*string{&e.Run, &e.Step, &e.Error} {
			t.own(s)
		}
		e.Output = bytes.Clone(e.Output)
	}
	if r.RunEnd != nil {
		e := *r.RunEnd
		c.RunEnd = &e
		for _, s := range []*string{&e.Run, &e.Error, &e.By} {
			t.own(s)
		}
	}
	t.copied()
	return &c
}
