package normalize

import (
	"bytes"
	"strconv"
	"strings"

	"signalbox/event"
	"signalbox/internal/normalize/syslogmsg"
	"signalbox/internal/schema/scan"
)

var severities = [...]string{"emergency", "alert", "critical", "error", "warning", "notice", "informational", "debug"}

// facilities of RFC 5424, section 6.2.1, by the names that syslogd uses.
var facilities = [...]string{"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron",
	"authpriv", "ftp", "ntp", "audit", "alert", "clock",
	"local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"}

func nameOf(names []string, i int8) string {
	if i < 0 || int(i) >= len(names) {
		return ""
	}
	return names[i]
}

func (n *Normalizer) syslog(m *message, res *Result) {
	if p, ok := m.in.Parsed.(*syslogmsg.Message); ok && p != nil {
		m.sys = p
	} else {
		m.sysBuf = syslogmsg.Parse(m.in.Raw, m.in.Received)
		m.sys = &m.sysBuf
	}
	res.Event.Time = m.sys.Timestamp
	res.Unparsed = m.sys.Unparsed
	if !n.findSyslog(m, res) {
		res.Why = whySyslog(m.sys)
		res.Event.Type = "syslog_message"
		res.Event.Data = m.syslogData()
	}
	n.nameDevice(&res.Event, m.sys.Hostname, host(m.in.Peer))
}

// nameDevice gives the event its device: what the mapping said, else the name
// or address in the message, else where it came from; and of that the
// inventory's name.
func (n *Normalizer) nameDevice(ev *event.Event, hostname, addr string) {
	if ev.Device != "" {
		hostname, addr = ev.Device, ""
	} else {
		hostname = clean(hostname)
	}
	if n.devices != nil {
		if name := n.devices.Device(hostname, addr); name != "" {
			ev.Device = clean(name)
			return
		}
	}
	if ev.Device = hostname; hostname == "" {
		ev.Device = clean(addr)
	}
}

// findSyslog looks the message up by its tag, its program and the other keys,
// in the users' mappings first.
func (n *Normalizer) findSyslog(m *message, res *Result) bool {
	var buf [maxTag]byte
	key := tagKey(buf[:0], m.sys.Tag)
	for _, l := range n.layers {
		if len(key) > 0 && n.tryAll(l.tags[string(key)], m, res) {
			return true
		}
		for i := range l.prefixes {
			if p := &l.prefixes[i]; bytes.HasPrefix(key, p.prefix) && n.tryAll(p.mappings, m, res) {
				return true
			}
		}
		if m.sys.AppName != "" && n.tryAll(l.apps[m.sys.AppName], m, res) {
			return true
		}
		if len(l.words) > 0 && n.tryAll(l.words[firstWord(m.sys.Text)], m, res) {
			return true
		}
		for i := range l.keys {
			k := &l.keys[i]
			if g := m.get(&k.ref); g.ok && n.tryAll(k.values[g.plain()], m, res) {
				return true
			}
		}
	}
	return false
}

// firstWord is the text up to its first space or colon.
func firstWord(s string) string {
	s = strings.TrimLeft(s, " ")
	if i := strings.IndexAny(s, " :\t"); i >= 0 {
		return s[:i]
	}
	return s
}

func whySyslog(s *syslogmsg.Message) string {
	switch {
	case s.Tag != "":
		return "no mapping takes the tag " + quoteEnd(s.Tag)
	case s.AppName != "":
		return "the message has no tag, and no mapping takes the program " + quoteEnd(s.AppName)
	}
	return "the message has neither a tag nor a program to look up"
}

// syslogData keeps a message that no mapping takes as it came.
func (m *message) syslogData() []byte {
	s := m.sys
	b := append(m.out[:0], `{"message":`...)
	b = scan.AppendString(b, s.Text)
	text := func(name, val string) {
		if val != "" {
			b = append(append(append(b, `,"`...), name...), `":`...)
			b = scan.AppendString(b, val)
		}
	}
	text("tag", s.Tag)
	text("app_name", s.AppName)
	text("proc_id", s.ProcID)
	text("msg_id", s.MsgID)
	text("hostname", s.Hostname)
	text("severity", nameOf(severities[:], s.Severity))
	text("facility", nameOf(facilities[:], s.Facility))
	if len(s.StructuredData) > 0 {
		b = append(b, `,"structured_data":`...)
		b = appendStructured(b, s.StructuredData)
	}
	m.out = append(b, '}')
	return append(make([]byte, 0, len(m.out)), m.out...)
}

// appendStructured writes the elements; of a parameter that comes twice in one
// element, which RFC 5424 allows, the first is kept, and so with elements.
func appendStructured(b []byte, elems []syslogmsg.Element) []byte {
	b = append(b, '{')
	for i := range elems {
		if i > 0 && hasElement(elems[:i], elems[i].ID) {
			continue
		}
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		b = append(scan.AppendString(b, elems[i].ID), ':', '{')
		for j, p := range elems[i].Params {
			if hasParam(elems[i].Params[:j], p.Name) {
				continue
			}
			if b[len(b)-1] != '{' {
				b = append(b, ',')
			}
			b = append(scan.AppendString(b, p.Name), ':')
			b = scan.AppendString(b, p.Value)
		}
		b = append(b, '}')
	}
	return append(b, '}')
}

func hasElement(es []syslogmsg.Element, id string) bool {
	for i := range es {
		if es[i].ID == id {
			return true
		}
	}
	return false
}

func hasParam(ps []syslogmsg.Param, name string) bool {
	for i := range ps {
		if ps[i].Name == name {
			return true
		}
	}
	return false
}

func (m *message) msgPart(name string) string {
	s := m.sys
	if s == nil {
		return ""
	}
	switch name {
	case "hostname":
		return s.Hostname
	case "app_name":
		return s.AppName
	case "proc_id":
		return s.ProcID
	case "msg_id":
		return s.MsgID
	case "tag":
		return s.Tag
	case "text":
		return s.Text
	case "content":
		return s.Content
	case "node":
		return s.Node
	case "format":
		return string(s.Format)
	case "severity":
		return nameOf(severities[:], s.Severity)
	case "facility":
		return nameOf(facilities[:], s.Facility)
	case "sequence":
		if s.HasSequence {
			return strconv.FormatUint(s.Sequence, 10)
		}
	}
	return ""
}

func (m *message) sdParam(name string) string {
	if m.sys == nil {
		return ""
	}
	v, _ := m.sys.Param("", name)
	return v
}

// fullText is what fields and columns are read from: the message after its
// header, its tag included, since the tag may be one of them.
func (m *message) fullText() string {
	if m.sys == nil {
		return m.text
	}
	return m.sys.Content
}
