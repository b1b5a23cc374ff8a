package normalize

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// corpusRecord is one message of the corpus.
type corpusRecord struct {
	ID      string            `json:"id"`
	Kind    string            `json:"kind"`
	OS      string            `json:"os"`
	Raw     string            `json:"raw"`
	Class   string            `json:"our_class"`
	Error   string            `json:"error"`
	Body    string            `json:"body"`
	Headers map[string]string `json:"headers"`
	// Expected is what the authors of the data state; napalm-logs names the
	// interface or the neighbor as a member name in it.
	Expected struct {
		Host string          `json:"host"`
		Yang json.RawMessage `json:"yang_message"`
	} `json:"expected"`
}

func readCorpus(t *testing.T, path string) (out []corpusRecord) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var r corpusRecord
		// Some records state their expectation in another shape.
		_ = json.Unmarshal(lines.Bytes(), &r)
		out = append(out, r)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// oracle says by the meaning of a message, not by our mappings, which event it
// is; the first that fits counts. "" is for what looks like one and is none.
var oracle = []struct {
	re  *regexp.Regexp
	typ string
}{
	{re(`LLDP-3-DETECT|INVAL_IP|ETHPORT-\d-(SPEED|IF_DUPLEX|IF_.._FLOW|IF_ADMIN_UP)|logged command:!|permitted|GUARD_CONFIG_CHANGE`), ""},
	{re(`BFD-5-STATE_CHANGE.*to Down`), "bfd_down"},
	{re(`BFD-5-STATE_CHANGE.*to Up`), "bfd_up"},
	{re(`changed state to (administratively )?down|ETHPORT-\d-IF_DOWN|SNMP_TRAP_LINK_DOWN|turned into down state`), "interface_down"},
	{re(`changed state to up|ETHPORT-\d-IF_UP|SNMP_TRAP_LINK_UP|turned into up state`), "interface_up"},
	{re(`PORT_INDIVIDUAL_DOWN|PORT_SUSPENDED`), "lacp_member_down"},
	{re(`isis.*(to down|\) down)`), "isis_neighbor_down"},
	{re(`isis.*(to up|\) up)`), "isis_neighbor_up"},
	{re(`BGP_NEIGHBOR_STATE_CHANGED.*from Established|BGP-5-ADJCHANGE.*old state Established|ADJCHANGE.*neighbor \S+.* Down`), "bgp_neighbor_down"},
	{re(`BGP_NEIGHBOR_STATE_CHANGED.*to Established|BGP-5-ADJCHANGE.*new state Established|ADJCHANGE.*neighbor \S+.* Up`), "bgp_neighbor_up"},
	{re(`RPD_OSPF_NBRDOWN|OSPF.* to DOWN|OSPF_ADJACENCY_TEARDOWN`), "ospf_neighbor_down"},
	{re(`RPD_OSPF_NBRUP.*to Full|OSPF.* to FULL|OSPF_ADJACENCY_ESTABLISHED`), "ospf_neighbor_up"},
	{re(`CONFIG_[IP]: Configured|VSHD_SYSLOG_CONFIG_I|CFGWRITE_DONE|UI_COMMIT: |CONFIG_STARTUP:|CFGLOG_LOGGEDCMD: User:\S+\s+logged command:[^!]`), "config_change"},
	{re(`SEC_LOGIN-4-LOGIN_FAILED|DMI-5-AUTHENTICATION_FAILED|sshd\[\d+\]: Failed (password|authentication)|SYSTEM_MSG: .*(authentication failure|Authentication failed)`), "login_failed"},
	{re(`SEC_LOGIN-5-LOGIN_SUCCESS|DMI-5-AUTH_PASSED|SSH2_USERAUTH.*Succeeded|session opened for user .*dcos_sshd`), "login_succeeded"},
	{re(`ACCESSLOG.* (denied|deny) |-106023: |-106001: |RT_FLOW_SESSION_DENY|FW-6-DROP_PKT`), "acl_deny"},
	{re(`DUPADDR|DUP_HOSTS`), "duplicate_ip"},
	{re(`MACFLAP_NOTIF|L2FM_MAC_MOVE|HOST_FLAPPING`), "mac_flap"},
	{re(`PM-4-ERR_DISABLE:`), "err_disable"},
	{re(`BLOCK_BPDUGUARD`), "bpduguard"},
	{re(`LOOPGUARD_BLOCK|ROOTCHANGE`), "stp_topology_change"},
	{re(`PSECURE_VIOLATION`), "port_security_violation"},
	{re(`%EARL\S+PARITY|MOD_SOMEPORTS_FAILED`), "hardware_fault"},
	{re(`SYNC_LOSS|clock synchronization lost`), "ntp_unsynchronised"},
	{re(`clock is synchronized`), "ntp_synchronised"},
	{re(`SHUTDOWN_START`), "device_reboot"},
}

func re(s string) *regexp.Regexp { return regexp.MustCompile("(?i)" + s) }

// fits are the types that messages of a class may become; a class that is not
// here says too little.
var fits = map[string][]string{
	"interface-link":       {"interface_", "lacp_", "err_disable"},
	"ospf":                 {"ospf_"},
	"isis":                 {"isis_"},
	"bfd":                  {"bfd_"},
	"config-change":        {"config_change"},
	"environment-hardware": {"hardware_"},
	"pim-multicast":        {},
	"dhcp-dns":             {},
	"neighbor-lldp-cdp":    {},
	"stp-l2":               {"stp_", "bpduguard", "mac_flap", "duplicate_ip", "port_security", "err_disable"},
}

var vendorOf = map[string]string{"cisco_ios": "ios", "cisco-ios": "ios", "ios-xe": "ios", "cisco-nx-os": "nxos",
	"arista": "eos", "juniper_junos_rfc3164": "junos", "juniper_junos_rfc5424": "junos", "juniper-ngfw": "junos", "juniper-switches": "junos",
	"cisco_asa": "asa", "cisco-secure-firewall": "asa", "fortinet_ngfw": "fortinet", "fortigate": "fortinet",
	"palo_alto": "paloalto", "paloalto-ngfw": "paloalto", "huawei": "vrp", "sonic": "frr"}

type score struct{ messages, due, right, mappedAll int }

// TestCorpus measures the share of others' messages that are mapped and right,
// and that no message becomes what it is not.
func TestCorpus(t *testing.T) {
	dir := corpus(t)
	n := load(t)
	scores := map[string]*score{}
	for _, file := range []string{"napalm-logs", "elastic-LICENCE-ELv2", "sc4s-network", "sc4s-other", "sekoia-NOLICENCE", "snippets-UNKNOWN-LICENCE"} {
		for _, r := range readCorpus(t, filepath.Join(dir, "syslog", file+".jsonl")) {
			vendor := r.OS
			if v, ok := vendorOf[vendor]; ok {
				vendor = v
			}
			if _, listed := floors[vendor]; !listed {
				vendor = "others"
			}
			s := scores[vendor]
			if s == nil {
				s = &score{}
				scores[vendor] = s
			}
			judge(t, n, r, s)
		}
	}
	t.Logf("%-10s %8s %8s %6s %6s %6s", "vendor", "messages", "mapped", "due", "right", "share")
	for _, v := range slices.Sorted(maps.Keys(scores)) {
		s := scores[v]
		share := 1.0
		if s.due > 0 {
			share = float64(s.right) / float64(s.due)
		}
		all := float64(s.mappedAll) / float64(s.messages)
		t.Logf("%-10s %8d %8d %6d %6d %5.1f%%", v, s.messages, s.mappedAll, s.due, s.right, 100*share)
		if f := floors[v]; share < f.right || all < f.mapped {
			t.Errorf("%s: %.1f%% of what is due mapped and right, below %.0f%%; or %.1f%% of all mapped, below %.0f%%",
				v, 100*share, 100*f.right, 100*all, 100*f.mapped)
		}
	}
}

// floor is what a vendor's mappings must not fall below: the share of right
// ones among the messages that the oracle knows, and of mapped ones among all.
// Most messages of all are what no event type is for.
type floor struct{ right, mapped float64 }

var floors = map[string]floor{"ios": {0.98, 0.45}, "nxos": {0.98, 0.45}, "iosxr": {0.98, 0.85}, "eos": {0.98, 0.7}, "junos": {0.98, 0.28},
	"asa": {0.98, 0.14}, "fortinet": {0.98, 0.12}, "paloalto": {0.98, 0.18}, "vrp": {0.98, 0.98}, "frr": {0.98, 0.98}, "others": {0.98, 0}}

func judge(t *testing.T, n *Normalizer, r corpusRecord, s *score) {
	want, known := "", false
	for _, o := range oracle {
		if o.re.MatchString(r.Raw) {
			want, known = o.typ, true
			break
		}
	}
	res := n.Normalize(Input{Source: "corpus", Form: Syslog, Raw: []byte(r.Raw), Peer: "192.0.2.1:514",
		Received: time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)})
	ev := res.Event
	s.messages++
	if res.Reject != "" {
		t.Errorf("%s: rejected: %s", r.ID, res.Reject)
	}
	if res.Mapped {
		s.mappedAll++
	}
	problem := ""
	switch {
	case known && want != "":
		s.due++
		if problem = misses(r, want, res); problem == "" {
			s.right++
		}
	case known && res.Mapped:
		problem = "is no event, became " + ev.Type
	case res.Mapped && !classFits(r.Class, ev.Type):
		problem = "of class " + r.Class + " became " + ev.Type
	}
	if problem == "" {
		return
	}
	if res.Mapped && !strings.Contains(problem, "data") {
		t.Errorf("%s: %s (%s): %s", r.ID, problem, ev.Mapping, strings.TrimSpace(r.Raw))
	} else {
		t.Logf("%s: %s: %.200s", r.ID, problem, strings.TrimSpace(r.Raw))
	}
}

// misses says what is not as it should be in the event of a message that is
// due to be of type want.
func misses(r corpusRecord, want string, res Result) string {
	ev := res.Event
	if !res.Mapped {
		return "not mapped, due " + want
	}
	if ev.Type != want {
		return fmt.Sprintf("due %s, became %s", want, ev.Type)
	}
	// Some records have the host name in the text only, for their own tests.
	header, _, _ := strings.Cut(r.Raw, "%")
	if host := r.Expected.Host; host != "" && strings.Contains(header, host) && ev.Device != host {
		return fmt.Sprintf("device %q, data says %q", ev.Device, r.Expected.Host)
	}
	if yang := string(r.Expected.Yang); yang != "" && strings.HasPrefix(want, "interface_") && !strings.Contains(yang, `"`+ev.Interface+`"`) {
		return fmt.Sprintf("interface %q is not in the data %s", ev.Interface, yang)
	}
	if strings.Contains(want, "_neighbor_") {
		var d struct{ Neighbor string }
		if err := json.Unmarshal(ev.Data, &d); err != nil || d.Neighbor == "" || !strings.Contains(r.Raw, d.Neighbor) {
			return fmt.Sprintf("neighbor %q in data", d.Neighbor)
		}
	}
	return ""
}

func classFits(class, typ string) bool {
	prefixes, ok := fits[class]
	return !ok || slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(typ, p) })
}

// webhookFloors are how many of the corpus's messages of each tool become an
// event of a type of its own. What is not there is no notification: rules of
// Grafana, a Nautobot user without a change, a Mist event of "type0".
var webhookFloors = map[string]int{"catalyst_center": 1, "checkmk": 1, "github": 60, "gitlab": 13, "meraki": 2,
	"nautobot": 1, "netbox": 1, "prometheus": 3, "zabbix": 1}

// TestCorpusWebhooks: payloads of the tools that have a mapping become what
// the tool is for, none is rejected, and no secret is kept.
func TestCorpusWebhooks(t *testing.T) {
	dir := corpus(t)
	n := load(t)
	mapped := map[string][2]int{}
	for _, r := range readCorpus(t, filepath.Join(dir, "webhook", "webhooks.jsonl")) {
		in := payloadInput(r.Body)
		in.Mapping, in.Meta = r.Kind, r.Headers
		for from, to := range map[string]string{"nautobot-event-broker": "nautobot", "cisco-catalyst-center": "catalyst_center", "juniper-mist": "mist"} {
			if in.Mapping == from {
				in.Mapping = to
			}
		}
		parts, err := n.SplitPayload(in.Mapping, in.Raw)
		if err != nil {
			t.Errorf("%s: %v", r.ID, err)
		}
		if parts == nil {
			parts = [][]byte{in.Raw}
		}
		for _, in.Raw = range parts {
			c := mapped[in.Mapping]
			c[1]++
			if judgeWebhook(t, n, r, in) {
				c[0]++
			}
			mapped[in.Mapping] = c
		}
	}
	for _, k := range slices.Sorted(maps.Keys(mapped)) {
		t.Logf("%-18s %3d of %3d mapped", k, mapped[k][0], mapped[k][1])
		if mapped[k][0] < webhookFloors[k] {
			t.Errorf("%s: %d mapped, below %d", k, mapped[k][0], webhookFloors[k])
		}
	}
}

func judgeWebhook(t *testing.T, n *Normalizer, r corpusRecord, in Input) (mapped bool) {
	res := n.Normalize(in)
	switch {
	case res.Reject != "":
		t.Errorf("%s: rejected: %s", r.ID, res.Reject)
	case !res.Mapped && n.HasMapping(in.Mapping):
		t.Logf("%s: %s", r.ID, res.Why)
	}
	if (in.Mapping == "github" || in.Mapping == "gitlab") && res.Event.Type != "repository_change" {
		t.Errorf("%s: became %s", r.ID, res.Event.Type)
	}
	if in.Mapping == "meraki" && !strings.Contains(string(res.Event.Raw), `"sharedSecret": "[redacted]"`) {
		t.Errorf("%s: kept with its secret", r.ID)
	}
	return res.Mapped
}
