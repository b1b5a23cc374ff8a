package engine

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"signalbox/internal/correlate"
	"signalbox/internal/record"
)

func grouped(clears bool, repeat time.Duration) *correlate.Plan {
	return &correlate.Plan{Group: &correlate.Group{Wait: 30 * time.Second, Interval: 5 * time.Minute, Repeat: repeat, Clears: clears, Signature: "g"}}
}

func TestGroup(t *testing.T) {
	rule := planned{name: "g", on: []string{"down=0", "up=-2"}, plan: grouped(true, 4*time.Hour)}
	runStages(t, []formTest{
		{"what comes within the wait is one run", []string{"0s down sw1", "10s down sw2", "29.999s down sw3", "30s down sw4"},
			[]string{"2 decided, g grouped", "3 decided, g grouped", "4 decided, g grouped", "5 due 30s, run g [1 2 3]", "5 decided, g grouped"}},
		{"a new member waits for the interval", []string{"0s down sw1", "1m down sw2", "2m down sw3", "6m tick"},
			[]string{"2 decided, g grouped", "3 due 30s, run g [1]", "3 decided, g grouped", "4 decided, g grouped", "5 due 5m30s, run g [1 2 3]"}},
		{"long after the interval it waits for others", []string{"0s down sw1", "1h down sw2", "1h10s down sw3", "2h tick"},
			[]string{"2 decided, g grouped", "3 due 30s, run g [1]", "3 decided, g grouped", "4 decided, g grouped", "5 due 1h0m30s, run g [1 2 3]"}},
		{"a member that is found again is no new one", []string{"0s down sw1", "1m down sw1", "1h tick"},
			[]string{"2 decided, g grouped", "3 due 30s, run g [1]", "3 decided, g grouped"}},
		{"what is not cleared is told again", []string{"0s down sw1", "9h tick"},
			[]string{"2 decided, g grouped", "3 due 30s, run g [1]", "3 due 4h0m30s, run g [1]", "3 due 8h0m30s, run g [1]"}},
		{"what is cleared is not", []string{"0s down sw1", "1s down sw2", "1m up sw1", "2m up sw9", "5h tick", "6h up sw2", "20h tick"},
			[]string{"2 decided, g grouped", "3 decided, g grouped", "4 due 30s, run g [1 2]", "4 decided", "6 due 4h0m30s, run g [2]", "7 decided"}},
		{"cleared before the first run, it runs not at all", []string{"0s down sw1", "10s up sw1", "40s down sw1", "2m tick"},
			[]string{"2 decided, g grouped", "3 decided", "4 decided, g grouped", "5 due 1m10s, run g [3]"}},
		{"a new member is cleared before it is told", []string{"0s down sw1", "1m down sw2", "2m up sw2", "3h tick", "5h tick"},
			[]string{"2 decided, g grouped", "3 due 30s, run g [1]", "3 decided, g grouped", "4 decided", "6 due 4h0m30s, run g [1]"}},
	}, rule)

	runStages(t, []formTest{
		{"where nothing clears, all is news", []string{"0s down sw1", "1m down sw1", "6m tick"},
			[]string{"2 decided, g grouped", "3 due 30s, run g [1]", "3 decided, g grouped", "4 due 5m30s, run g [1 2]"}},
		{"and the group ends after an interval with nothing new", []string{"0s down sw1", "5m30s down sw2", "6m tick"},
			[]string{"2 decided, g grouped", "3 due 30s, run g [1]", "3 decided, g grouped", "4 due 6m0s, run g [2]"}},
	}, planned{name: "g", on: []string{"down"}, plan: grouped(false, 0)})
}

func TestGroupOfACount(t *testing.T) {
	p := planOf(correlate.Count, time.Minute)
	p.AtLeast, p.Group = 2, grouped(true, 0).Group
	runStages(t, []formTest{
		{"its findings are the members", []string{"0s fail sw1", "1s fail sw2", "2s fail sw2", "3s fail sw1", "2m tick"},
			[]string{"2 decided, g joined", "3 decided, g joined", "4 decided, g grouped", "5 decided, g grouped", "6 due 32s, run g [1 2 3 4]"}},
	}, planned{name: "g", on: []string{"fail"}, plan: &p})
}

func TestAGroupIsBounded(t *testing.T) {
	log := append(repeat(300, func(i int) string { return fmt.Sprint("0s down sw", i) }), "1m tick")
	e := placed(planned{name: "g", on: []string{"down"}, plan: grouped(true, 0)})()
	out := told(t, e, logOf(log...))
	last := out[len(out)-1]
	if !strings.Contains(last, "total 300") || !strings.Contains(last, "[1 2 ") || !strings.Contains(last, " 32 fb ") || !strings.Contains(last, " 12c]") {
		t.Errorf("the run is %s", last)
	}
}

// The members whose events were kept are cleared: the others are told again, by
// their last events.
func TestAGroupTellsThoseWhoseEventsHadLeft(t *testing.T) {
	log := repeat(300, func(i int) string { return fmt.Sprint("0s down sw", i) })
	for i := range 300 {
		if i < 50 || i >= 248 {
			log = append(log, fmt.Sprint("1m up sw", i))
		}
	}
	e := placed(planned{name: "g", on: []string{"down=0", "up=-2"}, plan: grouped(true, 4*time.Hour)})()
	out := told(t, e, logOf(append(log, "5h tick")...))
	last := out[len(out)-1]
	if !strings.Contains(last, " due 4h0m30s, run g [33 34 ") || !strings.Contains(last, " f7 f8] total 198") {
		t.Errorf("the run is %s", last)
	}
}

// More than a group can have as members are told, and not remembered.
func TestAGroupOfTooMany(t *testing.T) {
	log := repeat(10_010, func(i int) string { return fmt.Sprint("0s down sw", i) })
	log = append(log, "1m up sw10009", "2m up sw0", "3m down sw10009", "3m down sw0", "10m tick")
	e := placed(planned{name: "g", on: []string{"down=0", "up=-2"}, plan: grouped(true, 4*time.Hour)})()
	var got []string
	for _, line := range told(t, e, logOf(log...))[10_010:] {
		head, _, _ := strings.Cut(line, "[")
		_, tail, _ := strings.Cut(line, "]")
		got = append(got, head+tail)
	}
	if d := cmp.Diff([]string{"10012 due 30s, run g  total 10010", "10013 decided", "10014 decided, g grouped", "10015 decided, g grouped",
		"10016 due 5m30s, run g  total 10001"}, got); d != "" {
		t.Error(d)
	}
}

func situated(p correlate.Plan) *correlate.Plan {
	p.Situation = &correlate.Situation{Updated: true, Resolved: true, Signature: "s"}
	return &p
}

func TestSituation(t *testing.T) {
	rule := planned{name: "s", on: []string{"down=0", "up=-1"}, plan: situated(correlate.Plan{})}
	runStages(t, []formTest{
		{"opened, updated, resolved, and opened again",
			[]string{"0s down sw1", "1s down sw1", "2s up sw1", "3s up sw1", "4s down sw1"},
			[]string{"2 decided, run s of 1, situation opened by 1", "3 decided, run s [2], situation updated by 2",
				"4 decided, run s [3], situation resolved by 3", "6 decided, run s of 5, situation opened by 5"}},
		{"each key for itself", []string{"0s down sw1", "1s down sw2", "2s up sw1"},
			[]string{"2 decided, run s of 1, situation opened by 1", "3 decided, run s of 2, situation opened by 2", "4 decided, run s [3], situation resolved by 3"}},
		{"another rule set of the same meaning", []string{"0s down sw1", "1s rules others", "2s up sw1"},
			[]string{"2 decided, run s of 1, situation opened by 1", "4 decided, run s [3], situation resolved by 3"}},
	}, rule)

	quiet := situated(correlate.Plan{})
	quiet.Situation.Updated, quiet.Situation.Resolved = false, false
	runStages(t, []formTest{
		{"without steps for it a change is told, and starts nothing", []string{"0s down sw1", "1s down sw1", "2s up sw1"},
			[]string{"2 decided, run s of 1, situation opened by 1", "3 decided, situation updated by 2", "4 decided, situation resolved by 3"}},
	}, planned{name: "s", on: []string{"down=0", "up=-1"}, plan: quiet})
}

func TestSituationsAreBounded(t *testing.T) {
	p := situated(correlate.Plan{MaxKeys: 2})
	rule := planned{name: "s", on: []string{"down=0", "up=-1"}, plan: p}
	runStages(t, []formTest{
		{"the one quiet longest is forgotten, and told as resolved", []string{"0s down sw1", "1s down sw2", "2s down sw1", "3s down sw3", "4s up sw2", "5s up sw1"},
			[]string{"2 decided, run s of 1, situation opened by 1", "3 decided, run s of 2, situation opened by 2", "4 decided, run s [3], situation updated by 3",
				"5 decided, run s of 4, situation resolved by , situation opened by 4", "7 decided, run s [6], situation resolved by 6"}},
	}, rule)
	q := *p
	q.Refuse = true
	runStages(t, []formTest{
		{"one more is refused", []string{"0s down sw1", "1s down sw2", "2s down sw3"},
			[]string{"2 decided, run s of 1, situation opened by 1", "3 decided, run s of 2, situation opened by 2", "4 suppressed, s full"}},
	}, planned{name: "s", on: []string{"down=0", "up=-1"}, plan: &q})
}

// A person's word, by the id that the decision told.
func TestAPersonResolves(t *testing.T) {
	e := placed(planned{name: "s", on: []string{"down=0", "up=-1"}, plan: situated(correlate.Plan{})})()
	log := logOf("0s down sw1")
	told(t, e, log[:1])
	out, err := e.Step(log[1])
	if err != nil {
		t.Fatal(err)
	}
	opened := out[0].Records[0].Decision.Situations[0]
	seq := uint64(10)
	say := func(verb, id string) (d *record.Decision, branch string) {
		seq++
		cmd := &record.Command{ID: fmt.Sprint(seq), Verb: verb, Run: id, By: "anna", Note: "on it"}
		out, err := e.Step(batch(seq, time.Duration(seq)*time.Second, record.Record{Kind: record.KindCommand, Command: cmd}))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range out[0].Records {
			if r.Decision.Due.IsZero() {
				d = r.Decision
			}
			for _, run := range r.Decision.Runs {
				branch += run.Branch + " of " + short(r.Decision.Event.ID)
			}
		}
		return d, branch
	}
	for _, tt := range []struct {
		verb, id string
		change   *record.SituationChange
		branch   string
		reason   string
	}{
		{"acknowledge", "s9-9-none", nil, "", "there is no situation s9-9-none that is not resolved"},
		{"acknowledge", opened.ID, &record.SituationChange{ID: opened.ID, Rule: "s", Key: "sw1", Change: "acknowledged", State: "acknowledged", By: "anna", Note: "on it", Count: 1}, "", ""},
		{"acknowledge", opened.ID, nil, "", "situation " + opened.ID + " is acknowledged already"},
		{"resolve", opened.ID, &record.SituationChange{ID: opened.ID, Rule: "s", Key: "sw1", Change: "resolved", State: "resolved", By: "anna", Note: "on it", Count: 1}, "resolved of 1", ""},
		{"resolve", opened.ID, nil, "", "there is no situation " + opened.ID + " that is not resolved"},
	} {
		d, branch := say(tt.verb, tt.id)
		if len(d.Situations) > 0 && (d.Situations[0].Run != "") == (tt.branch != "") {
			tt.change.Run = d.Situations[0].Run
		}
		var want []record.SituationChange
		if tt.change != nil {
			want = append(want, *tt.change)
		}
		if diff := cmp.Diff(want, d.Situations); diff != "" || branch != tt.branch || d.Reason != tt.reason {
			t.Errorf("%s %s: %s branch %q, reason %q", tt.verb, tt.id, diff, branch, d.Reason)
		}
	}
}

// The id of a situation is derived from the rule, the key and what opened it.
func TestASituationsIDIsTheSameForEver(t *testing.T) {
	e := placed(planned{name: "s", on: []string{"down=0"}, plan: situated(correlate.Plan{})})()
	log := logOf("0s down sw1")
	told(t, e, log[:1])
	out, err := e.Step(log[1])
	if err != nil {
		t.Fatal(err)
	}
	if got, want := out[0].Records[0].Decision.Situations[0].ID, "s2-0-004340d093f6aabd"; got != want {
		t.Errorf("the id is %s, want %s", got, want)
	}
}

func TestWhatIsSuppressedIsAttachedToItsCause(t *testing.T) {
	p := situated(correlate.Plan{Upstream: &correlate.Upstream{Signature: "u"}})
	w := situated(correlate.Plan{Upstream: &correlate.Upstream{Wait: 5 * time.Second, Signature: "u"}})
	runStages(t, []formTest{
		{"the cause's situation is updated", []string{"0s gone dist1", "1s gone sw1", "2s back dist1", "3s gone sw1"},
			[]string{"2 decided, run u of 1, situation opened by 1", "3 suppressed, u upstream 1, situation updated by 2",
				"4 decided, run u [3], situation resolved by 3", "5 decided, run u of 4, situation opened by 4"}},
		{"what clears or resolves is never held back", []string{"0s gone sw1", "1s gone dist1", "2s back sw1"},
			[]string{"2 decided, run u of 1, situation opened by 1", "3 decided, run u of 2, situation opened by 2", "4 decided, run u [3], situation resolved by 3"}},
	}, planned{name: "u", on: []string{"gone=0", "back=-1"}, plan: p})
	runStages(t, []formTest{
		{"also what waited for it", []string{"0s gone dist1", "8s fault ap1", "9s back dist1", "10s gone dist1"},
			[]string{"2 decided, u held", "3 due 5s, run u of 1, u released 1, situation opened by 1", "3 suppressed, u upstream 1, situation updated by 2",
				"4 decided, run u [3], situation resolved by 3", "5 decided, u held"}},
	}, planned{name: "u", on: []string{"gone=0", "fault=0", "back=-1"}, plan: w})
}
