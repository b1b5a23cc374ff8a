package decide_test

import (
	"bytes"
	"testing"

	"signalbox/event"
	"signalbox/internal/decide"
	"signalbox/internal/engine"
	"signalbox/internal/record"
)

// everything looks at every rule, whether it has something to end or not.
type everything struct{ *decide.Rules }

func (r everything) Match(ev *event.Event, _ engine.Waits) []engine.Match {
	return r.Rules.Match(ev, nil)
}

// What is not looked at changes nothing: rules of all forms about many sites
// decide about the events of a network, byte for byte, as if all were looked at;
// also when half of the switches move to another site meanwhile.
func TestWhatIsNotLookedAtChangesNothing(t *testing.T) {
	net := newNetwork(4000)
	text := siteRules(400, 0, len(net.devices)/devicesOf)
	moved := newNetwork(4000)
	moved.moved = true
	sets := map[string]*network{"before": net, "after": moved}
	run := func(wrap func(*decide.Rules) engine.Rules) (out []byte, noted int) {
		e := engine.New(func(bundle []byte) (engine.Rules, error) {
			return wrap(loadSite(t, sets[string(bundle)], text)), nil
		})
		f := newSiteFeed(net, 2000)
		step := func(b *record.Batch) {
			stretches, err := e.Step(b)
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			out, n = appendDecisions(out, stretches)
			noted += n
		}
		rules := func(name string) {
			f.seq++
			step(&record.Batch{Seq: f.seq, Time: t0, Records: []record.Record{{Kind: record.KindRules, Rules: &record.Rules{Version: name, Parts: 1, Data: []byte(name)}}}})
		}
		rules("before")
		for i := range 60 {
			if i == 30 {
				rules("after")
			}
			step(f.next(t))
		}
		return out, noted
	}
	all, n := run(func(r *decide.Rules) engine.Rules { return everything{r} })
	some, _ := run(func(r *decide.Rules) engine.Rules { return r })
	if n < 1000 {
		t.Fatalf("only %d things were decided", n)
	}
	if !bytes.Equal(all, some) {
		t.Error("the decisions are others")
	}
}

// appendDecisions appends what was decided as the log has it, and counts the notes
// and runs in it.
func appendDecisions(out []byte, stretches []engine.Stretch) (_ []byte, n int) {
	for _, s := range stretches {
		for i := range s.Records {
			n += len(s.Records[i].Decision.Notes) + len(s.Records[i].Decision.Runs)
			out = record.AppendRecord(out, &s.Records[i])
		}
	}
	return out, n
}
