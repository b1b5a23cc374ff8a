package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/gosnmp/gosnmp"
	"github.com/spf13/cobra"

	"signalbox/internal/api"
)

// sample is one message of a kind, with places for the device and interface.
type sample struct {
	about, text string
}

// The samples are written after the vendors' message formats.
var webhookSamples = map[string]sample{
	"link-down":     {"an interface goes down", `{"event_type":"interface_down","device":"DEVICE","interface":"INTERFACE","timestamp":UNIXTIME}`},
	"link-up":       {"an interface comes up", `{"event_type":"interface_up","device":"DEVICE","interface":"INTERFACE","timestamp":UNIXTIME}`},
	"bgp-down":      {"a BGP neighbor is lost", `{"event_type":"bgp_neighbor_down","device":"DEVICE","neighbor":"192.0.2.1","timestamp":UNIXTIME}`},
	"config-change": {"a configuration changes", `{"event_type":"config_change","device":"DEVICE","user":"alice","timestamp":UNIXTIME}`},
}

var syslogSamples = map[string]sample{
	"link-down":     {"Cisco IOS: an interface goes down", `<187>45: DEVICE: *STAMP: %LINK-3-UPDOWN: Interface INTERFACE, changed state to down`},
	"link-up":       {"Cisco IOS: an interface comes up", `<187>46: DEVICE: *STAMP: %LINK-3-UPDOWN: Interface INTERFACE, changed state to up`},
	"bgp-down":      {"Cisco IOS: a BGP neighbor is lost", `<189>47: DEVICE: *STAMP: %BGP-5-ADJCHANGE: neighbor 192.0.2.1 Down BGP Notification sent`},
	"config-change": {"Cisco IOS: a configuration changes", `<189>48: DEVICE: *STAMP: %SYS-5-CONFIG_I: Configured from console by alice on vty0 (192.0.2.9)`},
	"login-failed":  {"Cisco IOS: a login fails", `<188>49: DEVICE: *STAMP: %SEC_LOGIN-4-LOGIN_FAILED: Login failed [user: bob] [Source: 192.0.2.9] [localport: 22] [Reason: Login Authentication Failed] at 10:00:00 UTC`},
}

var trapSamples = map[string]sample{
	"link-down": {"IF-MIB linkDown", "1.3.6.1.6.3.1.1.5.3"},
	"link-up":   {"IF-MIB linkUp", "1.3.6.1.6.3.1.1.5.4"},
	"reboot":    {"SNMPv2-MIB coldStart", "1.3.6.1.6.3.1.1.5.1"},
}

type sendFlags struct {
	to, name, device, iface, community, source string
	tcp, list                                  bool
}

func (a *app) sendCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "send",
		Short: "Send a sample event by the real protocol, to try things",
		Example: `  signalbox send webhook
  signalbox send syslog --sample bgp-down --device core-01
  signalbox send trap --sample link-up --interface Gi0/2`,
	}
	for _, p := range []struct {
		name    string
		samples map[string]sample
		run     func(context.Context, *sendFlags, string) error
		to      string
	}{
		{"webhook", webhookSamples, a.sendWebhook, "URL of the webhook"},
		{"syslog", syslogSamples, a.sendSyslog, "host:port"},
		{"trap", trapSamples, a.sendTrap, "host:port"},
	} {
		var f sendFlags
		sub := &cobra.Command{
			Use: p.name, Short: "Send a " + p.name, Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				if f.list {
					return a.listSamples(p.samples)
				}
				s, ok := p.samples[f.name]
				if !ok {
					return &usageError{fmt.Errorf("no sample %q; there are %s", f.name, strings.Join(sampleNames(p.samples), ", "))}
				}
				return p.run(cmd.Context(), &f, s.text)
			},
		}
		sub.Flags().StringVar(&f.to, "to", "", p.to+" (default: where the running server listens)")
		sub.Flags().StringVar(&f.name, "sample", "link-down", "which: "+strings.Join(sampleNames(p.samples), ", "))
		device, what := "switch-01", "device name in the message"
		if p.name == "trap" {
			device, what = "192.0.2.11", "address of the device that the trap is about"
		}
		sub.Flags().StringVar(&f.device, "device", device, what)
		sub.Flags().StringVar(&f.iface, "interface", "GigabitEthernet0/1", "interface in the message")
		sub.Flags().BoolVar(&f.list, "list", false, "list the samples")
		switch p.name {
		case "webhook":
			sub.Flags().StringVar(&f.source, "source", "demo", "source to post to")
		case "syslog":
			sub.Flags().BoolVar(&f.tcp, "tcp", false, "by TCP instead of UDP")
		case "trap":
			sub.Flags().StringVar(&f.community, "community", "public", "SNMP community")
		}
		cmd.AddCommand(sub)
	}
	return cmd
}

// fill puts the device, the interface and the time into a sample.
func fill(text string, f *sendFlags, now time.Time) string {
	return strings.NewReplacer("DEVICE", f.device, "INTERFACE", f.iface,
		"UNIXTIME", strconv.FormatInt(now.Unix(), 10),
		"STAMP", now.UTC().Format("Jan _2 15:04:05.000")).Replace(text)
}

func sampleNames(m map[string]sample) []string {
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

func (a *app) listSamples(m map[string]sample) error {
	names := sampleNames(m)
	sort.Strings(names)
	for _, n := range names {
		a.printf("%-14s %s\n", n, m[n].about)
	}
	return nil
}

// listening asks the running server where it listens; fallback is what the
// quick start uses.
func (a *app) listening(ctx context.Context, what, fallback string) string {
	c, err := a.connect()
	if err != nil {
		return fallback
	}
	var st api.Status
	if err := c.get(ctx, "/api/v1/status", nil, &st); err != nil {
		return fallback
	}
	for _, key := range sortedKeys(st.Listening) {
		if strings.HasSuffix(key, what) {
			return st.Listening[key]
		}
	}
	return fallback
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func (a *app) sendWebhook(ctx context.Context, f *sendFlags, text string) error {
	now := time.Now()
	body := fill(text, f, now)
	url := f.to
	if url == "" {
		c, err := a.connect()
		base := "http://127.0.0.1:8080"
		if err == nil {
			base = c.base
		}
		url = base + "/webhook/" + f.source
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader([]byte(body)))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	a.printf("POST %s\n%s\n%s %s\n", clean(url), body, resp.Status, clean(strings.TrimSpace(string(answer))))
	if resp.StatusCode != http.StatusAccepted {
		return fmt.Errorf("the webhook was not accepted")
	}
	return nil
}

func (a *app) sendSyslog(ctx context.Context, f *sendFlags, text string) error {
	network := "udp"
	if f.tcp {
		network = "tcp"
	}
	to := f.to
	if to == "" {
		to = a.listening(ctx, "syslog "+network, "127.0.0.1:5514")
	}
	now := time.Now()
	line := fill(text, f, now)
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, to)
	if err != nil {
		return err
	}
	defer conn.Close()
	msg := line
	if f.tcp {
		msg += "\n"
	}
	if _, err := io.WriteString(conn, msg); err != nil {
		return err
	}
	a.printf("%s %s\n%s\n", network, to, line)
	return nil
}

func (a *app) sendTrap(ctx context.Context, f *sendFlags, oid string) error {
	to := f.to
	if to == "" {
		to = a.listening(ctx, "snmp udp", "127.0.0.1:1162")
	}
	host, portText, err := net.SplitHostPort(to)
	if err != nil {
		return err
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return fmt.Errorf("--to %s: %w", to, err)
	}
	s := &gosnmp.GoSNMP{Context: ctx, Target: host, Port: uint16(port), Version: gosnmp.Version2c,
		Community: f.community, Timeout: 5 * time.Second, MaxOids: 60}
	if err := s.Connect(); err != nil {
		return err
	}
	defer s.Conn.Close()
	vars := []gosnmp.SnmpPDU{{Name: ".1.3.6.1.6.3.1.1.4.1.0", Type: gosnmp.ObjectIdentifier, Value: "." + oid}}
	if ip, err := netip.ParseAddr(f.device); err == nil && ip.Is4() {
		// snmpTrapAddress.0: the device, where a proxy sends for it.
		vars = append(vars, gosnmp.SnmpPDU{Name: ".1.3.6.1.6.3.18.1.3.0", Type: gosnmp.IPAddress, Value: ip.String()})
	}
	if strings.HasPrefix(f.name, "link") {
		status := 2
		if f.name == "link-up" {
			status = 1
		}
		vars = append(vars,
			gosnmp.SnmpPDU{Name: ".1.3.6.1.2.1.2.2.1.1.1", Type: gosnmp.Integer, Value: 1},
			gosnmp.SnmpPDU{Name: ".1.3.6.1.2.1.2.2.1.7.1", Type: gosnmp.Integer, Value: 1},
			gosnmp.SnmpPDU{Name: ".1.3.6.1.2.1.2.2.1.8.1", Type: gosnmp.Integer, Value: status},
			gosnmp.SnmpPDU{Name: ".1.3.6.1.2.1.2.2.1.2.1", Type: gosnmp.OctetString, Value: f.iface})
	}
	if _, err := s.SendTrap(gosnmp.SnmpTrap{Variables: vars}); err != nil {
		return err
	}
	a.printf("udp %s: SNMPv2c trap %s (%s)\n", to, oid, f.name)
	return nil
}
