package capture

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"signalbox/internal/normalize"
	"signalbox/internal/normalize/trap"
	"signalbox/internal/ruletest"
)

// Options says how a test is written.
type Options struct {
	Name  string   // "": made of the times
	From  string   // where the messages are from, for the comment
	Rules []string // what the file's rules: says; none: those of the configuration
	Raw   bool     // messages of the log as their senders wrote them, where that gives the same event
	Notes []string // more for the comment at the top: what was left out
}

// ErrNothing is what Write says where there is nothing to make a test of.
var ErrNothing = errors.New("no messages: a test needs some")

// Write makes a file of tests with one test of the messages. What it expects is
// what the rules of env make of them now.
func Write(msgs []Message, env *ruletest.Env, o Options) ([]byte, error) {
	if len(msgs) == 0 {
		return nil, ErrNothing
	}
	if len(msgs) > MaxMessages {
		return nil, fmt.Errorf("%d messages: a test holds %d; choose a shorter stretch", len(msgs), MaxMessages)
	}
	msgs = slices.Clone(msgs)
	slices.SortStableFunc(msgs, func(a, b Message) int { return a.Time.Compare(b.Time) })
	w := &writer{env: env, o: o, start: msgs[0].Time.UTC().Truncate(time.Millisecond)}
	w.head(msgs)
	w.events(msgs)
	if w.written == 0 {
		return nil, ErrNothing
	}
	f, diags := ruletest.ReadFile("captured", []byte(w.out.String()+"    never: [x]\n"))
	if len(diags) > 0 {
		return nil, fmt.Errorf("what was captured does not read back: %s", diags[0].String())
	}
	came, err := env.Trace(f.Tests[0])
	if err != nil {
		return nil, err
	}
	w.expect(came)
	return w.checked()
}

// checked says that the test reads back and passes: what is written is run as it
// is.
func (w *writer) checked() ([]byte, error) {
	out := []byte(w.out.String())
	f, diags := ruletest.ReadFile("captured", out)
	if len(diags) > 0 {
		return nil, fmt.Errorf("what was captured does not read back: %s", diags[0].String())
	}
	if res := w.env.Run(f.Tests[0]); !res.OK() {
		return nil, fmt.Errorf("what was captured does not come again: %s", res.Failures[0].Message)
	}
	return out, nil
}

type writer struct {
	env     *ruletest.Env
	o       Options
	start   time.Time
	out     strings.Builder
	written int // events
}

func (w *writer) line(format string, args ...any) { fmt.Fprintf(&w.out, format+"\n", args...) }

func (w *writer) head(msgs []Message) {
	last := msgs[len(msgs)-1].Time.UTC()
	w.line("# Captured from %s: %s to %s.", comment(w.o.From), w.start.Format(time.RFC3339), last.Format(time.RFC3339))
	w.line("# What is expected is what the rules did when this was written. Look whether that is")
	w.line("# right, and take out what does not matter, before you rely on it.")
	for _, n := range w.o.Notes {
		w.line("# Left out: %s.", comment(n))
	}
	if len(w.o.Rules) > 0 {
		list := make([]string, len(w.o.Rules))
		for i, r := range w.o.Rules {
			list[i] = scalar(r)
		}
		w.line("rules: [%s]", strings.Join(list, ", "))
	}
	w.line("tests:")
	name := w.o.Name
	if name == "" {
		name = fmt.Sprintf("captured from %s on", w.start.Format(time.RFC3339))
	}
	w.line("  - name: %s", scalar(name))
	w.line("    start: %s", w.start.Format("2006-01-02T15:04:05.999Z07:00"))
	w.line("    exact: true                     # a run that is not expected fails the test")
}

func (w *writer) events(msgs []Message) {
	w.line("    events:")
	for i := range msgs {
		m := &msgs[i]
		at := m.Time.Sub(w.start).Truncate(time.Millisecond)
		text, note := w.event(m)
		if text == "" {
			w.line("      # %s: %s", span(at), comment(note))
			continue
		}
		w.written++
		if note != "" {
			note = "  # " + comment(note)
		}
		w.line("      - {at: %s, %s}%s", span(at), text, note)
	}
}

// event writes what is in the braces of an event, and a comment. The text is ""
// where the message cannot be an event of a test.
func (w *writer) event(m *Message) (text, note string) {
	if m.Event == nil {
		return w.raw(m), w.gives(m)
	}
	if m.Form != "" && len(m.Raw) > 0 && (w.o.Raw || m.Rejected != "") && w.same(m) {
		return w.raw(m), w.gives(m)
	}
	if m.Rejected != "" {
		return "", "an event of " + m.Event.Source + " that was rejected: " + m.Rejected
	}
	return w.typed(m), ""
}

func (w *writer) typed(m *Message) string {
	ev := m.Event
	parts := []string{"type: " + scalar(ev.Type)}
	add := func(key, v string) {
		if v != "" {
			parts = append(parts, key+": "+scalar(v))
		}
	}
	add("device", ev.Device)
	add("interface", ev.Interface)
	add("source", ev.Source)
	add("id", ev.SenderID)
	if !ev.Time.IsZero() {
		if d := ev.Time.Sub(w.start).Truncate(time.Millisecond); d.Abs() < 24*time.Hour {
			parts = append(parts, "time: "+span(d))
		} else {
			parts = append(parts, "time: "+ev.Time.UTC().Format(time.RFC3339Nano))
		}
	}
	if c := ev.Cause; c != nil {
		names := make([]string, len(c.Rules))
		for i, r := range c.Rules {
			names[i] = scalar(r)
		}
		parts = append(parts, "cause: ["+strings.Join(names, ", ")+"]")
	}
	if data := flow(ev.Data); data != "" && data != "{}" {
		parts = append(parts, "data: "+data)
	}
	return strings.Join(parts, ", ")
}

// raw writes a message as its sender wrote it.
func (w *writer) raw(m *Message) string {
	var parts []string
	switch m.Form {
	case normalize.Syslog:
		text := quoted(string(m.Raw))
		if !utf8.Valid(m.Raw) {
			text = "!!binary " + base64.StdEncoding.EncodeToString(m.Raw)
		}
		parts = append(parts, "syslog: "+text)
	case normalize.SNMP:
		parts = append(parts, "trap: "+quoted(hex.EncodeToString(m.Raw)))
	case normalize.Payload:
		body := "source: " + scalar(m.Source)
		if m.Mapping != "" {
			body += ", mapping: " + scalar(m.Mapping)
		}
		return "webhook: {" + body + ", body: " + quoted(string(m.Raw)) + "}"
	}
	parts = append(parts, "peer: "+quoted(m.Peer))
	if m.Source != "" {
		parts = append(parts, "source: "+scalar(m.Source))
	}
	return strings.Join(parts, ", ")
}

// input is the message as its source would hand it on.
func (w *writer) input(m *Message) normalize.Input {
	in := normalize.Input{Source: m.Source, Form: m.Form, Mapping: m.Mapping, Raw: m.Raw, Peer: m.Peer, Received: m.Time}
	if m.Form == normalize.SNMP {
		if t, err := trap.Parse(m.Raw); err == nil {
			in.Parsed = t
		}
	}
	return in
}

// gives says what a raw message becomes, for people.
func (w *writer) gives(m *Message) string {
	res := w.env.Normalizer.Normalize(w.input(m))
	if res.Reject != "" {
		return "rejected: " + res.Reject
	}
	return strings.TrimSpace(res.Event.Type + " " + res.Event.Device + " " + res.Event.Interface)
}

// same says whether the raw bytes of a logged event still give that event.
func (w *writer) same(m *Message) bool {
	res := w.env.Normalizer.Normalize(w.input(m))
	ev := m.Event
	if m.Rejected != "" {
		return res.Reject != ""
	}
	return res.Reject == "" && res.Event.Type == ev.Type && res.Event.Device == ev.Device && res.Event.Interface == ev.Interface &&
		flow(res.Event.Data) == flow(ev.Data)
}

// kept are the notes that a test expects, beside runs and situations.
var kept = []string{"shadow", "duplicate", "loop", "held", "released", "absorbed", "dampened", "upstream", "late", "limited", "full"}

func (w *writer) expect(came []ruletest.Happening) {
	unmatched := 0
	var lines []string
	for i := range came {
		h := &came[i]
		switch {
		case h.Kind == "event":
			if h.Verdict == "unmatched" {
				unmatched++
			}
			if h.Verdict == "duplicate" || h.Verdict == "rejected" {
				lines = append(lines, fmt.Sprintf("at: %s, event: %s", span(h.At), h.Verdict))
			}
		case h.Kind == "run":
			lines = append(lines, run(h))
		case h.Kind == "situation":
			lines = append(lines, fmt.Sprintf("at: %s, situation: %s, rule: %s", span(h.At), h.Situation, scalar(h.Rule))+also("key", h.Key))
		case slices.Contains(kept, h.Kind):
			lines = append(lines, fmt.Sprintf("at: %s, %s: %s", span(h.At), h.Kind, scalar(h.Rule))+also("device", h.Device)+also("interface", h.Interface)+also("key", h.Key))
		}
	}
	if len(lines) > 0 {
		w.line("    expect:")
	}
	for _, l := range lines {
		w.line("      - {%s}", l)
	}
	w.line("    unmatched: %d", unmatched)
}

func also(key, v string) string {
	if v == "" {
		return ""
	}
	return ", " + key + ": " + scalar(v)
}

func run(h *ruletest.Happening) string {
	s := fmt.Sprintf("at: %s, run: %s", span(h.At), scalar(h.Rule)) + also("device", h.Device) + also("interface", h.Interface) + also("key", h.Key)
	if h.Branch != "do" {
		s += ", branch: " + h.Branch
	}
	if h.Events > 1 {
		s += fmt.Sprintf(", events: %d", h.Events)
	}
	return s + also("situation", h.Situation)
}

// span writes a time since the start.
func span(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

var plainScalar = regexp.MustCompile(`^[A-Za-z_/][A-Za-z0-9_./-]*( [A-Za-z0-9_./-]+)*$`)

// scalar writes a text so that YAML reads it as one, quoted only where it must
// be.
func scalar(s string) string {
	switch strings.ToLower(s) {
	case "true", "false", "yes", "no", "on", "off", "null", "y", "n":
		return quoted(s)
	}
	if plainScalar.MatchString(s) {
		return s
	}
	return quoted(s)
}

// quoted writes a text in double quotes, as JSON does: YAML reads the same.
func quoted(s string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if enc.Encode(s) != nil {
		return `""`
	}
	var out strings.Builder
	for _, r := range strings.TrimSuffix(b.String(), "\n") {
		if r >= 0x7f && r < 0xa0 || r == 0xfeff || r == 0xfffe || r == 0xffff {
			fmt.Fprintf(&out, `\u%04x`, r) // which JSON lets stand, and YAML does not
			continue
		}
		out.WriteRune(r)
	}
	return out.String()
}

// flow writes JSON as YAML in flow style, with its keys sorted.
func flow(data []byte) string {
	if len(data) == 0 {
		return ""
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return ""
	}
	var b strings.Builder
	flowValue(&b, v)
	return b.String()
}

func flowValue(b *strings.Builder, v any) {
	switch v := v.(type) {
	case map[string]any:
		b.WriteByte('{')
		for i, k := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(scalar(k) + ": ")
			flowValue(b, v[k])
		}
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		for i, e := range v {
			if i > 0 {
				b.WriteString(", ")
			}
			flowValue(b, e)
		}
		b.WriteByte(']')
	case string:
		b.WriteString(scalar(v))
	case nil:
		b.WriteString("null")
	default:
		fmt.Fprint(b, v)
	}
}

// comment keeps a text on its line.
func comment(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0xfeff {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "·"))
	if len([]rune(s)) > 200 {
		s = string([]rune(s)[:200]) + "…"
	}
	return s
}
