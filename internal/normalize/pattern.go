package normalize

import (
	"fmt"
	"net/netip"
	"strings"
)

// A pattern is compiled into a short program for a backtracking matcher: a
// regular expression engine would do the same several times slower, and its
// syntax is not what an engineer reads. Backtracking is bounded by a budget of
// steps, so no message can make it slow.

type opcode uint8

const (
	opLit    opcode = iota // the text lit
	opSpace                // a run of white space; also nothing at the end
	opWord                 // shortest run without white space
	opText                 // shortest text of at least one byte
	opRest                 // all that is left
	opSkip                 // shortest text, perhaps nothing
	opInt                  // [+-]digits
	opNumber               // [+-]digits[.digits]
	opIP                   // IPv4 or IPv6 address
	opMAC                  // twelve hex digits with separators
	opHex                  // hex digits, perhaps after 0x
	opAlt                  // one of alts
	opSplit                // go on, or else at jump
	opEnd                  // nothing may be left
)

var captureKinds = map[string]opcode{"word": opWord, "text": opText, "rest": opRest,
	"int": opInt, "number": opNumber, "ip": opIP, "mac": opMAC, "hex": opHex}

type inst struct {
	op   opcode
	slot int // capture, -1 for none
	jump int
	lit  string
	alts []string
}

// maxCaptures bounds the names of one mapping, so that captures need no heap.
const maxCaptures = 24

// maxSteps bounds the work on one message and pattern: some 20 µs.
const maxSteps = 4000

type pattern struct {
	src  string
	prog []inst
}

// slots numbers the capture names of one mapping.
type slots struct {
	names []string
	// each leads to the element that `each` stands for; nil without one.
	each []pathStep
}

func (s *slots) find(name string) int {
	for i, n := range s.names {
		if n == name {
			return i
		}
	}
	return -1
}

func (s *slots) add(name string) (int, bool) {
	if i := s.find(name); i >= 0 {
		return i, true
	}
	if len(s.names) == maxCaptures {
		return 0, false
	}
	s.names = append(s.names, name)
	return len(s.names) - 1, true
}

// patternError has the byte offset in the pattern's text.
type patternError struct {
	offset int
	msg    string
}

func (e *patternError) Error() string { return e.msg }

type patternParser struct {
	src   string
	pos   int
	slots *slots
	prog  []inst
	lit   strings.Builder
}

// compilePattern reads the language that packs/mappings/README.md describes.
func compilePattern(src string, s *slots) (*pattern, error) {
	p := &patternParser{src: strings.TrimSpace(src), slots: s}
	if p.src == "" {
		return nil, &patternError{0, "the pattern is empty"}
	}
	if err := p.sequence(0); err != nil {
		return nil, err
	}
	p.emit(inst{op: opEnd})
	return &pattern{src: src, prog: p.prog}, nil
}

func (p *patternParser) fail(at int, format string, args ...any) error {
	return &patternError{at, fmt.Sprintf(format, args...)}
}

func (p *patternParser) flush() {
	if p.lit.Len() > 0 {
		p.prog = append(p.prog, inst{op: opLit, slot: -1, lit: p.lit.String()})
		p.lit.Reset()
	}
}

func (p *patternParser) emit(in inst) int {
	p.flush()
	p.prog = append(p.prog, in)
	return len(p.prog) - 1
}

// sequence reads up to the end, or to the ] that closes depth.
func (p *patternParser) sequence(depth int) error {
	for p.pos < len(p.src) {
		switch c := p.src[p.pos]; {
		case c == '\\':
			if err := p.escape(); err != nil {
				return err
			}
		case c == '{':
			if err := p.capture(); err != nil {
				return err
			}
		case c == '}':
			return p.fail(p.pos, `unexpected "}": write \} for the character itself`)
		case c == '[':
			if err := p.optional(depth); err != nil {
				return err
			}
		case c == ']':
			if depth == 0 {
				return p.fail(p.pos, `unexpected "]": write \] for the character itself`)
			}
			return nil
		case strings.HasPrefix(p.src[p.pos:], "..."):
			p.emit(inst{op: opSkip, slot: -1})
			p.pos += 3
		case c == ' ' || c == '\t' || c == '\n':
			for p.pos < len(p.src) && isBlank(p.src[p.pos]) {
				p.pos++
			}
			p.emit(inst{op: opSpace, slot: -1})
		default:
			p.lit.WriteByte(c)
			p.pos++
		}
	}
	return nil
}

func (p *patternParser) escape() error {
	if rest := p.src[p.pos+1:]; strings.HasPrefix(rest, "...") {
		p.lit.WriteString("...")
		p.pos += 4
		return nil
	} else if rest == "" || !strings.ContainsRune(`{}[]\|:`, rune(rest[0])) {
		return p.fail(p.pos, `unknown escape: after "\" stands one of { } [ ] \ or ...`)
	}
	p.lit.WriteByte(p.src[p.pos+1])
	p.pos += 2
	return nil
}

func (p *patternParser) optional(depth int) error {
	const maxNesting = 8
	at := p.pos
	if depth == maxNesting {
		return p.fail(at, "optional parts are nested deeper than %d", maxNesting)
	}
	p.pos++
	split := p.emit(inst{op: opSplit, slot: -1})
	if err := p.sequence(depth + 1); err != nil {
		return err
	}
	if p.pos >= len(p.src) {
		return p.fail(at, `this "[" has no "]": write \[ for the character itself`)
	}
	p.pos++
	p.flush()
	if len(p.prog) == split+1 {
		return p.fail(at, "an optional part with nothing in it")
	}
	p.prog[split].jump = len(p.prog)
	return nil
}

func (p *patternParser) capture() error {
	at := p.pos
	end := strings.IndexByte(p.src[at:], '}')
	if end < 0 {
		return p.fail(at, `this "{" has no "}": write \{ for the character itself`)
	}
	name, kind, typed := strings.Cut(p.src[at+1:at+end], ":")
	p.pos = at + end + 1
	in := inst{op: opWord, slot: -1}
	if name != "" {
		if !isName(name) {
			return p.fail(at, "%q is no name for a capture: use lower case letters, digits and _", name)
		}
		slot, ok := p.slots.add(name)
		if !ok {
			return p.fail(at, "more than %d names in one mapping", maxCaptures)
		}
		in.slot = slot
	} else if !typed {
		return p.fail(at, "a capture needs a name or a kind, as in {name} or {:word}")
	}
	if typed {
		if one, ok := strings.CutPrefix(kind, "="); ok || strings.Contains(kind, "|") {
			in.op, in.alts = opAlt, strings.Split(one, "|")
			for _, a := range in.alts {
				if a == "" {
					return p.fail(at, "an empty alternative: put [ and ] around what may be missing")
				}
			}
		} else if op, ok := captureKinds[kind]; ok {
			in.op = op
		} else {
			return p.fail(at, "no kind of capture %q%s", kind, suggest(kind, keysOf(captureKinds)))
		}
	}
	p.emit(in)
	return nil
}

func isName(s string) bool {
	for i := range len(s) {
		if c := s[i]; !(c >= 'a' && c <= 'z' || c == '_' || i > 0 && c >= '0' && c <= '9') {
			return false
		}
	}
	return s != ""
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// span is a capture's place in the text; end 0 means that it has no value.
type span struct{ start, end int }

// matcher is one attempt. far and farPC tell how far it came, for Explain.
type matcher struct {
	text  string
	prog  []inst
	caps  *[maxCaptures]span
	steps int
	far   int
	farPC int
}

// match fits p to text from its first to its last byte.
func (p *pattern) match(text string, caps *[maxCaptures]span) bool {
	m := matcher{text: text, prog: p.prog, caps: caps, steps: maxSteps}
	return m.run(0, 0)
}

func (m *matcher) run(pc, pos int) bool {
	for {
		if m.steps--; m.steps < 0 {
			return false
		}
		if pos > m.far || pos == m.far && pc > m.farPC {
			m.far, m.farPC = pos, pc
		}
		in := &m.prog[pc]
		switch in.op {
		case opLit:
			if !strings.HasPrefix(m.text[pos:], in.lit) {
				return false
			}
			pos += len(in.lit)
		case opSpace:
			n := pos
			for n < len(m.text) && isBlank(m.text[n]) {
				n++
			}
			if n == pos && pos < len(m.text) {
				return false
			}
			pos = n
		case opSplit:
			if m.run(pc+1, pos) {
				return true
			}
			pc = in.jump
			continue
		case opEnd:
			return pos == len(m.text)
		default:
			return m.take(pc, pos)
		}
		pc++
	}
}

// take matches an instruction that may take a longer or shorter stretch, and
// what follows it.
func (m *matcher) take(pc, pos int) bool {
	in := &m.prog[pc]
	switch in.op {
	case opWord, opText, opSkip:
		return m.lazy(pc, pos)
	case opRest:
		return m.keep(pc, pos, len(m.text))
	case opInt, opNumber:
		return m.keep(pc, pos, scanNumber(m.text, pos, in.op == opNumber))
	case opMAC:
		return m.keep(pc, pos, scanMAC(m.text, pos))
	case opHex:
		return m.keep(pc, pos, scanHex(m.text, pos))
	case opIP:
		return m.address(pc, pos)
	case opAlt:
		for _, a := range in.alts {
			if end := pos + len(a); end <= len(m.text) && strings.EqualFold(m.text[pos:end], a) && m.keep(pc, pos, end) {
				return true
			}
		}
	}
	return false
}

// keep goes on at end and, if all fits, notes the capture. end <= pos means
// that nothing was found, which only opRest and opSkip allow.
func (m *matcher) keep(pc, pos, end int) bool {
	in := &m.prog[pc]
	if end <= pos && in.op != opRest && in.op != opSkip {
		return false
	}
	if !m.run(pc+1, end) {
		return false
	}
	if in.slot >= 0 && end > pos {
		m.caps[in.slot] = span{pos, end}
	}
	return true
}

// lazy tries ends from the nearest on, skipping to where the next instruction
// can begin.
func (m *matcher) lazy(pc, pos int) bool {
	in, next := &m.prog[pc], &m.prog[pc+1]
	limit := len(m.text)
	if in.op == opWord {
		limit = pos
		for limit < len(m.text) && !isBlank(m.text[limit]) {
			limit++
		}
		if next.op == opSpace || next.op == opEnd {
			return m.keep(pc, pos, limit)
		}
	}
	if next.op == opEnd {
		return m.keep(pc, pos, limit)
	}
	end := pos + 1
	if in.op == opSkip {
		end = pos
	}
	for ; end <= limit; end++ {
		if next.op == opLit {
			n := strings.Index(m.text[end:min(len(m.text), limit+len(next.lit))], next.lit)
			if n < 0 {
				return false
			}
			end += n
		}
		if m.keep(pc, pos, end) {
			return true
		}
		if m.steps < 0 {
			return false
		}
	}
	return false
}

// address takes the longest address; a sentence's full stop or a port behind a
// colon is not part of it.
func (m *matcher) address(pc, pos int) bool {
	const longest = 64 // an IPv6 address with an embedded IPv4 and a zone
	end, colon, dot := pos, false, false
	for end < len(m.text) && end-pos < longest {
		c := m.text[end]
		if c == '%' && colon {
			for end++; end < len(m.text) && end-pos < longest && isZone(m.text[end]); end++ {
			}
			break
		}
		if c == ':' {
			colon = true
		} else if c == '.' {
			dot = true
		} else if !isHexDigit(c) {
			break
		}
		end++
	}
	if !colon && !dot {
		return false
	}
	for ; end >= pos+2; end-- {
		if _, err := netip.ParseAddr(m.text[pos:end]); err == nil && m.keep(pc, pos, end) {
			return true
		}
		if m.steps -= 10; m.steps < 0 {
			return false
		}
	}
	return false
}

func isZone(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || c == '/' || c == '_' || c == '-' || c == '.'
}

func isHexDigit(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f'
}

func scanNumber(s string, pos int, fraction bool) int {
	i := pos
	if i < len(s) && (s[i] == '-' || s[i] == '+') {
		i++
	}
	start := i
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	if i == start {
		return pos
	}
	if fraction && i+1 < len(s) && s[i] == '.' && s[i+1] >= '0' && s[i+1] <= '9' {
		for i++; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
		}
	}
	return i
}

func scanHex(s string, pos int) int {
	i := pos
	if strings.HasPrefix(s[i:], "0x") || strings.HasPrefix(s[i:], "0X") {
		i += 2
	}
	start := i
	for i < len(s) && isHexDigit(s[i]) {
		i++
	}
	if i == start {
		return pos
	}
	return i
}

func scanMAC(s string, pos int) int {
	digits, i := 0, pos
	for i < len(s) && digits < 12 {
		switch c := s[i]; {
		case isHexDigit(c):
			digits++
		case (c == ':' || c == '-' || c == '.') && digits > 0 && digits%2 == 0 && isHexDigit(s[i-1]):
		default:
			return pos
		}
		i++
	}
	if digits < 12 || i < len(s) && isHexDigit(s[i]) {
		return pos
	}
	return i
}
