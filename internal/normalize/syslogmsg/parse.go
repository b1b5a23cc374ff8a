package syslogmsg

import (
	"strings"
	"time"
	"unsafe"
)

const bom = "\xef\xbb\xbf"

// parser walks over one message. s is all of it, i where it is.
type parser struct {
	s   string
	i   int
	m   Message
	ref time.Time

	stamp     stamp // the last time
	peek      stamp // what timeAt found peekTail bytes before the end
	peekLen   int
	peekTail  int
	sawTime   bool // a time of any kind, "3w2d" too
	timeColon bool // a colon ended it, so that no host follows
	sawHost   bool
	freshTag  bool // a second time came after the host: a second host may follow
	yearLead  bool // NX-OS: the year stood before the month
	spacedXR  bool // XR writes " :" after its tag
	why       string
}

// Parse reads one message that was received at the given time. It never fails
// and never panics. The Message's strings alias raw, which must not be changed
// any more.
func Parse(raw []byte, received time.Time) Message {
	s := trim(unsafe.String(unsafe.SliceData(raw), len(raw)))
	p := parser{s: s, ref: received}
	m := &p.m
	m.Facility, m.Severity, m.Full = -1, -1, s
	p.pri()
	if p.rfc5424() {
		p.tag5424()
	} else {
		p.header()
		m.Content = p.s[p.i:]
		p.takeTag()
		if p.why == "" && m.Timestamp.IsZero() && !p.sawTime && m.Tag == "" && m.AppName == "" && m.Format == Unknown {
			p.why = "no time, tag or process name"
		}
	}
	if s == "" {
		p.why = "empty"
	}
	m.Unparsed, m.Why = p.why != "", p.why
	return p.m
}

// trim takes off what senders leave around a message.
func trim(s string) string {
	s = strings.TrimPrefix(s, bom)
	for len(s) > 0 {
		switch s[len(s)-1] {
		case 0, '\r', '\n':
			s = s[:len(s)-1]
			continue
		}
		break
	}
	for len(s) > 0 && (s[0] == ' ' || s[0] == '\n' || s[0] == '\r' || s[0] == 0) {
		s = s[1:]
	}
	return s
}

// pri reads "<189>".
func (p *parser) pri() {
	if !strings.HasPrefix(p.s, "<") {
		return
	}
	n, j := 0, 1
	for j < len(p.s) && j <= 4 && isDigit(p.s[j]) {
		n = n*10 + int(p.s[j]-'0')
		j++
	}
	if j == 1 || j >= len(p.s) || p.s[j] != '>' {
		p.fail("the priority is no number between < and >")
		return
	}
	p.i = j + 1
	if n > 191 {
		p.fail("the priority is above 191")
		return
	}
	p.m.HasPRI, p.m.Facility, p.m.Severity = true, int8(n>>3), int8(n&7)
	// Some relays put the byte order mark here.
	if strings.HasPrefix(p.s[p.i:], bom) {
		p.i += len(bom)
	}
}

// fail notes the first thing that made no sense.
func (p *parser) fail(why string) {
	if p.why == "" {
		p.why = why
	}
}

func (p *parser) skipSpaces() {
	for p.i < len(p.s) && p.s[p.i] == ' ' {
		p.i++
	}
}

func isDigit(c byte) bool { return c-'0' <= 9 }
func isUpper(c byte) bool { return c-'A' <= 25 }
func isLower(c byte) bool { return c-'a' <= 25 }
