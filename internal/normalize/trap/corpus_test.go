package trap_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"signalbox/internal/normalize"
	"signalbox/internal/normalize/trap"
)

// TestCorpusText reads what others' devices sent, as snmptrapd printed it, and
// maps it: all must be read, and the standard notifications become what they
// are.
func TestCorpusText(t *testing.T) {
	dir := os.Getenv("SIGNALBOX_CORPUS")
	if dir == "" {
		t.Skip("SIGNALBOX_CORPUS is not set: messages that others wrote are left out")
	}
	text, err := os.ReadFile(filepath.Join(dir, "snmp", "librenms-traps-text.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	n, err := normalize.New(normalize.Options{})
	if err != nil {
		t.Skipf("the mappings do not load: %v", err)
	}
	want := map[string]string{
		"linkDown": "interface_down", "coldStart": "device_reboot", "topologyChange": "stp_topology_change",
		"jnxBgpM2BackwardTransition": "bgp_neighbor_down", "jnxBgpM2Established": "bgp_neighbor_up",
		"ccmCLIRunningConfigChanged": "config_change", "jnxCmCfgChange": "config_change",
		"jnxPowerSupplyFailure": "hardware_fault", "upsTrapOnBattery": "hardware_fault",
		"cErrDisableInterfaceEventRev1": "bpduguard", "clogMessageGenerated": "interface_up",
	}
	var all, read, mapped int
	for line := range strings.Lines(string(text)) {
		var c struct {
			ID, Kind, Raw string
			Unresolved    any
		}
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			t.Fatal(err)
		}
		all++
		tr, err := trap.Builtin().ParseText(c.Raw)
		if err != nil {
			t.Logf("%s: not read: %v", c.ID, err)
			continue
		}
		read++
		res := n.Normalize(normalize.Input{Source: "corpus", Form: normalize.SNMP, Raw: []byte(c.Raw), Peer: "192.0.2.1:162", Parsed: tr})
		if res.Mapped {
			mapped++
			t.Logf("%s: %s %s %s", c.Kind, res.Event.Type, res.Event.Interface, res.Event.Data)
		}
		if w := want[c.Kind]; w != "" && res.Event.Type != w {
			t.Errorf("%s (%s): %s, want %s: %s", c.ID, c.Kind, res.Event.Type, w, res.Why)
		}
	}
	t.Logf("%d notifications, %d read, %d mapped", all, read, mapped)
}
