package syslogmsg

import (
	"strings"
)

// paloAlto reads PAN-OS's comma separated fields: a field for later use, the
// time of receipt, the serial number, the type (SYSTEM, CONFIG, TRAFFIC), the
// subtype, a version, and the time it happened.
func (p *parser) paloAlto(c string) bool {
	if !strings.HasPrefix(c, "1,") {
		return false
	}
	var fields [7]string
	rest := c
	for i := range fields {
		j := strings.IndexByte(rest, ',')
		if j < 0 {
			return false
		}
		fields[i], rest = rest[:j], rest[j+1:]
	}
	if fields[3] == "" || !isPanType(fields[3]) {
		return false
	}
	m := &p.m
	m.Format, m.Tag = PaloAlto, fields[3]
	// This one has a year, the header's has none; both are the device's.
	if st, n := scanTime(fields[6]); n > 0 && m.Version == 0 {
		p.setTime(&st)
	} else if st, n := scanTime(fields[1]); n > 0 && !p.sawTime {
		p.setTime(&st)
	}
	return true
}

func isPanType(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isUpper(s[i]) && !isDigit(s[i]) && s[i] != '-' && s[i] != '_' {
			return false
		}
	}
	return len(s) < 24 && isUpper(s[0])
}

// fortinet reads FortiOS's key=value pairs as far as the header's fields go.
func (p *parser) fortinet(c string) bool {
	if !strings.HasPrefix(c, "date=") && !strings.HasPrefix(c, "timestamp=") && !strings.HasPrefix(c, "logver=") && !strings.HasPrefix(c, "time=") && !strings.HasPrefix(c, "devname=") {
		return false
	}
	var date, clock, tz, name, device, id, kind string
	for rest := c; rest != ""; {
		var k, v string
		k, v, rest = nextPair(rest)
		switch k {
		case "date":
			date = v
		case "time":
			clock = v
		case "tz":
			tz = v
		case "devname":
			name = v
		case "devid":
			device = v
		case "logid":
			id = v
		case "type":
			kind = v
		}
		if id != "" && tz != "" && name != "" && date != "" && clock != "" {
			break
		}
	}
	if id == "" || name == "" && device == "" && kind == "" {
		return false
	}
	m := &p.m
	m.Format, m.Tag = Fortinet, id
	if m.Hostname == "" {
		m.Hostname = name
	}
	p.fortinetTime(date, clock, tz)
	return true
}

// fortinetTime joins date=2026-11-24 time=10:00:00 tz="+0100".
func (p *parser) fortinetTime(date, clock, tz string) {
	d, ok := year(date)
	if !ok || len(date) != 10 || len(clock) != 8 {
		return
	}
	st := stamp{year: d, hasYear: true}
	var i int
	if st.month, i = number(date, 5, 2); i != 7 || st.month < 1 || st.month > 12 {
		return
	}
	if st.scanDay(date, 8) != 10 || st.scanClock(clock, 0) != 8 {
		return
	}
	if tz != "" {
		st.scanZone(tz, 0)
	}
	p.setTime(&st)
}

// nextPair cuts the next key=value or key="value" off s.
func nextPair(s string) (key, value, rest string) {
	s = strings.TrimLeft(s, " ,")
	i := strings.IndexByte(s, '=')
	if i < 0 {
		return "", "", ""
	}
	key, s = s[:i], s[i+1:]
	if strings.HasPrefix(s, `"`) {
		if j := strings.IndexByte(s[1:], '"'); j >= 0 {
			return key, s[1 : j+1], s[j+2:]
		}
	}
	// A space, or a comma where the device is set to CSV.
	if j := strings.IndexAny(s, " ,"); j >= 0 {
		return key, s[:j], s[j+1:]
	}
	return key, s, ""
}
