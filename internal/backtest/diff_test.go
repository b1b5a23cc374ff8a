package backtest_test

import (
	"fmt"
	"strings"
	"testing"

	"signalbox/internal/backtest"
)

// told is a difference in short: "rule +more -fewer =same [devices]".
func told(d *backtest.Diff) string {
	var b strings.Builder
	for _, r := range d.PerRule {
		fmt.Fprintf(&b, "%s %s =%d", r.Rule, r.Change, r.Same)
		for _, x := range []struct {
			sign string
			dir  *backtest.Direction
		}{{"+", r.More}, {"-", r.Fewer}} {
			if x.dir == nil {
				continue
			}
			fmt.Fprintf(&b, " %s%d", x.sign, x.dir.Runs)
			for _, dev := range x.dir.Devices {
				fmt.Fprintf(&b, " %s:%d@%s", dev.Device, dev.Runs, dev.First.Time.Format("15:04"))
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

func TestDiff(t *testing.T) {
	const down = "rules:\n  - name: a\n    on: interface_down\n%s    do: [{log: {message: x}}]\n"
	tests := []struct {
		name, before, after, want string
	}{
		{"no difference", fmt.Sprintf(down, ""), fmt.Sprintf(down, ""), "a same =4\n"},
		{"a rule is added", "rules: []\n", fmt.Sprintf(down, ""), "a added =0 +4 core1:2@02:05 sw1:1@02:00 sw2:1@02:05\n"},
		{"a rule is removed", fmt.Sprintf(down, ""), "rules: []\n", "a removed =0 -4 core1:2@02:05 sw1:1@02:00 sw2:1@02:05\n"},
		{"a rule is narrowed", fmt.Sprintf(down, ""), fmt.Sprintf(down, "    when: device.site == \"south\"\n"),
			"a changed =1 -3 core1:2@02:05 sw1:1@02:00\n"},
		{"both directions", fmt.Sprintf(down, "    when: device.role == \"core\"\n"), fmt.Sprintf(down, "    when: device.site == \"south\"\n"),
			"a changed =0 +1 sw2:1@02:05 -2 core1:2@02:05\n"},
		{"a text that means the same", fmt.Sprintf(down, ""), fmt.Sprintf(down, "    # a comment\n"), "a same =4\n"},
		{"only the text of a step", fmt.Sprintf(down, ""), strings.Replace(fmt.Sprintf(down, ""), "message: x", "message: y", 1), "a changed =4\n"},
		{"a rule is switched off", fmt.Sprintf(down, ""), fmt.Sprintf(down, "    mode: \"off\"\n"), "a changed =0 -4 core1:2@02:05 sw1:1@02:00 sw2:1@02:05\n"},
		{"a rule is renamed", fmt.Sprintf(down, ""), strings.Replace(fmt.Sprintf(down, ""), "name: a", "name: b", 1),
			"a removed =0 -4 core1:2@02:05 sw1:1@02:00 sw2:1@02:05\nb added =0 +4 core1:2@02:05 sw1:1@02:00 sw2:1@02:05\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			against := candidate(t, "before", tt.before)
			r := run(t, backtest.Options{Rules: candidate(t, "after", tt.after), Against: &against}, logOf(t, story))
			if got := told(r.Diff); got != tt.want {
				t.Errorf("got\n%swant\n%s", got, tt.want)
			}
			// Seen from the other side it is the same, the other way round.
			other := candidate(t, "after", tt.after)
			back := run(t, backtest.Options{Rules: candidate(t, "before", tt.before), Against: &other}, logOf(t, story))
			if back.Diff.More != r.Diff.Fewer || back.Diff.Fewer != r.Diff.More || back.Diff.Same != r.Diff.Same {
				t.Errorf("+%d -%d =%d, and the other way round +%d -%d =%d", r.Diff.More, r.Diff.Fewer, r.Diff.Same, back.Diff.More, back.Diff.Fewer, back.Diff.Same)
			}
		})
	}
}

func TestSentence(t *testing.T) {
	for want, rules := range map[string][2]string{
		"No difference to before: the same 4 runs.":                                                  {port, port},
		"Compared with before this would start 4 runs more, on 3 devices; 0 runs are the same.":      {none, port},
		"Compared with before this would no longer start 4 runs, on 3 devices; 0 runs are the same.": {port, none},
		"Compared with before this would start 4 runs more, on 3 devices; 4 runs are the same.":      {port, port + strings.ReplaceAll(port[7:], "name: a", "name: b")},
		"Compared with before this would no longer start 3 runs, on 2 devices; 1 run is the same.":   {port, strings.Replace(port, "    do:", "    when: device.site == \"south\"\n    do:", 1)},
	} {
		against := candidate(t, "before", rules[0])
		if got := run(t, backtest.Options{Rules: candidate(t, "x", rules[1]), Against: &against}, logOf(t, story)).Sentence(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

const (
	none = "rules: []\n"
	port = "rules:\n  - name: a\n    on: interface_down\n    do: [{log: {message: x}}]\n"
)

// Many devices are counted all, and the first of them are listed.
func TestManyDevices(t *testing.T) {
	var b strings.Builder
	for i := range 300 {
		fmt.Fprintf(&b, "%ds interface_down d%03d Gi0/1\n", i, i)
	}
	against := candidate(t, "before", none)
	r := run(t, backtest.Options{Rules: candidate(t, "after", port), Against: &against, Top: 2}, logOf(t, b.String()))
	d := r.Diff.PerRule[0].More
	if d.Total != 300 || len(d.Devices) != 20 || r.Diff.Devices != 300 || len(r.Diff.PerDevice) != 20 || len(r.Rules.TopDevices) != 2 || r.Rules.Devices != 300 {
		t.Errorf("total %d listed %d, in all %d listed %d, top %d of %d", d.Total, len(d.Devices), r.Diff.Devices, len(r.Diff.PerDevice), len(r.Rules.TopDevices), r.Rules.Devices)
	}
	if d.First.Device != "d000" {
		t.Errorf("the first is of %s", d.First.Device)
	}
	text, _, _ := written(t, r)
	if !strings.Contains(text, "and 290 devices more") {
		t.Errorf("the text does not say how many are not listed:\n%s", text)
	}
}
