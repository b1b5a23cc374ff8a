package senders

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"signalbox/test/harness"
)

// What devices send to the relay, and what becomes of it.
var relayed = []want{
	{typ: "interface_down", device: "edge-1", iface: "GigabitEthernet0/3", mapping: "cisco_ios.link",
		raw: "<187>1043: edge-1: Nov 24 10:00:00.123: %LINK-3-UPDOWN: Interface GigabitEthernet0/3, changed state to down"},
	{typ: "bgp_neighbor_down", device: "mx1", mapping: "juniper_junos.bgp",
		raw: "<28>Nov 24 10:00:01 mx1 rpd[2902]: RPD_BGP_NEIGHBOR_STATE_CHANGED: BGP peer 2001:db8::1 (External AS 64500) changed state from Established to Idle (event HoldTime) (instance master)"},
	{typ: "interface_up", device: "mx2", iface: "st0.60", mapping: "juniper_junos.link",
		raw: `<28>1 2026-11-24T10:00:02.123Z mx2 mib2d 1484 SNMP_TRAP_LINK_UP [junos@2636.1.1.1.2.18 snmp-interface-index="508" admin-status="up(1)" operational-status="up(1)" interface-name="st0.60"] ifIndex 508, ifAdminStatus up(1), ifOperStatus up(1), ifName st0.60`},
}

// relay is an rsyslogd that forwards what comes in on the address in.
type relay struct {
	t  *testing.T
	in string
}

// startRelay runs rsyslogd; forward are the parameters of its action, tls those
// of its global settings.
func startRelay(t *testing.T, to, forward, tls string) *relay {
	t.Helper()
	rsyslogd := tool(t, "rsyslogd")
	r := &relay{t: t, in: harness.FreePort(t, "tcp")}
	_, input, _ := net.SplitHostPort(r.in)
	_, port, _ := net.SplitHostPort(to)
	work := t.TempDir()
	conf := fromTestdata(t, "rsyslog.conf", "WORK", work, "INPUT", input, "PORT", port, "FORWARD", forward, "TLS", tls)
	daemon(t, rsyslogd, "-n", "-f", conf, "-i", filepath.Join(work, "pid"))
	harness.Eventually(t, "rsyslogd listens", limit, func() bool {
		c, err := net.Dial("tcp", r.in)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return r
}

// send gives the relay messages as devices do, by TCP.
func (r *relay) send(messages ...string) {
	r.t.Helper()
	c, err := net.Dial("tcp", r.in)
	if err != nil {
		r.t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(strings.Join(messages, "\n") + "\n")); err != nil {
		r.t.Fatal(err)
	}
}

// tlsDriver names rsyslog's TLS driver that is installed.
func tlsDriver(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"ossl", "gtls"} {
		if found, _ := filepath.Glob("/usr/lib/*/rsyslog/lmnsd_" + name + ".so"); len(found) > 0 {
			return name
		}
	}
	t.Skip("rsyslog has no TLS driver: run scripts/install-test-deps.sh")
	return ""
}

func TestRsyslog(t *testing.T) {
	tool(t, "rsyslogd")
	udp, tcp, tls := harness.FreePort(t, "udp"), harness.FreePort(t, "tcp"), harness.FreePort(t, "tcp")
	ca := newAuthority(t)
	cert, key := ca.issue("syslog.example.net")
	clientCert, clientKey := ca.issue("relay.example.net")
	s := start(t, `
  udp: {kind: syslog, udp: UDP}
  octets: {kind: syslog, tcp: OCTETS}
  tls: {kind: syslog, tls: {listen: TLS, cert: CERT, key: KEY, client_ca: CA}}
`, "dedup: {off: true}\n", "UDP", udp, "OCTETS", tcp, "TLS", tls, "CERT", cert, "KEY", key, "CA", ca.path("ca.pem"))

	tests := []struct {
		name, source, to string
		forward, global  string
		tls              bool
	}{
		{name: "UDP", source: "udp", to: udp, forward: `protocol="udp"`},
		{name: "TCP, octet-counted", source: "octets", to: tcp, forward: `protocol="tcp" TCP_Framing="octet-counted"`},
		{name: "TLS, lines", source: "tls", to: tls, tls: true,
			forward: `protocol="tcp" StreamDriver="DRIVER" StreamDriverMode="1" StreamDriverAuthMode="x509/name" StreamDriverPermittedPeers="syslog.example.net"`,
			global: fmt.Sprintf(`DefaultNetstreamDriver="DRIVER" DefaultNetstreamDriverCAFile="%s" DefaultNetstreamDriverCertFile="%s" DefaultNetstreamDriverKeyFile="%s"`,
				ca.path("ca.pem"), clientCert, clientKey)},
	}
	sent := 0
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.tls {
				driver := strings.NewReplacer("DRIVER", tlsDriver(t))
				tt.forward, tt.global = driver.Replace(tt.forward), driver.Replace(tt.global)
			}
			r := startRelay(t, tt.to, tt.forward, tt.global)
			for _, w := range relayed {
				r.send(w.raw)
				sent++
				w.source, w.exact = tt.source, true
				if e := one(t, s, w); e.Event.Time.IsZero() {
					t.Errorf("the time of the header is lost: %s", w.raw)
				}
			}
		})
	}
	settled(t, s, sent)
}

// TestRsyslogKeepsWhileSignalboxIsAway: with the queue that docs/sources.md
// asks for nothing is lost while Signalbox is down.
func TestRsyslogKeepsWhileSignalboxIsAway(t *testing.T) {
	if testing.Short() {
		t.Skip("left out by -short")
	}
	tool(t, "rsyslogd")
	tcp := harness.FreePort(t, "tcp")
	s := start(t, "  campus: {kind: syslog, tcp: TCP}\n", "dedup: {off: true}\n", "TCP", tcp)
	r := startRelay(t, tcp, `protocol="tcp" TCP_Framing="octet-counted"`, "")
	const first, all = 50, 250
	var messages []string
	for n := range all {
		messages = append(messages, fmt.Sprintf("<187>%d: edge-1: Nov 24 10:00:00.123: %%LINK-3-UPDOWN: Interface GigabitEthernet0/%d, changed state to down", n, n))
	}
	r.send(messages[:first]...)
	s.Eventually("the first are in the log", limit, func() bool { return s.Ledger(false).Log.Logged == first })
	if err := s.Stop(limit); err != nil {
		t.Fatal(err)
	}
	r.send(messages[first:]...)
	s.StartReady()
	s.Eventually("all are in the log", limit, func() bool { return s.Ledger(false).Log.Logged >= all })
	seen := map[string]int{}
	for _, e := range s.Events() {
		seen[e.Event.Interface]++
	}
	for n := range all {
		if name := fmt.Sprintf("GigabitEthernet0/%d", n); seen[name] != 1 {
			t.Errorf("the message about %s is %d times in the log", name, seen[name])
		}
	}
	settled(t, s, all)
}

// TestRsyslogWithoutCertificate: a relay that shows no certificate of ours gets
// nothing into the log.
func TestRsyslogWithoutCertificate(t *testing.T) {
	tool(t, "rsyslogd")
	driver, tls := tlsDriver(t), harness.FreePort(t, "tcp")
	ca, other := newAuthority(t), newAuthority(t)
	cert, key := ca.issue("syslog.example.net")
	wrongCert, wrongKey := other.issue("relay.example.net")
	s := start(t, "  tls: {kind: syslog, tls: {listen: TLS, cert: CERT, key: KEY, client_ca: CA}}\n", "",
		"TLS", tls, "CERT", cert, "KEY", key, "CA", ca.path("ca.pem"))
	global := fmt.Sprintf(`DefaultNetstreamDriver="%s" DefaultNetstreamDriverCAFile="%s" DefaultNetstreamDriverCertFile="%s" DefaultNetstreamDriverKeyFile="%s"`,
		driver, ca.path("ca.pem"), wrongCert, wrongKey)
	forward := fmt.Sprintf(`protocol="tcp" StreamDriver="%s" StreamDriverMode="1" StreamDriverAuthMode="x509/name" StreamDriverPermittedPeers="syslog.example.net"`, driver)
	startRelay(t, tls, forward, global).send(relayed[0].raw)
	s.Eventually("signalbox says why it lets nobody in", limit, func() bool {
		return strings.Contains(s.Output(), "certificate signed by unknown authority")
	})
	if in := intake(t, s, "tls"); in.Logged != 0 {
		t.Errorf("%d events of a relay with a foreign certificate are in the log", in.Logged)
	}
	settled(t, s, 0)
}
