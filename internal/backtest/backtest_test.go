package backtest_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"signalbox/event"
	"signalbox/internal/backtest"
	"signalbox/internal/record"
)

const before = `rules:
  - name: port-down
    on: interface_down
    do: [{log: {message: down}}]
  - name: reboot
    on: device_reboot
    dedup: {by: [device], within: 1h}
    do: [{log: {message: reboot}}]
  - name: gone
    on: power_supply_failed
    do: [{log: {message: gone}}]
`

const after = `rules:
  - name: port-down
    on: interface_down
    when: device.role == "access"
    do: [{log: {message: down}}]
  - name: reboot
    on: device_reboot
    dedup: {by: [device], within: 30m}
    do: [{log: {message: reboot}}]
  - name: bgp
    on: bgp_neighbor_down
    do: [{log: {message: bgp}}]
  - name: trial
    mode: shadow
    on: interface_down
    do: [{log: {message: trial}}]
`

const story = `
0s    interface_down     sw1 Gi0/1
5s    interface_down     sw1 Gi0/1
10s   interface_up       sw1 Gi0/1
+     device_reboot      sw1
5m    interface_down     core1 Te1/1
+     interface_down     core1 Te1/2
+     interface_down     sw2 Gi0/1
45m   device_reboot      sw1
46m   bgp_neighbor_down  core1
50m   device_reboot      sw1
2h    device_reboot      sw1
3h    login_failed       sw2
`

func trial(t testing.TB) backtest.Options {
	against := candidate(t, "old-rules", before)
	return backtest.Options{Rules: candidate(t, "new-rules", after), Against: &against}
}

func TestReports(t *testing.T) {
	text, json, html := written(t, run(t, trial(t), logOf(t, story)))
	golden(t, "report.txt", text)
	golden(t, "report.json", json)
	golden(t, "report.html", html)
}

func TestTheSameAnswerTwice(t *testing.T) {
	at, aj, ah := written(t, run(t, trial(t), logOf(t, story)))
	bt, bj, bh := written(t, run(t, trial(t), logOf(t, story)))
	if at != bt || aj != bj || ah != bh {
		t.Error("two trials of the same log and the same rules differ")
	}
}

func TestCounts(t *testing.T) {
	r := run(t, trial(t), logOf(t, story))
	if r.Log.Events != 12 || r.Rules.Decided+r.Rules.Duplicate+r.Rules.Suppressed+r.Rules.Unmatched != 12 {
		t.Errorf("12 events, counted %d: %d + %d + %d + %d", r.Log.Events, r.Rules.Decided, r.Rules.Duplicate, r.Rules.Suppressed, r.Rules.Unmatched)
	}
	if sum := r.Diff.Same + r.Diff.More; sum != r.Rules.Runs {
		t.Errorf("same %d + more %d are not the %d runs of the candidate", r.Diff.Same, r.Diff.More, r.Rules.Runs)
	}
	if sum := r.Diff.Same + r.Diff.Fewer; sum != r.Against.Runs {
		t.Errorf("same %d + fewer %d are not the %d runs of the other", r.Diff.Same, r.Diff.Fewer, r.Against.Runs)
	}
}

// What the log says of its own rules, of replays and of runs is not heard.
func TestTheGivenRulesDecide(t *testing.T) {
	ev := &event.Event{ID: "01930000-0000-7000-8000-000000000001", Type: "interface_down", Device: "sw1", Interface: "Gi0/1"}
	log := []*record.Batch{
		{Seq: 1, Time: t0, Subject: record.Events, Records: []record.Record{
			{Kind: record.KindRules, Rules: &record.Rules{Version: "x", Parts: 1, Data: []byte("of the log, and no bundle at all")}},
			{Kind: record.KindCommand, Command: &record.Command{ID: "c", Verb: "replay", Event: ev}},
			{Kind: record.KindEvent, Event: ev}}},
		{Seq: 2, Time: t0, Subject: record.Decisions, Records: []record.Record{{Kind: record.KindDecision, Decision: &record.Decision{}}}},
		{Seq: 3, Time: t0, Subject: record.Events, Records: []record.Record{{Kind: record.KindRejected, Rejected: &record.Rejected{}}}},
	}
	r := run(t, backtest.Options{Rules: candidate(t, "r", before)}, log)
	if r.Rules.Runs != 1 || r.Log.Events != 1 || r.Log.Rejected != 1 {
		t.Errorf("runs %d of %d events and %d rejected ones, want 1, 1, 1", r.Rules.Runs, r.Log.Events, r.Log.Rejected)
	}
	if got := r.Rules.PerRule[0].First.Position; got != "1/2" {
		t.Errorf("the run's position is %s, want 1/2", got)
	}
	if log[0].Records[0].Kind != record.KindRules {
		t.Error("the batch was changed")
	}
}

func TestTheFirstBatchOfALogWithoutRules(t *testing.T) {
	log := logOf(t, "0s interface_down sw1 Gi0/1\n+ interface_down sw2 Gi0/1\n1m interface_down sw1 Gi0/2")
	log[0].Seq, log[1].Seq = 1, 2
	r := run(t, backtest.Options{Rules: candidate(t, "r", before)}, log)
	if r.Rules.Runs != 3 || r.Rules.PerRule[0].First.Position != "1/0" {
		t.Errorf("%d runs, the first at %s; want 3, the first at 1/0", r.Rules.Runs, r.Rules.PerRule[0].First.Position)
	}
}

func TestTheStretch(t *testing.T) {
	c := candidate(t, "r", before)
	for _, tt := range []struct {
		name         string
		since, until time.Duration // -1: not set
		runs, warm   uint64
	}{
		{"all", -1, -1, 6, 0},
		{"an edge is inside", 5 * time.Minute, 5 * time.Minute, 3, 4},
		{"a window that began before", 45 * time.Minute, 51 * time.Minute, 0, 7},
		{"after all", 4 * time.Hour, -1, 0, 12},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := backtest.Options{Rules: c}
			if tt.since >= 0 {
				o.Since = t0.Add(tt.since)
			}
			if tt.until >= 0 {
				o.Until = t0.Add(tt.until)
			}
			o.Rules = candidate(t, "r", before)
			r := run(t, o, logOf(t, story))
			if r.Rules.Runs != tt.runs || r.Log.WarmUp != tt.warm {
				t.Errorf("%d runs after %d events before, want %d after %d", r.Rules.Runs, r.Log.WarmUp, tt.runs, tt.warm)
			}
		})
	}
}

// However the log is cut into batches of the same time, the answer is the same.
func TestBatchesDoNotMatter(t *testing.T) {
	log := logOf(t, story)
	one, _, _ := written(t, run(t, trial(t), log))
	var cut []*record.Batch
	for _, b := range log {
		for i := range b.Records {
			c := *b
			c.Seq, c.Records = uint64(len(cut)+10), b.Records[i:i+1]
			cut = append(cut, &c)
		}
	}
	two, _, _ := written(t, run(t, trial(t), cut))
	if one != two {
		t.Errorf("cut otherwise it reads\n%s\nand not\n%s", two, one)
	}
}

func TestReach(t *testing.T) {
	c := candidate(t, "r", before)
	if got, least := c.Reach(), c.Rules.Set.Redelivery; got < least {
		t.Errorf("the windows reach %s, less than a redelivery's %s", got, least)
	}
}

func TestNothingAfterTheEnd(t *testing.T) {
	bt := backtest.New(backtest.Options{Rules: candidate(t, "r", before)})
	if r, err := bt.Report(); err != nil || r.Log.Events != 0 || r.Rules.Runs != 0 {
		t.Errorf("of no log: %v, %v", r, err)
	}
	if err := bt.Take(logOf(t, story)[0]); !errors.Is(err, backtest.ErrEnded) {
		t.Errorf("after the end: %v", err)
	}
}

// The page needs nothing from anywhere, and what a device says is text in it.
func TestThePage(t *testing.T) {
	log := logOf(t, "0s interface_down sw1 Gi0/1")
	ev := log[0].Records[0].Event
	ev.Device, ev.Raw = `<script>alert(1)</script>`, []byte("<189><img src=x onerror=alert(2)> \x1b[31m\u202e")
	text, _, html := written(t, run(t, backtest.Options{Rules: candidate(t, "r", before), Against: func() *backtest.Candidate {
		c := candidate(t, "none", "rules: []\n")
		return &c
	}()}, log))
	for _, bad := range []string{"<script>alert", "<img", "http:", "https:", "src=x onerror=alert(2)>", "@import", "url("} {
		if strings.Contains(html, bad) {
			t.Errorf("the page has %q in it", bad)
		}
	}
	if !strings.Contains(html, "&lt;script&gt;alert(1)") {
		t.Error("the device's name is not in the page")
	}
	if strings.ContainsAny(text, "\x1b\u202e") {
		t.Error("control characters came into the text")
	}
}

// Both sides decide at once about large batches, and it makes no difference.
func TestSidesAtOnce(t *testing.T) {
	var b strings.Builder
	for i := range 2000 {
		at := "+"
		if i%200 == 0 {
			at = fmt.Sprintf("%dm", i/200)
		}
		fmt.Fprintf(&b, "%s %s sw%d Gi0/%d\n", at, []string{"interface_down", "interface_up", "device_reboot"}[i%3], i%7, i%5)
	}
	log := logOf(t, b.String())
	large := run(t, trial(t), log)
	var cut []*record.Batch
	for _, batch := range log {
		for i := range batch.Records {
			c := *batch
			c.Seq, c.Records = uint64(len(cut)+10), batch.Records[i:i+1]
			cut = append(cut, &c)
		}
	}
	one, _, _ := written(t, large)
	two, _, _ := written(t, run(t, trial(t), cut))
	if one != two || large.Diff.Same == 0 || large.Diff.Fewer == 0 {
		t.Errorf("at once it reads\n%s\nand one by one\n%s", one, two)
	}
}
