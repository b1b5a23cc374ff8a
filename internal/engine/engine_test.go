package engine

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"signalbox/event"
	"signalbox/internal/correlate"
	"signalbox/internal/record"
)

var t0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// fakeRules match by type; the bundle lists them: "name on within mode" a line.
type fakeRules struct {
	version string
	rules   []fakeRule
}

type fakeRule struct {
	name, on string
	within   time.Duration
	shadow   bool
}

func loadFake(bundle []byte) (Rules, error) {
	f := &fakeRules{version: fmt.Sprintf("v%d", len(bundle))}
	for line := range strings.Lines(string(bundle)) {
		w := strings.Fields(line)
		if len(w) < 3 {
			return nil, fmt.Errorf("bad line %q", line)
		}
		d, err := time.ParseDuration(w[2])
		if err != nil {
			return nil, err
		}
		f.rules = append(f.rules, fakeRule{w[0], w[1], d, len(w) > 3})
	}
	return f, nil
}

func (f *fakeRules) InventoryVersion() string { return "" }
func (f *fakeRules) Version() string          { return f.version }
func (f *fakeRules) Windows() Windows {
	return Windows{Global: time.Minute, Redelivery: time.Hour}
}
func (f *fakeRules) Match(ev *event.Event, _ Waits) []Match {
	var out []Match
	for i, r := range f.rules {
		if r.on == ev.Type {
			out = append(out, Match{Rule: r.name, Index: i, Version: "1", Shadow: r.shadow, Lock: true,
				Within: r.within, Key: KeyOf([]byte(ev.Device)), Signature: r.within.String()})
		}
	}
	return out
}
func (f *fakeRules) GlobalKey(ev *event.Event, t string) (Key, bool) {
	return KeyOf([]byte(t), []byte(ev.Device), []byte(ev.Interface)), true
}
func (f *fakeRules) Clears(t string) []string {
	if t == "up" {
		return []string{"down"}
	}
	return nil
}
func (f *fakeRules) Keeps(rule, signature string) bool {
	for _, r := range f.rules {
		if r.name == rule && r.within.String() == signature {
			return true
		}
	}
	return false
}

func (f *fakeRules) Limits(string) []correlate.RunLimit { return nil }
func (f *fakeRules) LimitKey(string, int, *event.Event) (string, int, error) {
	return "", 0, nil
}

func id(n int) event.ID {
	return event.ID(fmt.Sprintf("01900000-0000-7000-8000-%012x", n))
}

func evRecord(n int, typ, device string) record.Record {
	return record.Record{Kind: record.KindEvent, Event: &event.Event{ID: id(n), Source: "s", Type: typ, Device: device}}
}

func rulesRecord(text string) record.Record {
	return record.Record{Kind: record.KindRules, Rules: &record.Rules{Version: "x", Parts: 1, Data: []byte(text)}}
}

func batch(seq uint64, at time.Duration, recs ...record.Record) *record.Batch {
	return &record.Batch{Seq: seq, Time: t0.Add(at), Subject: record.Events, Records: recs}
}

// verdicts runs batches and lists "seq/index verdict runs…" of every decision.
func verdicts(t *testing.T, e *Engine, batches ...*record.Batch) []string {
	t.Helper()
	var out []string
	for _, b := range batches {
		stretches, err := e.Step(b)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range stretches {
			for _, r := range s.Records {
				line := fmt.Sprintf("%s %d", r.Decision.At, r.Decision.Verdict)
				for _, run := range r.Decision.Runs {
					line += " " + run.Rule
				}
				for _, n := range r.Decision.Notes {
					line += " " + n.Rule + "=" + n.Outcome
				}
				if r.Decision.Of != "" {
					line += " of " + string(r.Decision.Of[len(r.Decision.Of)-2:])
				}
				out = append(out, line)
			}
		}
	}
	return out
}

func TestPipe(t *testing.T) {
	rules := "a down 0s\nb down 0s\nquiet up 5m\nshade flap 0s shadow\n"
	tests := []struct {
		name    string
		batches []*record.Batch
		want    []string
	}{
		{"one event starts all rules that match", []*record.Batch{
			batch(2, 0, evRecord(1, "down", "sw1"))}, []string{"2/0 1 a b"}},
		{"a type without a rule leaves no record", []*record.Batch{
			batch(2, 0, evRecord(1, "other", "sw1"))}, nil},
		{"the same key within the window repeats the first", []*record.Batch{
			batch(2, 0, evRecord(1, "down", "sw1")),
			batch(3, 59*time.Second, evRecord(2, "down", "sw1"))}, []string{"2/0 1 a b", "3/0 2 of 01"}},
		{"at the window's end it is news", []*record.Batch{
			batch(2, 0, evRecord(1, "down", "sw1")),
			batch(3, 60*time.Second, evRecord(2, "down", "sw1"))}, []string{"2/0 1 a b", "3/0 1 a b"}},
		{"another device is news", []*record.Batch{
			batch(2, 0, evRecord(1, "down", "sw1"), evRecord(2, "down", "sw2"))}, []string{"2/0 1 a b", "2/1 1 a b"}},
		{"after its clearing event the next is news", []*record.Batch{
			batch(2, 0, evRecord(1, "down", "sw1"), evRecord(2, "up", "sw1"), evRecord(3, "down", "sw1"))},
			[]string{"2/0 1 a b", "2/1 1 quiet", "2/2 1 a b"}},
		{"a rule's own window holds back only that rule", []*record.Batch{
			batch(2, 0, evRecord(1, "up", "sw1")),
			batch(3, 2*time.Minute, evRecord(2, "up", "sw1"))}, []string{"2/0 1 quiet", "3/0 3 quiet=duplicate"}},
		{"a shadow rule is recorded and starts nothing", []*record.Batch{
			batch(2, 0, evRecord(1, "flap", "sw1"))}, []string{"2/0 1 shade=shadow"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := New(loadFake)
			got := verdicts(t, e, append([]*record.Batch{batch(1, 0, rulesRecord(rules))}, tt.batches...)...)
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestRedeliveryIsDecidedOnce(t *testing.T) {
	e := New(loadFake)
	first, again := evRecord(1, "down", "sw1"), evRecord(2, "down", "sw1")
	first.Event.SenderID, again.Event.SenderID = "m-1", "m-1"
	got := verdicts(t, e, batch(1, 0, rulesRecord("a down 0s\n")), batch(2, 0, first), batch(3, 30*time.Minute, again))
	if d := cmp.Diff([]string{"2/0 1 a", "3/0 2 of 01"}, got); d != "" {
		t.Error(d)
	}
}

func TestChainsAreStopped(t *testing.T) {
	tests := []struct {
		name  string
		chain []string
		want  string
	}{
		{"a rule is not set off by its own run", []string{"b", "a"}, "2/0 3 a=loop"},
		{"others may follow", []string{"b"}, "2/0 1 a"},
		{"a long chain ends", strings.Split("12345678", ""), "2/0 3 a=loop"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := evRecord(1, "down", "sw1")
			r.Event.Cause = &event.Cause{Run: "r1-0-x", Rules: tt.chain}
			got := verdicts(t, New(loadFake), batch(1, 0, rulesRecord("a down 0s\n")), batch(2, 0, r))
			if d := cmp.Diff([]string{tt.want}, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// A rule set that comes in the middle of a batch decides only what follows it,
// and each stretch names its set.
func TestRulesSwitchAtTheirPosition(t *testing.T) {
	e := New(loadFake)
	if _, err := e.Step(batch(1, 0, rulesRecord("a down 0s\n"))); err != nil {
		t.Fatal(err)
	}
	got, err := e.Step(batch(2, 0, evRecord(1, "down", "sw1"), rulesRecord("second down 0s\n"), evRecord(2, "down", "sw2")))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 {
		t.Fatalf("%d stretches, want 2", len(got))
	}
	if got[0].Through != (record.Position{Seq: 2}) || got[1].From != got[0].Through || got[1].Through != (record.Position{Seq: 2, Index: 2}) {
		t.Errorf("stretches %v–%v and %v–%v", got[0].From, got[0].Through, got[1].From, got[1].Through)
	}
	if got[0].RulesVersion == got[1].RulesVersion {
		t.Errorf("both stretches name rule set %s", got[0].RulesVersion)
	}
	if r := got[0].Records[0].Decision.Runs[0].Rule + got[1].Records[0].Decision.Runs[0].Rule; r != "asecond" {
		t.Errorf("the rules that decided are %s", r)
	}
}

func TestRulesInPartsHoldFromTheLast(t *testing.T) {
	e := New(loadFake)
	part := func(n, of uint32, text string) record.Record {
		return record.Record{Kind: record.KindRules, Rules: &record.Rules{Part: n, Parts: of, Data: []byte(text)}}
	}
	got := verdicts(t, e,
		batch(1, 0, part(0, 2, "lost ")), // its second part was never written
		batch(2, 0, part(0, 2, "a down ")), batch(3, 0, evRecord(1, "down", "sw1")),
		batch(4, 0, part(1, 2, "0s\n"), evRecord(2, "down", "sw2")))
	if d := cmp.Diff([]string{"4/1 1 a"}, got); d != "" {
		t.Error(d)
	}
}

func TestAWindowThatIsFullForgetsTheOldest(t *testing.T) {
	w := newWindow(time.Minute, 3)
	for i := range 4 {
		w.check(KeyOf([]byte{byte(i)}), correlate.UUIDOf(id(i)), t0.UnixNano())
	}
	if _, dup := w.check(KeyOf([]byte{3}), correlate.UUIDOf(id(9)), t0.UnixNano()); !dup {
		t.Error("the newest key was forgotten")
	}
	if _, dup := w.check(KeyOf([]byte{0}), correlate.UUIDOf(id(9)), t0.UnixNano()); dup {
		t.Error("the oldest key is still held")
	}
	if w.len() > 3 || w.evicted != 2 {
		t.Errorf("%d keys held and %d evicted, want 3 and 2", w.len(), w.evicted)
	}
}

// The same log gives the same decisions, whatever the snapshots and restarts in
// between.
func TestDeterminism(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var log []*record.Batch
		log = append(log, batch(1, 0, rulesRecord("a down 5s\nb up 0s\n")))
		at := time.Duration(0)
		for i := range rapid.IntRange(1, 30).Draw(t, "batches") {
			at += time.Duration(rapid.IntRange(0, 40).Draw(t, "gap")) * time.Second
			var recs []record.Record
			for j := range rapid.IntRange(1, 4).Draw(t, "records") {
				if rapid.IntRange(0, 19).Draw(t, "reload") == 0 {
					recs = append(recs, rulesRecord(rapid.SampledFrom([]string{"a down 5s\n", "a down 9s\nb up 5s\n"}).Draw(t, "rules")))
					continue
				}
				r := evRecord(i*10+j, rapid.SampledFrom([]string{"down", "up", "other"}).Draw(t, "type"), rapid.SampledFrom([]string{"sw1", "sw2"}).Draw(t, "device"))
				r.Event.SenderID = rapid.SampledFrom([]string{"", "", "x", "y"}).Draw(t, "sender id")
				recs = append(recs, r)
			}
			log = append(log, batch(uint64(i+2), at, recs...))
		}
		straight := New(loadFake)
		restarted := New(loadFake)
		for _, b := range log {
			want, err := straight.Step(b)
			if err != nil {
				t.Fatal(err)
			}
			got, err := restarted.Step(b)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Fatal(d)
			}
			if rapid.Bool().Draw(t, "restart") {
				snap := restarted.Snapshot()
				restarted = New(loadFake)
				if err := restarted.Restore(snap); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(snap, restarted.Snapshot()) {
					t.Fatal("a restored engine's snapshot differs")
				}
			}
		}
	})
}

func TestADamagedSnapshotIsRefused(t *testing.T) {
	e := New(loadFake)
	verdicts(t, e, batch(1, 0, rulesRecord("a down 5s\n")), batch(2, 0, evRecord(1, "down", "sw1")))
	snap := e.Snapshot()
	for i := range snap {
		bad := bytes.Clone(snap)
		bad[i] ^= 1
		if err := New(loadFake).Restore(bad); err == nil {
			t.Fatalf("byte %d was flipped and nobody noticed", i)
		}
	}
	for n := range snap {
		if err := New(loadFake).Restore(snap[:n]); err == nil {
			t.Fatalf("a snapshot cut to %d bytes was taken", n)
		}
	}
}

func BenchmarkDedup(b *testing.B) {
	w := newWindow(time.Hour, 1<<20)
	var n uint64
	b.ReportAllocs()
	for b.Loop() {
		n++
		w.check(KeyOf(fmt.Appendf(nil, "device-%d", n%2_000_000)), correlate.UUIDOf(id(int(n))), t0.Add(time.Duration(n)*time.Millisecond).UnixNano())
	}
}

// The window agrees with the slow and obvious one: a list of what was news and
// when.
func TestWindowAgreesWithTheObviousOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type news struct {
			key  byte
			at   time.Duration
			id   event.ID
			gone bool
		}
		w := newWindow(10*time.Second, 1<<20)
		var all []*news
		now := time.Duration(0)
		for i := range rapid.IntRange(1, 300).Draw(t, "events") {
			now += time.Duration(rapid.IntRange(0, 3000).Draw(t, "gap")) * time.Millisecond
			key := byte(rapid.IntRange(0, 20).Draw(t, "key"))
			if rapid.IntRange(0, 9).Draw(t, "clear") == 0 {
				w.forget(KeyOf([]byte{key}))
				for _, n := range all {
					n.gone = n.gone || n.key == key
				}
				continue
			}
			var want event.ID
			for _, n := range all {
				if n.key == key && !n.gone && now < n.at+10*time.Second {
					want = n.id
				}
			}
			var of event.ID
			before, dup := w.check(KeyOf([]byte{key}), correlate.UUIDOf(id(i)), t0.Add(now).UnixNano())
			if dup {
				of = before.id()
			}
			if dup != (want != "") || of != want {
				t.Fatalf("event %d at %v: repeats %q, want %q", i, now, of, want)
			}
			if !dup {
				all = append(all, &news{key: key, at: now, id: id(i)})
			}
		}
	})
}

func (f *fakeRules) Plan(string) *correlate.Plan { return nil }

func (f *fakeRules) Binds(string, int, *event.Event, []*event.Event) (bool, error) {
	return false, nil
}

func (f *fakeRules) Topology() *correlate.Topology { return nil }

func (f *fakeRules) Effect(string) correlate.Effect { return "" }

func (f *fakeRules) Planned() []string { return nil }

func (f *fakeRules) About(rule string) (Match, bool) { return Match{}, false }
