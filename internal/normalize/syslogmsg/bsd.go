package syslogmsg

import (
	"net/netip"
	"strings"
)

// maxHeader bounds how many parts a header may have: a relay's time and host,
// two sequence numbers, the device's own host, node, time and process.
const maxHeader = 12

// header reads what stands before the text of any message that is not of RFC
// 5424. Devices and relays put the same few parts in any order, so it takes
// parts for as long as the next is one.
func (p *parser) header() {
	for range maxHeader {
		p.skipFiller()
		if p.i >= len(p.s) || p.s[p.i] == '%' {
			return
		}
		if p.m.AppName != "" {
			// Arista writes "Aaa: 367: %AAA-4-..".
			if n := sequenceLen(p.s[p.i:]); n > 0 && strings.HasPrefix(strings.TrimLeft(p.s[p.i+n:], " "), "%") {
				p.takeSequence(n)
			}
			return
		}
		if p.takeOrigin() {
			continue
		}
		if !p.takeTime() && !p.takeUptime() && !p.takeCounter() && !p.takeNode() && !p.takeTask() && !p.takeWord() {
			return
		}
	}
}

// skipFiller passes over spaces and a colon that stands alone ("<187>: 2026").
func (p *parser) skipFiller() {
	for p.i < len(p.s) {
		switch {
		case p.s[p.i] == ' ':
		case p.s[p.i] == ':' && (p.i+1 == len(p.s) || p.s[p.i+1] == ' ' || p.s[p.i+1] == '%' || p.m.HasPRI && p.s[p.i-1] == '>'):
		default:
			return
		}
		p.i++
	}
}

// takeTime takes a time and its mark. The last one counts: it is the device's,
// the one before it the relay's. But a device that says that its clock is not
// set is not believed where there is another.
func (p *parser) takeTime() bool {
	i := p.i
	mark := p.s[i] == '*' || p.s[i] == '.'
	if mark {
		i++
	}
	st, n := p.timeAt(p.s[i:])
	if n == 0 {
		return false
	}
	p.i = i + n
	if p.timeColon = p.i < len(p.s) && p.s[p.i] == ':'; p.timeColon {
		p.i++
	}
	p.freshTag = p.sawHost
	if mark && p.sawTime {
		p.m.Unsynced = true
		return true
	}
	p.m.Unsynced = mark
	p.setTime(st)
	return true
}

// timeAt is scanTime at s, a tail of the message. Looking ahead and taking ask
// for the same place, one after the other.
func (p *parser) timeAt(s string) (*stamp, int) {
	if p.peekTail != len(s) || len(s) == 0 {
		p.peek, p.peekLen = scanTime(s)
		p.peekTail = len(s)
	}
	return &p.peek, p.peekLen
}

// takeUptime takes the time since start that IOS writes where no clock is
// configured: "00:13:05: ", "2y10w: ".
func (p *parser) takeUptime() bool {
	n := uptimeLen(p.s[p.i:])
	if n == 0 {
		return false
	}
	p.i += n
	p.sawTime = true
	return true
}

func uptimeLen(s string) int {
	i, units, colons := 0, 0, 0
	if len(s) > 0 && (s[0] == '*' || s[0] == '.') {
		i++
	}
	for ; i < len(s) && i < 20; i++ {
		switch c := s[i]; {
		case isDigit(c) || c == '.' && i > 0:
		case (c == 'y' || c == 'w' || c == 'd' || c == 'h' || c == 'm') && i > 0 && isDigit(s[i-1]):
			units++
		case c == ':' && i+1 < len(s) && isDigit(s[i+1]) && i > 0 && isDigit(s[i-1]):
			colons++
		case c == ':' && i+1 < len(s) && s[i+1] == ' ' && (units > 0 && colons == 0 || colons == 2 && units == 0):
			return i + 1
		default:
			return 0
		}
	}
	return 0
}

// takeCounter takes "45: ".
func (p *parser) takeCounter() bool {
	n := sequenceLen(p.s[p.i:])
	if n == 0 {
		return false
	}
	p.takeSequence(n)
	return true
}

func (p *parser) takeSequence(n int) {
	if !p.m.HasSequence {
		p.m.HasSequence = true
		for _, c := range []byte(p.s[p.i : p.i+n-1]) {
			if !isDigit(c) {
				break // a second counter
			}
			p.m.Sequence = p.m.Sequence*10 + uint64(c-'0')
		}
	}
	p.i += n
}

// takeOrigin passes over the structured data that IOS can be told to put before
// its time: `[syslog@9 s_sn="46"]: `.
func (p *parser) takeOrigin() bool {
	if !strings.HasPrefix(p.s[p.i:], "[syslog@9 ") {
		return false
	}
	_, _, end := countElements(p.s, p.i)
	ok := end > p.i
	p.i = end
	return ok
}

// sequenceLen is the length of "45:" or, of two counters, "45 46:" at the start
// of s, or 0.
func sequenceLen(s string) int {
	i := 0
	for i < len(s) && i < 19 && isDigit(s[i]) {
		i++
	}
	if i > 0 && i+1 < len(s) && s[i] == ' ' && isDigit(s[i+1]) {
		for i++; i < len(s) && i < 2*19 && isDigit(s[i]); {
			i++
		}
	}
	if i == 0 || i >= len(s) || s[i] != ':' || i+1 < len(s) && s[i+1] != ' ' && s[i+1] != ':' && s[i+1] != '%' {
		return 0
	}
	return i + 1
}

// takeNode takes the part of an IOS-XR system that speaks:
// "RP/0/RSP0/CPU0:", "LC/0/2/CPU0:", "0/RP0/ADMIN0:".
func (p *parser) takeNode() bool {
	n := nodeLen(p.s[p.i:])
	if n == 0 {
		return false
	}
	p.m.Node = p.s[p.i : p.i+n-1]
	p.i += n
	return true
}

func nodeLen(s string) int {
	slashes := 0
	for i := 0; i < len(s) && i < 32; i++ {
		switch c := s[i]; {
		case isUpper(c) || isDigit(c):
		case c == '/':
			slashes++
		case c == ':' && slashes >= 2:
			last := s[strings.LastIndexByte(s[:i], '/')+1 : i]
			if strings.HasPrefix(last, "CPU") || strings.HasPrefix(last, "ADMIN") {
				return i + 1
			}
			return 0
		default:
			return 0
		}
	}
	return 0
}

// takeTask takes the task that AireOS puts before its time or its tag:
// "*spamApTask1: Nov 24 10:00:00.123: %CAPWAP-3-..". It comes after the host.
func (p *parser) takeTask() bool {
	n := p.taskLen(p.s[p.i:])
	if n == 0 {
		return false
	}
	p.m.AppName, p.m.Format = p.s[p.i+1:p.i+n-1], CiscoIOS
	p.i = spaces(p.s, p.i+n)
	p.takeTime() // what follows a process is not asked for headers
	return true
}

// taskLen is the length of "*spamApTask1:" at the start of s where a time or a
// tag follows it, or 0.
func (p *parser) taskLen(s string) int {
	if s == "" || s[0] != '*' {
		return 0
	}
	n := strings.Index(s[:min(len(s), 64)], ": ")
	if n < 2 || !isName(s[1:n]) {
		return 0
	}
	rest := strings.TrimLeft(s[n+2:], " ")
	if !strings.HasPrefix(rest, "%") {
		if _, k := p.timeAt(rest); k == 0 || !strings.HasPrefix(strings.TrimLeft(rest[k:], ": "), "%") {
			return 0
		}
	}
	return n + 1
}

// takeWord takes a host name or a process name. It returns false where the
// word belongs to the text.
func (p *parser) takeWord() bool {
	s := p.s[p.i:]
	n := strings.IndexByte(s, ' ')
	if n < 0 {
		n = len(s)
	}
	word, rest := s[:n], strings.TrimLeft(s[n:], " ")
	colon, apart := n > 1 && word[n-1] == ':', false
	if colon {
		word = word[:n-1]
	} else if strings.HasPrefix(rest, ": ") {
		colon, apart, rest = true, true, strings.TrimLeft(rest[1:], " ")
	}
	if i := strings.IndexByte(word, '['); i > 0 {
		return p.takeProcess(s, i)
	}
	if !isName(word) {
		return p.takeGlued(s)
	}
	switch {
	case colon && (p.hostBeforeHeader(word, rest) || p.hostBeforeTag(word, rest)):
		p.m.Hostname = word
	case colon && !p.sawHost && (apart || isAddress(word)):
		p.m.Hostname = word
	case colon && p.lateZone(word, rest):
		// "Nov 24 10:00:00 sw1 AEST: %SYS-6-LOGOUT".
	case colon:
		p.m.AppName = strings.TrimPrefix(word, "/")
	case p.sawHost && p.freshTag && strings.HasPrefix(rest, "%"):
		// "<relay's time> <relay> <device's time> <device> %%01IFNET/4/..".
		p.m.Hostname = word
	case p.sawHost && p.nextIsHeader(rest):
		// Something between host and time: a port, a blade. The text has it.
	case p.sawHost && isLineCard(word):
		p.m.AppName, p.m.Format = word, Junos
	case p.sawHost:
		return false
	case p.sawTime && !p.timeColon && rest != "", isAddress(word), rest != "" && rest[0] == '%', p.nextIsHeader(rest), p.secondIsHeader(rest):
		p.m.Hostname = word
	default:
		return false
	}
	p.sawHost = p.sawHost || p.m.Hostname != ""
	p.freshTag = false
	p.i = len(p.s) - len(rest)
	return true
}

// takeProcess takes "rpd[13037]:", the bracket being at i of s.
func (p *parser) takeProcess(s string, i int) bool {
	end := strings.IndexByte(s, ']')
	if end < 0 || end-i > 129 || !isName(s[:i]) {
		return false
	}
	if end+1 < len(s) && s[end+1] != ':' && s[end+1] != ' ' {
		return false
	}
	p.m.AppName, p.m.ProcID = strings.TrimPrefix(s[:i], "/"), s[i+1:end]
	p.i += end + 1
	if end+1 < len(s) && s[end+1] == ':' {
		p.i++
	}
	return true
}

// takeGlued takes a process name whose text follows the colon at once
// ("dhcpd:lease").
func (p *parser) takeGlued(s string) bool {
	i := strings.IndexByte(s, ':')
	if i < 1 || i > 48 || !p.sawTime || !isName(s[:i]) || strings.HasPrefix(s, "CEF:") || strings.HasPrefix(s, "LEEF:") {
		return false
	}
	p.m.AppName = s[:i]
	p.i += i + 1
	return true
}

// hostBeforeHeader tells "sw1: Nov 24 10:00:00: %LINK", where the time shows
// that a host came before it, from "httpd: 2026-11-24 10:00:00 GET /", where
// the time belongs to the text of a process.
func (p *parser) hostBeforeHeader(word, rest string) bool {
	if n := sequenceLen(rest); n > 0 {
		if after := strings.TrimLeft(rest[n:], " "); strings.HasPrefix(after, "%") {
			return p.hostBeforeTag(word, after)
		}
	}
	if !p.nextIsHeader(rest) {
		return false
	}
	if !p.sawHost {
		return true
	}
	rest = strings.TrimLeft(rest, "*.")
	_, n := p.timeAt(rest)
	after := strings.TrimLeft(rest[n:], " ")
	return n == 0 || strings.HasPrefix(after, ":") || strings.HasPrefix(after, "%")
}

// hostBeforeTag tells "sw1: %LINK-3-UPDOWN", where Cisco puts its host, from
// "Ebra: %LINEPROTO-5-UPDOWN", where Arista puts its process.
func (p *parser) hostBeforeTag(word, rest string) bool {
	if p.sawHost || !strings.HasPrefix(rest, "%") {
		return false
	}
	return !p.sawTime || isASA(rest[1:]) || !isAgent(word)
}

// lateZone takes a zone that a relay tore from its time.
func (p *parser) lateZone(word, rest string) bool {
	if !p.sawHost || p.m.HasZone || p.stamp.month == 0 || !strings.HasPrefix(rest, "%") {
		return false
	}
	z, ok := zone(word)
	if ok {
		st := p.stamp
		st.offset, st.offset2, st.hasZone = z.seconds, z.other, true
		p.setTime(&st)
	}
	return ok
}

// isAgent says whether s is written as Arista names its processes: ConfigAgent,
// Rib, AleL3Agent-primary.
func isAgent(s string) bool {
	return len(s) > 1 && isUpper(s[0]) && isLower(s[len(s)-1]) && strings.IndexByte(s, '.') < 0
}

// nextIsHeader says whether a header goes on at s.
func (p *parser) nextIsHeader(s string) bool {
	if s == "" {
		return false
	}
	if n := sequenceLen(s); n > 0 {
		// "host Aaa: 367: %AAA-4-..": the number follows a process.
		return !p.sawHost || !strings.HasPrefix(strings.TrimLeft(s[n:], " "), "%")
	}
	if uptimeLen(s) > 0 || nodeLen(s) > 0 || p.taskLen(s) > 0 {
		return true
	}
	if s[0] == '*' || s[0] == '.' {
		s = s[1:]
	}
	_, n := p.timeAt(s)
	return n > 0
}

// secondIsHeader says whether one word more and then a header follows: console
// servers write "<host> <port> <time>".
func (p *parser) secondIsHeader(s string) bool {
	i := strings.IndexByte(s, ' ')
	return i > 0 && isName(s[:i]) && p.nextIsHeader(strings.TrimLeft(s[i:], " "))
}

// isLineCard says whether s is the name that Junos's line cards log under.
func isLineCard(s string) bool {
	return len(s) >= 4 && len(s) <= 5 && strings.HasPrefix(s, "fpc") && isDigit(s[3])
}

// isName says whether s may name a host or a process.
func isName(s string) bool {
	if s == "" || len(s) > 255 {
		return false
	}
	alnum := false
	for i := 0; i < len(s); i++ {
		if !nameByte[s[i]] {
			return false
		}
		alnum = alnum || s[i] >= '0' && s[i] != ':' && s[i] != '_'
	}
	return alnum
}

// nameByte is true for what names are made of. Addresses have colons, and
// interface-like names slashes.
var nameByte = func() (t [256]bool) {
	for c := 0; c < 256; c++ {
		t[c] = c > ' ' && c != 127 && strings.IndexByte("=,;\"'<>(){}[]|%*!?\\`", byte(c)) < 0
	}
	return t
}()

// isAddress says whether s is an IP address. Cheap where it is not.
func isAddress(s string) bool {
	if len(s) < 2 || !isDigit(s[0]) && strings.IndexByte(s, ':') < 0 {
		return false
	}
	_, err := netip.ParseAddr(s)
	return err == nil
}
