package normalize

import (
	"strings"
	"unicode/utf8"

	"signalbox/internal/normalize/payload"
	"signalbox/internal/schema"
	"signalbox/internal/schema/scan"
)

// maxMessage bounds the copy of a message's text in the data of a mapped
// event; Raw has all of it.
const maxMessage = 1024

// apply tries the mapping on the message and, where it fits, fills the event.
// why is only worked out while somebody listens.
func (mp *mapping) apply(n *Normalizer, m *message, res *Result) (ok bool, why string) {
	if mp.form != m.in.Form {
		return false, "is for the form " + string(mp.form)
	}
	m.caps = [maxCaptures]span{}
	m.text = ""
	if ok, why = mp.fits(m); !ok {
		return false, why
	}
	typ := mp.typ.get(m)
	name := typ.plain()
	if !typ.ok || name == "" {
		return false, "its table of types has no entry for this message"
	}
	how, ok := mp.plans[name]
	if !ok {
		how = mp.plan(name, n.cat)
	}
	ev := &res.Event
	ev.Type = name
	if mp.dev != nil {
		if g := mp.dev.get(m); g.ok {
			ev.Device = clean(g.plain())
		}
	}
	if mp.ifc != nil {
		if g := mp.ifc.get(m); g.ok {
			ev.Interface = clean(g.plain())
		}
	}
	// What the element is called goes before what the message around it is
	// called: that is new when a sender repeats itself.
	if mp.sender != nil && (ev.SenderID == "" || mp.each != nil) {
		if g := mp.sender.get(m); g.ok {
			ev.SenderID = clean(g.plain())
		}
	}
	if mp.time != nil {
		if g := mp.time.get(m); g.ok {
			ev.Time, _ = parseTime(g)
		}
	}
	ev.Data = m.writeData(&how)
	return true, ""
}

func (mp *mapping) fits(m *message) (ok bool, why string) {
	if mp.each != nil && !payload.HasList(m.body, mp.each) {
		return false, "the message has no list " + mp.eachSrc + ", or an empty one"
	}
	switch {
	case mp.matchOn != nil:
		g := m.get(mp.matchOn)
		if !g.ok {
			return false, "the message has no " + mp.matchOn.src
		}
		m.text = strings.TrimSpace(g.plain())
	case m.sys != nil:
		m.text = strings.TrimSpace(m.sys.Text)
	}
	if mp.regexp != nil {
		if !mp.fitsRegexp(m) {
			return false, "its regexp does not match"
		}
	} else if len(mp.patterns) > 0 && !mp.fitsPattern(m) {
		if m.trace == nil {
			return false, ""
		}
		return false, mp.explainPatterns(m.text)
	}
	if len(mp.when) == 0 {
		return true, ""
	}
	for _, all := range mp.when {
		fits := true
		for i := range all {
			if !all[i].holds(m) {
				fits, why = false, "its condition on "+all[i].ref.src+" does not hold"
				break
			}
		}
		if fits {
			return true, ""
		}
	}
	return false, why
}

func (mp *mapping) fitsPattern(m *message) bool {
	for _, p := range mp.patterns {
		if p.match(m.text, &m.caps) {
			return true
		}
	}
	return false
}

func (mp *mapping) fitsRegexp(m *message) bool {
	at := mp.regexp.FindStringSubmatchIndex(m.text)
	if at == nil {
		return false
	}
	for group, slot := range mp.reSlots {
		if slot >= 0 && at[2*group] >= 0 && at[2*group+1] > at[2*group] {
			m.caps[slot] = span{at[2*group], at[2*group+1]}
		}
	}
	return true
}

func (m *message) writeData(how *plan) []byte {
	b := append(m.out[:0], '{')
	for i := range how.fields {
		p := &how.fields[i]
		g := p.val.get(m)
		if !g.ok {
			continue
		}
		before := len(b)
		if before > 1 {
			b = append(b, ',')
		}
		var ok bool
		if b, ok = appendField(b, p.key, p.field, g); !ok {
			b = b[:before]
		}
	}
	if m.sys != nil && how.message {
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(b, `"message":`...)
		b = scan.AppendString(b, shorten(m.sys.Text, maxMessage))
	}
	m.out = append(b, '}')
	return append(make([]byte, 0, len(m.out)), m.out...)
}

// shorten cuts s to at most most bytes, not inside a character, and takes white
// space at its ends off.
func shorten(s string, most int) string {
	s = strings.TrimSpace(s)
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most] + "…"
}

// clean makes a foreign text fit for the envelope: no control characters, valid
// UTF-8, not too long. Raw keeps what it was.
func clean(s string) string {
	const longest = schema.MaxName
	plain := len(s) <= longest
	for i := 0; plain && i < len(s); i++ {
		plain = s[i] >= ' ' && s[i] < 0x7f
	}
	if !plain {
		s = strings.ToValidUTF8(s, "\ufffd")
		s = strings.Map(func(r rune) rune {
			if r < ' ' || r >= 0x7f && r < 0xa0 {
				return -1
			}
			return r
		}, s)
		for len(s) > longest {
			_, size := utf8.DecodeLastRuneInString(s)
			s = s[:len(s)-size]
		}
	}
	return strings.TrimSpace(s)
}

// explainPatterns says how far each pattern came.
func (mp *mapping) explainPatterns(text string) string {
	var b strings.Builder
	for i, p := range mp.patterns {
		if i > 0 {
			b.WriteString("; ")
		}
		var caps [maxCaptures]span
		m := matcher{text: text, prog: p.prog, caps: &caps, steps: maxSteps}
		m.run(0, 0)
		b.WriteString("expected ")
		b.WriteString(p.prog[m.farPC].describe())
		b.WriteString(" after ")
		b.WriteString(quoteEnd(text[:m.far]))
		if m.steps < 0 {
			b.WriteString(" (gave up: too many ways to match)")
		}
	}
	return b.String()
}

func quoteEnd(s string) string {
	const most = 40
	if len(s) > most {
		s = "…" + strings.ToValidUTF8(s[len(s)-most:], "")
	}
	return string(scan.AppendString(nil, s))
}

func (in *inst) describe() string {
	switch in.op {
	case opLit:
		return string(scan.AppendString(nil, in.lit))
	case opSpace:
		return "a space"
	case opEnd:
		return "the end"
	case opAlt:
		return "one of " + strings.Join(in.alts, "|")
	}
	for name, op := range captureKinds {
		if op == in.op {
			return "{:" + name + "}"
		}
	}
	return "more"
}
