package record_test

import (
	"time"

	"pgregory.net/rapid"

	"signalbox/event"
	"signalbox/internal/record"
)

// Generators of values in the form that decoding gives: nil for what is empty,
// times in UTC.

var (
	text = rapid.StringN(0, 20, -1)
	num  = rapid.Uint32()
	flip = rapid.Bool()
)

func raw() *rapid.Generator[[]byte] {
	return rapid.Custom(func(t *rapid.T) []byte {
		b := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "bytes")
		if len(b) == 0 {
			return nil
		}
		return b
	})
}

func times() *rapid.Generator[time.Time] {
	return rapid.Custom(func(t *rapid.T) time.Time {
		if flip.Draw(t, "none") {
			return time.Time{}
		}
		// Year -1000 to 10000: devices do send such times.
		return time.Unix(rapid.Int64Range(-93692620800, 253402300799).Draw(t, "sec"), rapid.Int64Range(0, 999999999).Draw(t, "nsec")).UTC()
	})
}

func positions() *rapid.Generator[record.Position] {
	return rapid.Custom(func(t *rapid.T) record.Position {
		return record.Position{Seq: rapid.Uint64().Draw(t, "seq"), Index: num.Draw(t, "index")}
	})
}

func events() *rapid.Generator[*event.Event] {
	return rapid.Custom(func(t *rapid.T) *event.Event {
		s := func(name string) string { return text.Draw(t, name) }
		e := &event.Event{ID: event.ID(s("id")), SenderID: s("sender"), Source: s("source"), Peer: s("peer"), Type: s("type"),
			Device: s("device"), Interface: s("interface"), Time: times().Draw(t, "time"), Received: times().Draw(t, "received"),
			TraceParent: s("trace"), Data: raw().Draw(t, "data"), Raw: raw().Draw(t, "raw"), Mapping: s("mapping"), Resubmits: event.ID(s("re"))}
		if flip.Draw(t, "meta?") {
			e.Meta = rapid.MapOfN(text, text, 1, 4).Draw(t, "meta")
		}
		if flip.Draw(t, "cause?") {
			e.Cause = &event.Cause{Run: s("run"), Rule: s("rule"), Event: event.ID(s("event")), Replay: flip.Draw(t, "replay")}
			for range rapid.IntRange(0, 3).Draw(t, "rules") {
				e.Cause.Rules = append(e.Cause.Rules, s("rule"))
			}
		}
		return e
	})
}

func commands(t *rapid.T) *record.Command {
	c := &record.Command{ID: text.Draw(t, "id"), Verb: text.Draw(t, "verb"), Run: text.Draw(t, "run"), By: text.Draw(t, "by"),
		Note: text.Draw(t, "note"), Original: positions().Draw(t, "original"), DryRun: flip.Draw(t, "dry"), End: times().Draw(t, "end")}
	if flip.Draw(t, "event?") {
		c.Event = events().Draw(t, "event")
	}
	return c
}

func decisions(t *rapid.T) *record.Decision {
	d := &record.Decision{At: positions().Draw(t, "at"), Verdict: record.Verdict(rapid.Byte().Draw(t, "verdict")), Of: event.ID(text.Draw(t, "of")),
		Reason: text.Draw(t, "reason"), Replay: flip.Draw(t, "replay"), DryRun: flip.Draw(t, "dry")}
	if flip.Draw(t, "event?") {
		d.Event = events().Draw(t, "event")
	}
	if flip.Draw(t, "command?") {
		d.Command = commands(t)
	}
	for range rapid.IntRange(0, 3).Draw(t, "runs") {
		d.Runs = append(d.Runs, runStart(t))
	}
	for range rapid.IntRange(0, 3).Draw(t, "notes") {
		d.Notes = append(d.Notes, record.RuleNote{Rule: text.Draw(t, "rule"), Outcome: text.Draw(t, "outcome"), Detail: text.Draw(t, "detail"), Of: event.ID(text.Draw(t, "of")), Key: text.Draw(t, "key")})
	}
	if flip.Draw(t, "due?") {
		d.Due = times().Draw(t, "due")
	}
	for range rapid.IntRange(0, 2).Draw(t, "situations") {
		s := func(name string) string { return text.Draw(t, name) }
		d.Situations = append(d.Situations, record.SituationChange{ID: s("id"), Rule: s("rule"), Key: s("key"), Change: s("change"),
			State: s("state"), Event: event.ID(s("event")), Run: s("run"), By: s("by"), Note: s("note")})
	}
	return d
}

func runStart(t *rapid.T) record.RunStart {
	s := func(name string) string { return text.Draw(t, name) }
	r := record.RunStart{Run: s("run"), Rule: s("rule"), RuleVersion: s("version"), Device: s("device"), Partition: num.Draw(t, "partition"),
		Total: num.Draw(t, "total"), Key: s("key"), Branch: s("branch"), Situation: s("situation")}
	for range rapid.IntRange(0, 2).Draw(t, "of") {
		r.Events = append(r.Events, events().Draw(t, "event"))
		r.As = append(r.As, s("as"))
	}
	return r
}

func records() *rapid.Generator[record.Record] {
	return rapid.Custom(func(t *rapid.T) record.Record {
		r := record.Record{Kind: rapid.SampledFrom([]record.Kind{1, 2, 3, 4, 5, 6, 16, 32, 33, 34}).Draw(t, "kind")}
		s := func(name string) string { return text.Draw(t, name) }
		switch r.Kind {
		case record.KindEvent:
			r.Event = events().Draw(t, "event")
		case record.KindRejected:
			r.Rejected = &record.Rejected{Event: *events().Draw(t, "event"), Reason: s("reason")}
		case record.KindRules:
			r.Rules = &record.Rules{Version: s("version"), Part: num.Draw(t, "part"), Parts: num.Draw(t, "parts"), Data: raw().Draw(t, "data")}
		case record.KindCommand:
			r.Command = commands(t)
		case record.KindRetention:
			r.Retention = &record.Retention{FirstSeq: rapid.Uint64().Draw(t, "first"), LastSeq: rapid.Uint64().Draw(t, "last"), Records: rapid.Uint64().Draw(t, "records"),
				FirstTime: times().Draw(t, "from"), LastTime: times().Draw(t, "to"), Reason: s("reason")}
		case record.KindDecision:
			r.Decision = decisions(t)
		case record.KindStepBegin:
			r.Begin = &record.StepBegin{Run: s("run"), Step: s("step"), Attempt: num.Draw(t, "attempt"), Action: s("action"), Idempotent: flip.Draw(t, "idem")}
		case record.KindStepEnd:
			r.End = &record.StepEnd{Run: s("run"), Step: s("step"), Attempt: num.Draw(t, "attempt"), OK: flip.Draw(t, "ok"), Skipped: flip.Draw(t, "skipped"),
				Output: raw().Draw(t, "output"), Error: s("error"), Recoverable: flip.Draw(t, "rec"), Took: time.Duration(rapid.Int64().Draw(t, "took")), RetryAt: times().Draw(t, "retry")}
		case record.KindRunEnd:
			r.RunEnd = &record.RunEnd{Run: s("run"), Outcome: record.Outcome(rapid.Byte().Draw(t, "outcome")), Error: s("error"), By: s("by")}
		}
		return r
	})
}

func batches() *rapid.Generator[*record.Batch] {
	return rapid.Custom(func(t *rapid.T) *record.Batch {
		b := &record.Batch{Subject: rapid.SampledFrom([]record.Subject{record.Events, record.Decisions, record.Journal, "log.later"}).Draw(t, "subject"),
			Writer: text.Draw(t, "writer"), Number: rapid.Uint64().Draw(t, "number"), From: positions().Draw(t, "from"), Through: positions().Draw(t, "through"),
			RulesVersion: text.Draw(t, "rules"), EventCount: rapid.Uint64().Draw(t, "events"), UnmatchedCount: rapid.Uint64().Draw(t, "unmatched")}
		copy(b.Prev[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "prev"))
		b.Records = append([]record.Record{}, rapid.SliceOfN(records(), 0, 12).Draw(t, "records")...)
		return b
	})
}
