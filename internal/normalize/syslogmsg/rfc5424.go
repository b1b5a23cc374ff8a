package syslogmsg

import "strings"

// rfc5424 reads the header and structured data of RFC 5424, section 6, and says
// whether the message is of that form at all: a version, and a time or "-".
// Within, it is lenient: a field that is too long or not ASCII is taken as it
// is, and a bad one is told in Why.
func (p *parser) rfc5424() bool {
	j := p.i
	v := 0
	for j < len(p.s) && j-p.i < 3 && isDigit(p.s[j]) {
		v = v*10 + int(p.s[j]-'0')
		j++
	}
	if j == p.i || p.s[p.i] == '0' || j >= len(p.s) || p.s[j] != ' ' {
		return false
	}
	rest := p.s[j+1:]
	nilTime := rest == "-" || strings.HasPrefix(rest, "- ")
	if !nilTime && (len(rest) < 11 || rest[4] != '-' || rest[10] != 'T' || !isDigit(rest[0])) {
		return false
	}
	if nilTime && !p.m.HasPRI {
		return false
	}
	p.i = j + 1
	p.m.Version = uint16(v)
	start := p.i
	if stamp := p.field("TIMESTAMP"); stamp != "" {
		st, n := scanTime(stamp)
		if n != len(stamp) || !st.hasZone {
			p.fail("TIMESTAMP is not one of RFC 3339")
		}
		if n > 0 {
			p.setTime(&st)
		}
	}
	afterTime := p.i
	p.m.Hostname = p.field("HOSTNAME")
	afterHost := p.i
	p.m.AppName = p.field("APP-NAME")
	p.m.ProcID = p.field("PROCID")
	p.m.MsgID = p.field("MSGID")
	p.structuredData()
	if p.why != "" && afterTime > start {
		p.halfHeader(afterTime, afterHost)
	}
	p.m.Content = strings.TrimPrefix(p.s[p.i:], bom)
	p.i = len(p.s) - len(p.m.Content)
	return true
}

// halfHeader mends what some firewalls and relays make: a header of RFC 5424
// that ends after the time ("1 2026-.. mib2d[1484]: SNMP_TRAP_LINK_UP: ..") or
// the host ("1 2026-.. fw1 CEF:0|.."). It is tried only where the message does
// not read as RFC 5424.
func (p *parser) halfHeader(afterTime, afterHost int) {
	m := &p.m
	switch {
	case strings.HasSuffix(m.Hostname, "]:"):
		p.i, m.Hostname = afterTime, ""
	case strings.HasPrefix(m.AppName, "CEF:"), strings.HasPrefix(m.AppName, "LEEF:"), strings.HasPrefix(m.AppName, "1,"):
		p.i = afterHost
	default:
		return
	}
	m.AppName, m.ProcID, m.MsgID, p.why = "", "", "", ""
	if m.Hostname == "" {
		p.takeWord()
	}
	p.skipSpaces()
}

// field takes the next header field; "-" is "".
func (p *parser) field(name string) string {
	if p.i >= len(p.s) {
		p.fail("the header ends before " + name)
		return ""
	}
	j := p.i
	for j < len(p.s) && p.s[j] != ' ' {
		if p.s[j] < '!' || p.s[j] > '~' {
			p.fail(name + " has a byte that is not printable ASCII")
		}
		j++
	}
	f := p.s[p.i:j]
	p.i = min(j+1, len(p.s))
	switch f {
	case "-":
		return ""
	case "":
		p.fail(name + " is empty")
	}
	return f
}

// structuredData takes "-" or the elements, and the space after them.
func (p *parser) structuredData() {
	if p.i >= len(p.s) {
		p.fail("the header ends before STRUCTURED-DATA")
		return
	}
	if p.s[p.i] == '-' {
		if p.i+1 == len(p.s) || p.s[p.i+1] == ' ' {
			p.i = min(p.i+2, len(p.s))
		} else {
			p.fail("STRUCTURED-DATA is neither - nor elements in brackets")
		}
		return
	}
	elements, params, end := countElements(p.s, p.i)
	if elements == 0 {
		p.fail("STRUCTURED-DATA is neither - nor elements in brackets")
		return
	}
	els := make([]Element, 0, elements)
	all := make([]Param, 0, params)
	for i := p.i; i < end; {
		i++ // [
		j := i
		for p.s[j] != ' ' && p.s[j] != ']' {
			j++
		}
		e := Element{ID: p.s[i:j]}
		from := len(all)
		for i = j; p.s[i] == ' '; {
			for p.s[i] == ' ' {
				i++
			}
			if p.s[i] == ']' {
				break
			}
			eq := i + strings.IndexByte(p.s[i:], '=')
			close, escaped := valueEnd(p.s, eq+2)
			value := p.s[eq+2 : close]
			if escaped {
				value = unescape(value)
			}
			all = append(all, Param{p.s[i:eq], value})
			i = close + 1
		}
		e.Params = all[from:len(all):len(all)]
		els = append(els, e)
		i++ // ]
	}
	p.m.StructuredData = els
	p.i = end
	if p.i < len(p.s) {
		if p.s[p.i] == ' ' {
			p.i++
		} else {
			p.fail("no space after STRUCTURED-DATA")
		}
	}
}

// countElements checks the elements that begin at i and counts them and their
// parameters, so that the second pass needs two allocations and no checks. end
// is behind the last good one.
func countElements(s string, i int) (elements, params, end int) {
	end = i
	for i < len(s) && s[i] == '[' {
		j := i + 1
		for j < len(s) && s[j] > ' ' && s[j] != ']' && s[j] != '=' && s[j] != '"' {
			j++
		}
		if j == i+1 || j >= len(s) {
			return
		}
		n := 0
		for j < len(s) && s[j] == ' ' {
			for j < len(s) && s[j] == ' ' {
				j++
			}
			if j < len(s) && s[j] == ']' {
				break // Junos has been seen to end so
			}
			k := j
			for k < len(s) && s[k] > ' ' && s[k] != '=' && s[k] != '"' && s[k] != ']' {
				k++
			}
			if k == j || k+1 >= len(s) || s[k] != '=' || s[k+1] != '"' {
				return
			}
			close, _ := valueEnd(s, k+2)
			if close < 0 {
				return
			}
			j = close + 1
			n++
		}
		if j >= len(s) || s[j] != ']' {
			return
		}
		elements++
		params += n
		i = j + 1
		end = i
	}
	return
}

// valueEnd finds the quote that ends the value beginning at i, or -1.
func valueEnd(s string, i int) (end int, escaped bool) {
	for ; i < len(s); i++ {
		switch s[i] {
		case '"':
			return i, escaped
		case '\\':
			escaped = true
			i++
		}
	}
	return -1, escaped
}

// unescape undoes \" \\ and \]; any other backslash stands for itself (RFC
// 5424, section 6.3.3).
func unescape(s string) string {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\' || s[i+1] == ']') {
			i++
		}
		b = append(b, s[i])
	}
	return string(b)
}
