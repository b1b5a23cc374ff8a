package ruletest

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// maxTimeline bounds the lines of a timeline: the first and the last half of it
// are shown.
const maxTimeline = 200

// text names a happening.
func (h *Happening) text() string {
	var b strings.Builder
	switch h.Kind {
	case "event":
		fmt.Fprintf(&b, "event %d %s", h.Number, h.Verdict)
		return b.String()
	case "situation":
		fmt.Fprintf(&b, "situation of %s %s", h.Rule, h.Situation)
	default:
		fmt.Fprintf(&b, "%s %s", h.Kind, h.Rule)
	}
	if h.Device != "" && h.Kind == "run" {
		b.WriteString(" " + h.Device)
		if h.Interface != "" {
			b.WriteString(" " + h.Interface)
		}
	}
	if h.Key != "" {
		fmt.Fprintf(&b, " [%s]", h.Key)
	}
	if h.Kind == "run" {
		if h.Branch != "do" {
			fmt.Fprintf(&b, ", %s", h.Branch)
		}
		if h.Events > 1 {
			fmt.Fprintf(&b, ", %d events", h.Events)
		}
		if h.Situation != "" {
			fmt.Fprintf(&b, ", situation %s", h.Situation)
		}
	}
	return b.String()
}

// note is what a rule did, in the engine's words.
func (h *Happening) note() string {
	if h.Detail == "" {
		return h.Kind
	}
	return h.Kind + ", " + h.Detail
}

// text names what is expected.
func (x *Expectation) text() string {
	var b strings.Builder
	switch x.Kind {
	case "event":
		fmt.Fprintf(&b, "an event %s", x.Verdict)
	case "situation":
		fmt.Fprintf(&b, "situation of %s %s", x.Rule, *x.Situation)
	default:
		fmt.Fprintf(&b, "%s %s", x.Kind, x.Rule)
	}
	for _, f := range []struct {
		name string
		v    *string
	}{{"", x.Device}, {"", x.Interface}, {"key", x.Key}} {
		if f.v != nil {
			b.WriteString(" " + strings.TrimSpace(f.name+" "+*f.v))
		}
	}
	if x.Branch != nil {
		b.WriteString(", " + *x.Branch)
	}
	if x.Events != nil {
		fmt.Fprintf(&b, ", %d events", *x.Events)
	}
	if x.Situation != nil && x.Kind == "run" {
		b.WriteString(", situation " + *x.Situation)
	}
	if x.At != nil {
		b.WriteString(" at " + span(*x.At))
	}
	return b.String()
}

// line is one line of a timeline.
type line struct {
	at   time.Duration
	rank int // within one time: events, what rules did, what is missing
	mark string
	text string
}

// timeline tells what happened. Repetitions of one line are counted.
func (t *trial) timeline(missing []wanted) string {
	under := t.test.under(t.env.Set)
	var lines []line
	for i := range t.out {
		if l, ok := t.lineOf(&t.out[i], under); ok {
			lines = append(lines, l)
		}
	}
	end := time.Duration(0)
	for _, l := range lines {
		end = max(end, l.at)
	}
	for _, w := range missing {
		at := end
		if w.x.At != nil {
			at = *w.x.At
		}
		text := fmt.Sprintf("%s   (%s:%d)", w.x.text(), w.x.Pos.File, w.x.Pos.Line)
		lines = append(lines, line{at, 2, "-", text})
	}
	slices.SortStableFunc(lines, func(a, b line) int { return int(min(max(a.at-b.at, -1), 1)) })
	return render(lines)
}

// lineOf tells one happening. What rules that are not under test did is told
// too, since it is often why.
func (t *trial) lineOf(h *Happening, under map[string]bool) (line, bool) {
	switch h.Kind {
	case "event":
		ev := t.events[h.Number-1].ev
		text := fmt.Sprintf("event %d: %s", h.Number, strings.Join(nonEmpty(ev.Type, ev.Device, ev.Interface), " "))
		if by := t.events[h.Number-1].by; by != "" {
			text += ", emitted by " + by
		}
		text += ": " + h.Verdict
		if h.Detail != "" {
			text += ", " + h.Detail
		}
		return line{h.At, 0, " ", text}, true
	case "run", "shadow":
		mark := " "
		switch {
		case h.taken:
			mark = "="
		case under[h.Rule]:
			mark = "+"
		}
		return line{h.At, 1, mark, "  " + h.text()}, true
	case "situation":
		return line{h.At, 1, " ", "  " + h.text()}, true
	}
	text := "  " + h.Rule + ": " + h.note()
	if h.Key != "" {
		text = "  " + h.Rule + " [" + h.Key + "]: " + h.note()
	}
	return line{h.At, 1, " ", text}, true
}

func nonEmpty(list ...string) []string {
	return slices.DeleteFunc(list, func(s string) bool { return s == "" })
}

func render(lines []line) string {
	var b strings.Builder
	width := 0
	for _, l := range lines {
		width = max(width, len(span(l.at)))
	}
	skipFrom, skipTo := len(lines), len(lines)
	if len(lines) > maxTimeline {
		skipFrom, skipTo = maxTimeline/2, len(lines)-maxTimeline/2
	}
	for i := 0; i < len(lines); i++ {
		if i == skipFrom {
			fmt.Fprintf(&b, "  … %d lines\n", skipTo-skipFrom)
			i = skipTo
		}
		l := lines[i]
		fmt.Fprintf(&b, "%s %*s  %s\n", l.mark, width, span(l.at), printable(l.text))
	}
	return b.String()
}

// printable keeps what came from the network from playing tricks with a
// terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '·'
		}
		return r
	}, s)
}
