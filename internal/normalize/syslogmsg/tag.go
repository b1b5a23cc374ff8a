package syslogmsg

import "strings"

// tag5424 finds the tag of an RFC 5424 message: in its text where one is
// written there, otherwise its MSGID.
func (p *parser) tag5424() {
	m := &p.m
	// Junos repeats the host before its text where it has no process.
	if h := m.Hostname; h != "" && len(m.Content) > len(h) && m.Content[len(h)] == ' ' && strings.HasPrefix(m.Content, h) {
		p.i += len(h) + 1
	}
	p.takeTag()
	if isJunosTag(m.MsgID) && m.Tag != m.MsgID && !strings.HasPrefix(m.Content, "%") {
		m.Tag, m.Text = m.MsgID, m.Content
	}
	if m.Format == Unknown && (m.Tag != "" && m.Tag == m.MsgID || hasJunosData(m.StructuredData)) {
		m.Format = Junos
	}
}

func hasJunosData(els []Element) bool {
	return len(els) > 0 && strings.HasPrefix(els[0].ID, "junos@")
}

// takeTag finds the tag at p.i and sets Tag, Text and Format.
func (p *parser) takeTag() {
	p.skipSpaces()
	m := &p.m
	c := p.s[p.i:]
	m.Text = c
	if frrDaemons[m.AppName] {
		m.Format = FRR
		c = skipFRRCodes(c)
		m.Text = c
	}
	if c == "" {
		return
	}
	switch {
	case c[0] == '%':
		p.percentTag(c)
	case isLineCard(m.AppName):
		p.lineCardTag(c)
	case c[0] == '1' && p.paloAlto(c):
	case (c[0] == 'd' || c[0] == 't' || c[0] == 'l') && p.fortinet(c):
	case c[0] == 'C' && strings.HasPrefix(c, "CEF:"):
		m.Format = CEF
	case c[0] == 'L' && strings.HasPrefix(c, "LEEF:"):
		m.Format = LEEF
	case isUpper(c[0]):
		p.bareTag(c)
	case isLower(c[0]) && junosDaemons[m.AppName]:
		p.junosFunction(c)
	}
	if m.Format == Unknown && junosDaemons[m.AppName] && m.ProcID != "" {
		m.Format = Junos
	}
	if m.Tag == "" && m.Format == Unknown && m.ProcID == "" && c[0] != '%' {
		p.lateTag(c)
	}
	if m.Format == Junos && len(m.Hostname) > 4 && (m.Hostname[:3] == "re0" || m.Hostname[:3] == "re1") && (m.Hostname[3] == '.' || m.Hostname[3] == '-') {
		// The routing engine is part of the device, not another device.
		m.Node, m.Hostname = m.Hostname[:3], m.Hostname[4:]
	}
}

// percentTag reads a tag with the sign in front, at the start of c.
func (p *parser) percentTag(c string) {
	m := &p.m
	if strings.HasPrefix(c, "%%") {
		p.huaweiTag(c)
		return
	}
	// NX-OS names its virtual device: "%$VDC-1$ %ETHPORT-5-IF_UP".
	if strings.HasPrefix(c, "%$") {
		if i := strings.IndexByte(c[2:], '$'); i > 0 && strings.HasPrefix(strings.TrimLeft(c[i+3:], " "), "%") {
			c = strings.TrimLeft(c[i+3:], " ")
			m.Format = NXOS
		}
	}
	n := tagLen(c[1:])
	if n == 0 {
		return
	}
	tag, rest := c[1:1+n], c[1+n:]
	text := strings.TrimLeft(rest, " ")
	colon := strings.HasPrefix(text, ":")
	p.spacedXR = colon && rest[0] == ' '
	facility, severity, mnemonic, ok := SplitTag(tag)
	if !ok && !(colon && m.Format == FRR) && !(colon && isJunosTag(tag)) {
		return
	}
	if colon {
		text = strings.TrimLeft(text[1:], " ")
	}
	m.Tag, m.Text = tag, text
	if !ok {
		return
	}
	if m.Severity < 0 {
		m.Severity = severity
	}
	p.guessCisco(facility, mnemonic)
}

// farTag is how far into the text a tag is looked for.
const farTag = 200

// lateTag finds a tag of Cisco's form behind a header that is not understood.
func (p *parser) lateTag(c string) {
	i := strings.Index(c[:min(len(c), farTag)], ": %")
	if i < 0 {
		return
	}
	tail := c[i+2:]
	n := tagLen(tail[1:])
	if _, _, _, ok := SplitTag(tail[1 : 1+n]); !ok || !strings.HasPrefix(strings.TrimLeft(tail[1+n:], " "), ":") {
		return
	}
	m := &p.m
	if m.Hostname == "" && !p.sawTime {
		m.Hostname, m.AppName = m.AppName, ""
	}
	p.percentTag(tail)
	if m.Format == EOS {
		m.Format = CiscoIOS
	}
}

// guessCisco tells the systems apart that write %FACILITY-SEVERITY-MNEMONIC.
func (p *parser) guessCisco(facility, mnemonic string) {
	m := &p.m
	switch {
	case isASA(m.Tag):
		// The class in %ASA-session-6-302013 comes and goes with the
		// configuration, and the four products number alike.
		m.Format = ASA
		if m.Tag[3] != '-' || m.Tag[:3] != "ASA" || len(facility) > 3 {
			m.Tag = "ASA-" + m.Tag[len(facility)+1:]
		}
	case junosFacilities[facility] && m.ProcID != "" && isJunosTag(mnemonic) && mnemonic != "SYSTEM_MSG":
		m.Format, m.Tag = Junos, mnemonic
	case m.Format != Unknown:
	case m.Node != "" || p.spacedXR && m.ProcID != "":
		m.Format = IOSXR
	case p.yearLead, nxosFacilities[facility]:
		m.Format = NXOS
	case m.AppName != "" && m.ProcID == "":
		m.Format = EOS
	default:
		m.Format = CiscoIOS
	}
}

func isASA(tag string) bool {
	switch {
	case len(tag) < 6:
		return false
	case strings.HasPrefix(tag, "ASA-"), strings.HasPrefix(tag, "FTD-"), strings.HasPrefix(tag, "PIX-"):
		return isNumber(tag[strings.LastIndexByte(tagOnly(tag), '-')+1:])
	}
	return strings.HasPrefix(tag, "FWSM-")
}

// tagOnly cuts what follows a tag.
func tagOnly(s string) string { return s[:tagLen(s)] }

// isNumber says whether s begins with the digits of a message number.
func isNumber(s string) bool { return len(s) >= 5 && isDigit(s[0]) && isDigit(s[4]) }

// tagLen is how many bytes of s can be a tag.
func tagLen(s string) int {
	i := 0
	for i < len(s) && i < 128 && (isUpper(s[i]) || isDigit(s[i]) || isLower(s[i]) || s[i] == '_' || s[i] == '-' || s[i] == '/' || s[i] == '.' || s[i] == '$') {
		i++
	}
	return i
}

// huaweiTag reads "%%01IFNET/4/LINK_STATE(l)[55]:text" (Huawei's VRP) and
// "%%10IFNET/3/LINK_UPDOWN(l): text" (H3C's Comware).
func (p *parser) huaweiTag(c string) {
	m := &p.m
	if len(c) < 5 || !isDigit(c[2]) || !isDigit(c[3]) {
		return
	}
	body := c[4:]
	n := tagLen(body)
	tag, rest := body[:n], body[n:]
	i := slashedTag(tag)
	if i == 0 {
		return
	}
	m.Format = HuaweiVRP
	if c[2:4] == "10" {
		m.Format = Comware
	}
	m.Tag = tag
	if m.Severity < 0 {
		m.Severity = int8(tag[i+1]-'0') & 7
	}
	if strings.HasPrefix(rest, "(") {
		if j := strings.IndexByte(rest, ')'); j > 0 && j < 8 {
			rest = rest[j+1:]
		}
	}
	if strings.HasPrefix(rest, "[") {
		if j := strings.IndexByte(rest, ']'); j > 0 && j < 24 {
			p.bracketSequence(rest[1:j])
			rest = rest[j+1:]
		}
	}
	m.Text = strings.TrimLeft(strings.TrimPrefix(strings.TrimLeft(rest, " "), ":"), " ")
}

// slashedTag says where the first stroke of MODULE/4/MNEMONIC is, 0 for no such tag.
func slashedTag(tag string) int {
	i := strings.IndexByte(tag, '/')
	if i < 1 || i+3 >= len(tag) || !isDigit(tag[i+1]) || tag[i+2] != '/' {
		return 0
	}
	return i
}

func (p *parser) bracketSequence(s string) {
	if p.m.HasSequence || s == "" || len(s) > 19 {
		return
	}
	var v uint64
	for _, c := range []byte(s) {
		if !isDigit(c) {
			return
		}
		v = v*10 + uint64(c-'0')
	}
	p.m.Sequence, p.m.HasSequence = v, true
}

// bareTag reads a tag with no sign before it: Junos's SNMP_TRAP_LINK_DOWN, or
// a Cisco one that lost its sign on the way.
func (p *parser) bareTag(c string) {
	m := &p.m
	n := tagLen(c)
	if strings.HasPrefix(c[n:], " [junos@") && isJunosTag(c[:n]) {
		// Structured text behind a header of RFC 3164, or behind none.
		m.Tag, m.Format = c[:n], Junos
		p.i = len(p.s) - len(c) + n + 1
		p.structuredData()
		m.Text = p.s[p.i:]
		return
	}
	if n == 0 || n >= len(c) || c[n] != ':' {
		return
	}
	tag := c[:n]
	text := strings.TrimLeft(c[n+1:], " ")
	// An alarm of VRP 5 that is sent as a log has no "%%01" before it.
	if i := slashedTag(tag); i > 0 && strings.IndexByte(tag[i+3:], '/') < 0 {
		m.Tag, m.Text, m.Format = tag, text, HuaweiVRP
		if m.Severity < 0 {
			m.Severity = int8(tag[i+1]-'0') & 7
		}
		return
	}
	if isJunosTag(tag) {
		m.Tag, m.Text = tag, text
		if (m.Format == Unknown || m.Format == FRR) && (m.ProcID != "" || m.Version > 0 || m.AppName != "") {
			m.Format = Junos
		}
		return
	}
	if facility, severity, mnemonic, ok := SplitTag(tag); ok && isUpper(tag[0]) {
		m.Tag, m.Text = tag, text
		if m.Severity < 0 {
			m.Severity = severity
		}
		p.guessCisco(facility, mnemonic)
	}
}

// isJunosTag says whether s is UPPER_CASE_WITH_UNDERSCORES.
func isJunosTag(s string) bool {
	under := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case isUpper(c) || isDigit(c):
		case c == '_' && i > 0:
			under = true
		default:
			return false
		}
	}
	return under && isUpper(s[0])
}

// junosFunction reads the function name that Junos's daemons put where they
// have no tag: "bgp_recv: ", "bgp_handle_notify:4236: ".
func (p *parser) junosFunction(c string) {
	i, under := 0, false
	for i < len(c) && (isLower(c[i]) || isDigit(c[i]) || c[i] == '_') {
		under = under || c[i] == '_'
		i++
	}
	if !under || i >= len(c) || c[i] != ':' {
		return
	}
	p.m.Tag = c[:i]
	for i++; i < len(c) && isDigit(c[i]); {
		i++
	}
	p.m.Text = strings.TrimLeft(strings.TrimPrefix(c[i:], ":"), " ")
}

// lineCardTag reads "fpc3 dcpfe: JPRDS_NH:jprds_nh_alloc(),631: ..", "NH: ..".
func (p *parser) lineCardTag(c string) {
	c = strings.TrimPrefix(c, p.m.AppName+" ")
	c = strings.TrimPrefix(c, "dcpfe: ")
	if n := tagLen(c); n > 0 && n < len(c) && c[n] == ':' {
		p.m.Tag, p.m.Text = c[:n], strings.TrimLeft(c[n+1:], " ")
	}
}

// skipFRRCodes passes over FRR's "[M59KS-A3ZXZ] " and "[EC 33554451] ".
func skipFRRCodes(c string) string {
	for strings.HasPrefix(c, "[") {
		i := strings.Index(c, "] ")
		if i < 0 || i > 24 {
			break
		}
		c = strings.TrimLeft(c[i+2:], " ")
	}
	return c
}

// set makes a set of words; it is read only.
func set(words string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(words) {
		m[w] = true
	}
	return m
}

var (
	frrDaemons = set(`bgpd ospfd ospf6d isisd zebra bfdd ldpd pimd pim6d ripd ripngd eigrpd vrrpd
		staticd pathd pbrd fabricd babeld nhrpd watchfrr mgmtd vtysh`)
	// Daemons of Junos that other systems do not have.
	junosDaemons = set(`rpd mgd chassisd mib2d snmpd dcd pfed kmd l2ald l2cpd lacpd bfdd rmopd cosd dfwd
		alarmd craftd eventd jsrpd flowd RT_FLOW dot1xd eswd vccpd lldpd authd
		ppmd sflowd license-check xntpd kernel cfmd mplsoamd spd smihelperd idpd utmd utmp rtlogd
		mcsnoopd mgd-api jdhcpd jpppd bbe-smgd`)
	// Facilities of NX-OS that IOS does not have: a relay may have put its own
	// time in place of the one with the year first.
	nxosFacilities = set(`ETHPORT ETH_PORT_CHANNEL VSHD L2FM VPC SYSMGR FEX NOHMS FWM POAP CFS VDC_MGR
		ASCII-CFG PFMA PFM_ALERT MTSERROR U6RIB URIB FEATURE-MGR ELTM`)
	junosFacilities = set(`KERN USER DAEMON AUTH AUTHPRIV SYSLOG FTP NTP SECURITY CONSOLE
		DFC FIREWALL PFE CONFLICT CHANGE INTERACT LOCAL0 LOCAL1 LOCAL2 LOCAL3 LOCAL4 LOCAL5 LOCAL6 LOCAL7
		EXTERNAL DYNAMIC-FLOW`)
)
