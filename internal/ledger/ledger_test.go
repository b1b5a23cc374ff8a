package ledger

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"signalbox/event"
	"signalbox/internal/record"
)

var t0 = time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)

// story is a log that grows batch by batch.
type story struct{ batches []*record.Batch }

func (s *story) add(subject record.Subject, recs ...record.Record) *record.Batch {
	n := uint64(len(s.batches) + 1)
	b := &record.Batch{Seq: n, Time: t0.Add(time.Duration(n) * time.Second), Subject: subject, Records: recs}
	s.batches = append(s.batches, b)
	return b
}

func ev(id string) record.Record {
	return record.Record{Kind: record.KindEvent, Event: &event.Event{ID: event.ID(id), Source: "w"}}
}

func rejected(id string) record.Record {
	return record.Record{Kind: record.KindRejected, Rejected: &record.Rejected{Event: event.Event{ID: event.ID(id), Source: "w"}, Reason: "no"}}
}

func at(seq uint64, index uint32) record.Position { return record.Position{Seq: seq, Index: index} }

func decision(p record.Position, v record.Verdict, runs ...string) record.Record {
	d := &record.Decision{At: p, Verdict: v}
	for _, r := range runs {
		d.Runs = append(d.Runs, record.RunStart{Run: r, Rule: "r"})
	}
	return record.Record{Kind: record.KindDecision, Decision: d}
}

// decide adds a batch of decisions about the stretch (from, through].
func (s *story) decide(from, through record.Position, events, unmatched uint64, recs ...record.Record) *record.Batch {
	b := s.add(record.Decisions, recs...)
	b.From, b.Through, b.EventCount, b.UnmatchedCount = from, through, events, unmatched
	return b
}

func begin(run, step string, attempt uint32) record.Record {
	return record.Record{Kind: record.KindStepBegin, Begin: &record.StepBegin{Run: run, Step: step, Attempt: attempt}}
}

func end(run, step string, ok bool) record.Record {
	return record.Record{Kind: record.KindStepEnd, End: &record.StepEnd{Run: run, Step: step, OK: ok}}
}

func over(run string, o record.Outcome) record.Record {
	return record.Record{Kind: record.KindRunEnd, RunEnd: &record.RunEnd{Run: run, Outcome: o}}
}

// sound is a log with one of everything, in order.
func sound() *story {
	s := &story{}
	s.add(record.Events, ev("e1"), ev("e2"), rejected("x1"), ev("e3"))
	s.add(record.Events, ev("e4"))
	s.decide(record.Position{}, at(1, 3), 3, 1, decision(at(1, 0), record.Decided, "r1", "r2"), decision(at(1, 1), record.Duplicate))
	s.add(record.Journal, begin("r1", "1", 1), end("r1", "1", false), begin("r1", "1", 2), end("r1", "1", true),
		begin("r2", "1", 1), end("r2", "1", false), over("r2", record.Failed))
	s.decide(at(1, 3), at(2, 0), 1, 0, decision(at(2, 0), record.Suppressed))
	s.add(record.Journal, begin("r1", "2", 1), end("r1", "2", true), over("r1", record.Succeeded), over("r2", record.Requeued),
		begin("r2", "1", 2), end("r2", "1", true), over("r2", record.Succeeded))
	return s
}

func audit(s *story) *Audit {
	a := NewAudit()
	for _, b := range s.batches {
		a.Apply(b)
	}
	return a
}

func TestSoundBooks(t *testing.T) {
	a := audit(sound())
	if len(a.Problems) != 0 || a.More != 0 {
		t.Fatalf("problems in a sound log: %v", a.Problems)
	}
	b := a.Books
	want := Books{Since: t0.Add(time.Second), Through: at(6, 0), Sources: map[string]*SourceBooks{"w": {Logged: 4, Rejected: 1}},
		Logged: 4, Reject: 1, Decided: 1, Duplicate: 1, Suppressed: 1, Unmatched: 1,
		Runs: RunBooks{Started: 2, Succeeded: 2, Failed: 1, Requeued: 1}}
	if d := cmp.Diff(want, b); d != "" {
		t.Errorf("books (-want +got):\n%s", d)
	}
	if b.Undecided() != 0 || b.Runs.Open() != 0 {
		t.Errorf("undecided %d, open %d", b.Undecided(), b.Runs.Open())
	}
}

// Everything that can be wrong is seeded into a sound log, and must be found and
// named.
func TestAuditFinds(t *testing.T) {
	tests := []struct {
		name string
		seed func(s *story)
		want string
	}{
		{"an event that is in the log twice", func(s *story) { s.batches[1].Records[0] = ev("e2") },
			"event e2 is in the log twice, the second time at 2/0"},
		{"an event decided twice in a batch", func(s *story) {
			s.batches[2].Records = append(s.batches[2].Records, decision(at(1, 1), record.Duplicate))
			s.batches[2].UnmatchedCount = 0
		}, "decision 3/2 is about 1/1, outside its stretch or decided before"},
		{"an event decided twice in two batches", func(s *story) {
			s.batches[4].Records[0].Decision.At = at(1, 3)
		}, "decision 5/0 is about 1/3, outside its stretch or decided before"},
		{"a stretch decided again", func(s *story) { s.batches[4].From = at(1, 1) },
			"the decisions at 5 begin after 1/1, and those before ended at 1/3"},
		{"a gap between stretches", func(s *story) { s.batches[2].Through = at(1, 1) },
			"the decisions at 5 begin after 1/3, and those before ended at 1/1"},
		{"a decision about what comes later", func(s *story) { s.batches[2].Records[1].Decision.At = at(2, 0) },
			"decision 3/1 is about 2/0, outside its stretch"},
		{"a stretch that ends before it begins", func(s *story) { s.batches[4].Through = at(1, 0) },
			"the decisions at 5 end at 1/0, before they begin at 1/3"},
		{"an event left out", func(s *story) { s.batches[2].UnmatchedCount, s.batches[2].EventCount = 0, 2 },
			"the decisions at 3 say that 2 events lie between 0/0 and 1/3; there are 3"},
		{"a wrong count of unmatched ones", func(s *story) { s.batches[2].UnmatchedCount = 2 },
			"the decisions at 3 have 2 verdicts and 2 unmatched for 3 events"},
		{"a verdict that is missing", func(s *story) { s.batches[4].Records = nil },
			"the decisions at 5 have 0 verdicts and 0 unmatched for 1 events"},
		{"a run started twice", func(s *story) { s.batches[4].Records[0] = decision(at(2, 0), record.Decided, "r1") },
			"run r1 was started twice, the second time at 5/0"},
		{"a run started twice by one event", func(s *story) { s.batches[2].Records[0] = decision(at(1, 0), record.Decided, "r1", "r1", "r2") },
			"run r1 was started twice, the second time at 3/0"},
		{"a step done again", func(s *story) { s.batches[5].Records[0] = begin("r1", "1", 3) },
			"step 1 of run r1 was done again at 6/0"},
		{"a step after the end", func(s *story) { s.add(record.Journal, begin("r1", "3", 1)) },
			"step 3 of run r1 began at 7/0, after the run's end"},
		{"a dead run that goes on by itself", func(s *story) { s.batches[5].Records = append(s.batches[5].Records[:3], s.batches[5].Records[4:]...) },
			"step 1 of run r2 began at 6/3, after the run's end"},
		{"a run that ended twice", func(s *story) { s.add(record.Journal, over("r1", record.Succeeded)) },
			"run r1 ended twice, the second time at 7/0"},
		{"a journal of a run that nothing ordered", func(s *story) { s.add(record.Journal, begin("r9", "1", 1)) },
			"the journal at 7/0 speaks of run r9, which nothing ordered"},
		{"the end of one", func(s *story) { s.add(record.Journal, over("r9", record.Succeeded)) },
			"the journal at 7/0 speaks of run r9, which nothing ordered"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := sound()
			tt.seed(s)
			a := audit(s)
			for _, p := range a.Problems {
				if strings.Contains(p, tt.want) {
					return
				}
			}
			t.Errorf("problems %q, want %q", a.Problems, tt.want)
		})
	}
}

// What a person and a replay may do is no problem.
func TestAuditAllows(t *testing.T) {
	tests := []struct {
		name string
		more func(s *story)
	}{
		{"a failed run is discarded", func(s *story) {
			s.add(record.Events, ev("e5"))
			s.decide(at(2, 0), at(7, 0), 1, 0, decision(at(7, 0), record.Decided, "r3"))
			s.add(record.Journal, begin("r3", "1", 1), end("r3", "1", false), over("r3", record.InDoubt), over("r3", record.Discarded))
		}},
		{"a command and a replay have no event of their own", func(s *story) {
			cmd := record.Record{Kind: record.KindCommand, Command: &record.Command{ID: "c", Verb: "replay"}}
			s.add(record.Events, cmd, cmd)
			r := decision(at(7, 0), record.Decided, "replayed")
			r.Decision.Replay = true
			c := decision(at(7, 1), 0)
			c.Decision.Command = &record.Command{Verb: "discard"}
			s.decide(at(2, 0), at(7, 1), 0, 0, r, c)
		}},
		{"an empty checkpoint", func(s *story) { s.decide(at(2, 0), at(6, 0), 0, 0) }},
		{"an unmatched event with something to say", func(s *story) {
			s.add(record.Events, ev("e5"))
			s.decide(at(2, 0), at(7, 0), 1, 1, decision(at(7, 0), record.Unmatched))
		}},
		{"an attempt that is repeated, its end not known", func(s *story) {
			s.add(record.Events, ev("e5"))
			s.decide(at(2, 0), at(7, 0), 1, 0, decision(at(7, 0), record.Decided, "r3"))
			s.add(record.Journal, begin("r3", "1", 1), begin("r3", "1", 1), end("r3", "1", true))
		}},
		{"events not decided yet", func(s *story) { s.add(record.Events, ev("e5")) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := sound()
			tt.more(s)
			if a := audit(s); len(a.Problems) != 0 {
				t.Errorf("problems: %q", a.Problems)
			}
		})
	}
}

// A log whose beginning retention took is audited from where it begins.
func TestAuditAfterRetention(t *testing.T) {
	s := sound()
	first := &record.Batch{Seq: 3, Time: t0, Subject: record.Events, Records: []record.Record{
		{Kind: record.KindRetention, Retention: &record.Retention{FirstSeq: 1, LastSeq: 3, Records: 6}}, ev("e9")}}
	cut := &story{batches: append([]*record.Batch{first}, s.batches[3:]...)}
	cut.batches[2].From = at(3, 0)
	cut.batches[2].Through = at(3, 1)
	cut.batches[2].Records[0].Decision.At = at(3, 1)
	a := audit(cut)
	if len(a.Problems) != 0 {
		t.Errorf("problems: %q", a.Problems)
	}
	if a.Books.Left != 3 || !a.Books.Partial {
		t.Errorf("left %d", a.Books.Left)
	}
}

func TestProblemsAreBounded(t *testing.T) {
	a := NewAudit()
	a.Apply(&record.Batch{Seq: 1, Subject: record.Events, Records: []record.Record{ev("e")}})
	for i := range uint64(MaxProblems + 50) {
		a.Apply(&record.Batch{Seq: i + 2, Subject: record.Events, Records: []record.Record{ev("e")}})
	}
	if len(a.Problems) != MaxProblems || a.More != 50 {
		t.Errorf("%d problems and %d more", len(a.Problems), a.More)
	}
}

// Counted twice is counted once: readers may see a batch again.
func TestBooksPassOverWhatIsCounted(t *testing.T) {
	s := sound()
	var once, twice Books
	for _, b := range s.batches {
		once.Apply(b)
		twice.Apply(b)
		twice.Apply(b)
	}
	twice.Apply(s.batches[0])
	if d := cmp.Diff(once, twice); d != "" {
		t.Errorf("counted again (-once +twice):\n%s", d)
	}
}

func TestCloneAndSnapshot(t *testing.T) {
	a := audit(sound())
	c := a.Books.Clone()
	c.Sources["w"].Logged = 99
	if a.Books.Sources["w"].Logged != 4 {
		t.Error("a clone shares what it counts")
	}
	data, err := a.Books.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	back, err := Restore(data)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(&a.Books, back); d != "" {
		t.Errorf("restored (-want +got):\n%s", d)
	}
	for _, bad := range []string{"", "{", "[]", `{"logged":-1}`} {
		if b, err := Restore([]byte(bad)); err == nil {
			t.Errorf("%q is restored as %+v", bad, b)
		}
	}
}

// Whatever is logged and decided in order balances, at every batch, and books
// that stop and go on from a snapshot count the same.
func TestAnyOrderlyLogBalances(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s, a := &story{}, NewAudit()
		through, n, runs := record.Position{}, 0, 0
		var open []record.Position // undecided events, in order
		var alive []string
		restored := &Books{}
		for range rapid.IntRange(1, 40).Draw(rt, "batches") {
			var b *record.Batch
			switch rapid.IntRange(0, 2).Draw(rt, "kind") {
			case 0:
				b = s.add(record.Events)
				for range rapid.IntRange(1, 5).Draw(rt, "events") {
					n++
					open = append(open, b.At(len(b.Records)))
					b.Records = append(b.Records, ev(fmt.Sprint("e", n)))
				}
			case 1:
				k := rapid.IntRange(0, len(open)).Draw(rt, "decided")
				b = s.decide(through, through, uint64(k), 0)
				for _, p := range open[:k] {
					b.Through = p
					switch v := record.Verdict(rapid.IntRange(1, 4).Draw(rt, "verdict")); v {
					case record.Unmatched:
						b.UnmatchedCount++
					case record.Decided:
						runs++
						alive = append(alive, fmt.Sprint("r", runs))
						b.Records = append(b.Records, decision(p, v, alive[len(alive)-1]))
					default:
						b.Records = append(b.Records, decision(p, v))
					}
				}
				open, through = open[k:], b.Through
			case 2:
				if len(alive) == 0 {
					continue
				}
				b = s.add(record.Journal, begin(alive[0], "1", 1), end(alive[0], "1", true), over(alive[0], record.Succeeded))
				alive = alive[1:]
			}
			a.Apply(b)
			restored.Apply(b)
			data, _ := restored.Marshal()
			restored, _ = Restore(data)
			if got := a.Books.Undecided(); got != int64(len(open)) {
				rt.Fatalf("undecided %d, want %d", got, len(open))
			}
			if got := a.Books.Runs.Open(); got != int64(len(alive)) {
				rt.Fatalf("open %d, want %d", got, len(alive))
			}
		}
		if len(a.Problems) != 0 {
			rt.Fatalf("problems: %q", a.Problems)
		}
		if a.Books.Logged != restored.Logged || a.Books.Unmatched != restored.Unmatched || a.Books.Runs != restored.Runs {
			rt.Fatalf("restored books %+v, want %+v", restored, a.Books)
		}
	})
}

// timed is a decision that time made when the record at p came.
func timed(p record.Position, runs ...string) record.Record {
	r := decision(p, record.Decided, runs...)
	r.Decision.Due = t0
	return r
}

// TestWhatTimeDecided: it is no event's outcome, and stands beside that of the
// record that brought the time.
func TestWhatTimeDecided(t *testing.T) {
	s := &story{}
	s.add(record.Events, ev("e1"), record.Record{Kind: record.KindTick}, ev("e2"))
	s.decide(record.Position{}, at(1, 2), 2, 0, decision(at(1, 0), record.Suppressed), timed(at(1, 1), "r1"), timed(at(1, 1), "r2"),
		timed(at(1, 2), "r3"), decision(at(1, 2), record.Decided, "r4"), timed(at(1, 2)))
	s.add(record.Journal, over("r1", record.Succeeded), over("r2", record.Succeeded), over("r3", record.Succeeded), over("r4", record.Succeeded))
	a := audit(s)
	b := &a.Books
	if len(a.Problems) > 0 || b.Undecided() != 0 || b.Decided != 1 || b.Suppressed != 1 || b.Timed != 4 || b.Runs.Started != 4 || b.Runs.Open() != 0 {
		t.Errorf("%+v, problems %q", b, a.Problems)
	}
	for name, recs := range map[string][]record.Record{
		"decided twice":      {decision(at(1, 0), record.Suppressed), decision(at(1, 2), record.Decided), timed(at(1, 2), "r3"), decision(at(1, 2), record.Decided)},
		"out of order":       {timed(at(1, 1), "r1"), decision(at(1, 0), record.Suppressed), decision(at(1, 2), record.Decided)},
		"beyond the stretch": {decision(at(1, 0), record.Suppressed), decision(at(1, 2), record.Decided), timed(at(3, 0), "r3")},
	} {
		s := &story{batches: s.batches[:1:1]}
		s.decide(record.Position{}, at(1, 2), 2, 0, recs...)
		if a := audit(s); len(a.Problems) == 0 {
			t.Errorf("%s: problems %q", name, a.Problems)
		}
	}
}
