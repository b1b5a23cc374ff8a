package record

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"signalbox/event"
)

// Field numbers that more than one function knows. All others stand where they
// are used, in the order of record.proto.
const fieldRecords = 15

// AppendRecord appends the coding of r, framed as it stands in a batch, so that
// the records of a batch are simply one after the other. Strings that are not
// UTF-8 are made so (U+FFFD for what is wrong): what the peer really sent is
// in Event.Raw, which is kept byte for byte.
func AppendRecord(dst []byte, r *Record) []byte {
	dst, at := open(dst, fieldRecords)
	dst = appendUint(dst, 1, uint64(r.Kind))
	switch {
	case r.Event != nil:
		dst = appendEvent(dst, 2, r.Event)
	case r.Rejected != nil:
		dst = appendRejected(dst, 3, r.Rejected)
	case r.Rules != nil:
		dst = appendRules(dst, 4, r.Rules)
	case r.Command != nil:
		dst = appendCommand(dst, 5, r.Command)
	case r.Retention != nil:
		dst = appendRetention(dst, 6, r.Retention)
	case r.Decision != nil:
		dst = appendDecision(dst, 7, r.Decision)
	case r.Begin != nil:
		dst = appendBegin(dst, 8, r.Begin)
	case r.End != nil:
		dst = appendEnd(dst, 9, r.End)
	case r.RunEnd != nil:
		dst = appendRunEnd(dst, 10, r.RunEnd)
	}
	return shut(dst, at)
}

// open begins a nested message: a tag, and one byte for its length.
func open(dst []byte, num protowire.Number) ([]byte, int) {
	dst = protowire.AppendTag(dst, num, protowire.BytesType)
	dst = append(dst, 0)
	return dst, len(dst)
}

// shut ends the nested message that starts at at. Most are short; for the
// others moving the bytes costs less than counting them beforehand.
func shut(dst []byte, at int) []byte {
	n := len(dst) - at
	if n < 0x80 {
		dst[at-1] = byte(n)
		return dst
	}
	more := protowire.SizeVarint(uint64(n)) - 1
	var pad [9]byte
	dst = append(dst, pad[:more]...)
	copy(dst[at+more:], dst[at:at+n])
	protowire.AppendVarint(dst[:at-1], uint64(n))
	return dst
}

func appendUint(dst []byte, num protowire.Number, v uint64) []byte {
	if v == 0 {
		return dst
	}
	if num < 16 { // mostly: one byte
		dst = append(dst, byte(num)<<3|byte(protowire.VarintType))
	} else {
		dst = protowire.AppendTag(dst, num, protowire.VarintType)
	}
	return protowire.AppendVarint(dst, v)
}

func appendBool(dst []byte, num protowire.Number, v bool) []byte {
	if !v {
		return dst
	}
	return appendUint(dst, num, 1)
}

func appendString[S ~string](dst []byte, num protowire.Number, v S) []byte {
	if v == "" {
		return dst
	}
	return appendStringAlways(dst, num, string(v))
}

// appendStringAlways writes empty strings too: elements of lists and maps.
func appendStringAlways(dst []byte, num protowire.Number, v string) []byte {
	if !utf8.ValidString(v) {
		v = strings.ToValidUTF8(v, "\uFFFD")
	}
	if num < 16 && len(v) < 128 { // mostly: one byte each
		dst = append(dst, byte(num)<<3|byte(protowire.BytesType), byte(len(v)))
		return append(dst, v...)
	}
	dst = protowire.AppendTag(dst, num, protowire.BytesType)
	return protowire.AppendString(dst, v)
}

func appendBytes(dst []byte, num protowire.Number, v []byte) []byte {
	if len(v) == 0 {
		return dst
	}
	dst = protowire.AppendTag(dst, num, protowire.BytesType)
	return protowire.AppendBytes(dst, v)
}

func appendTime(dst []byte, num protowire.Number, t time.Time) []byte {
	if t.IsZero() {
		return dst
	}
	dst, at := open(dst, num)
	dst = appendUint(dst, 1, uint64(t.Unix()))
	dst = appendUint(dst, 2, uint64(t.Nanosecond()))
	return shut(dst, at)
}

func appendPosition(dst []byte, num protowire.Number, p Position) []byte {
	if p.IsZero() {
		return dst
	}
	dst, at := open(dst, num)
	dst = appendUint(dst, 1, p.Seq)
	dst = appendUint(dst, 2, uint64(p.Index))
	return shut(dst, at)
}

// AppendEvent appends the coding of one event (message Event) for who keeps it
// elsewhere than in a batch; DecodeEvent reads it. The length is not written.
func AppendEvent(dst []byte, e *event.Event) []byte {
	return appendParts(dst, e, true, true)
}

// AppendKept is AppendEvent without Raw and Meta, and without the ID where its
// keeper has that already.
func AppendKept(dst []byte, e *event.Event, id bool) []byte {
	return appendParts(dst, e, id, false)
}

func appendParts(dst []byte, e *event.Event, id, transport bool) []byte {
	if id {
		dst = appendString(dst, 1, e.ID)
	}
	dst = appendString(dst, 2, e.SenderID)
	dst = appendString(dst, 3, e.Source)
	dst = appendString(dst, 4, e.Peer)
	dst = appendString(dst, 5, e.Type)
	dst = appendString(dst, 6, e.Device)
	dst = appendString(dst, 7, e.Interface)
	dst = appendTime(dst, 8, e.Time)
	dst = appendTime(dst, 9, e.Received)
	dst = appendString(dst, 10, e.TraceParent)
	dst = appendBytes(dst, 11, e.Data)
	if transport {
		dst = appendBytes(dst, 12, e.Raw)
	}
	dst = appendString(dst, 13, e.Mapping)
	if transport && len(e.Meta) > 0 {
		dst = appendMeta(dst, e.Meta)
	}
	if e.Cause != nil {
		dst = appendCause(dst, e.Cause)
	}
	dst = appendString(dst, 16, e.Resubmits)
	return dst
}

func appendEvent(dst []byte, num protowire.Number, e *event.Event) []byte {
	dst, at := open(dst, num)
	return shut(AppendEvent(dst, e), at)
}

// appendMeta sorts the keys: the same event is the same bytes.
func appendMeta(dst []byte, meta map[string]string) []byte {
	keys := make([]string, 0, len(meta))
	for k := range meta {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		var at int
		dst, at = open(dst, 14)
		dst = appendStringAlways(dst, 1, k)
		dst = appendStringAlways(dst, 2, meta[k])
		dst = shut(dst, at)
	}
	return dst
}

func appendCause(dst []byte, c *event.Cause) []byte {
	dst, at := open(dst, 15)
	dst = appendString(dst, 1, c.Run)
	dst = appendString(dst, 2, c.Rule)
	dst = appendString(dst, 3, c.Event)
	for _, r := range c.Rules {
		dst = appendStringAlways(dst, 4, r)
	}
	dst = appendBool(dst, 5, c.Replay)
	return shut(dst, at)
}

func appendRejected(dst []byte, num protowire.Number, r *Rejected) []byte {
	dst, at := open(dst, num)
	dst = appendEvent(dst, 1, &r.Event)
	dst = appendString(dst, 2, r.Reason)
	return shut(dst, at)
}

func appendRules(dst []byte, num protowire.Number, r *Rules) []byte {
	dst, at := open(dst, num)
	dst = appendString(dst, 1, r.Version)
	dst = appendUint(dst, 2, uint64(r.Part))
	dst = appendUint(dst, 3, uint64(r.Parts))
	dst = appendBytes(dst, 4, r.Data)
	return shut(dst, at)
}

func appendCommand(dst []byte, num protowire.Number, c *Command) []byte {
	dst, at := open(dst, num)
	dst = appendString(dst, 1, c.ID)
	dst = appendString(dst, 2, c.Verb)
	dst = appendString(dst, 3, c.Run)
	dst = appendString(dst, 4, c.By)
	dst = appendString(dst, 5, c.Note)
	if c.Event != nil {
		dst = appendEvent(dst, 6, c.Event)
	}
	dst = appendPosition(dst, 7, c.Original)
	dst = appendBool(dst, 8, c.DryRun)
	dst = appendTime(dst, 9, c.End)
	return shut(dst, at)
}

func appendRetention(dst []byte, num protowire.Number, r *Retention) []byte {
	dst, at := open(dst, num)
	dst = appendUint(dst, 1, r.FirstSeq)
	dst = appendUint(dst, 2, r.LastSeq)
	dst = appendUint(dst, 3, r.Records)
	dst = appendTime(dst, 4, r.FirstTime)
	dst = appendTime(dst, 5, r.LastTime)
	dst = appendString(dst, 6, r.Reason)
	return shut(dst, at)
}

func appendDecision(dst []byte, num protowire.Number, d *Decision) []byte {
	dst, at := open(dst, num)
	dst = appendPosition(dst, 1, d.At)
	dst = appendUint(dst, 2, uint64(d.Verdict))
	if d.Event != nil {
		dst = appendEvent(dst, 3, d.Event)
	}
	dst = appendString(dst, 4, d.Of)
	dst = appendString(dst, 5, d.Reason)
	for i := range d.Runs {
		dst = appendRunStart(dst, &d.Runs[i])
	}
	for i := range d.Notes {
		dst = appendRuleNote(dst, &d.Notes[i])
	}
	if d.Command != nil {
		dst = appendCommand(dst, 8, d.Command)
	}
	dst = appendBool(dst, 9, d.Replay)
	dst = appendBool(dst, 10, d.DryRun)
	dst = appendTime(dst, 11, d.Due)
	for i := range d.Situations {
		dst = appendSituation(dst, &d.Situations[i])
	}
	return shut(dst, at)
}

func appendRunStart(dst []byte, r *RunStart) []byte {
	dst, at := open(dst, 6)
	dst = appendString(dst, 1, r.Run)
	dst = appendString(dst, 2, r.Rule)
	dst = appendString(dst, 3, r.RuleVersion)
	dst = appendString(dst, 4, r.Device)
	dst = appendUint(dst, 5, uint64(r.Partition))
	for _, e := range r.Events {
		dst = appendEvent(dst, 6, e)
	}
	for _, as := range r.As {
		dst = appendStringAlways(dst, 7, as)
	}
	dst = appendUint(dst, 8, uint64(r.Total))
	dst = appendString(dst, 9, r.Key)
	dst = appendString(dst, 10, r.Branch)
	dst = appendString(dst, 11, r.Situation)
	return shut(dst, at)
}

func appendSituation(dst []byte, s *SituationChange) []byte {
	dst, at := open(dst, 12)
	dst = appendString(dst, 1, s.ID)
	dst = appendString(dst, 2, s.Rule)
	dst = appendString(dst, 3, s.Key)
	dst = appendString(dst, 4, s.Change)
	dst = appendString(dst, 5, s.State)
	dst = appendString(dst, 6, s.Event)
	dst = appendString(dst, 7, s.Run)
	dst = appendString(dst, 8, s.By)
	dst = appendString(dst, 9, s.Note)
	dst = appendUint(dst, 10, uint64(s.Count))
	return shut(dst, at)
}

func appendRuleNote(dst []byte, n *RuleNote) []byte {
	dst, at := open(dst, 7)
	dst = appendString(dst, 1, n.Rule)
	dst = appendString(dst, 2, n.Outcome)
	dst = appendString(dst, 3, n.Detail)
	dst = appendString(dst, 4, n.Of)
	dst = appendString(dst, 5, n.Key)
	return shut(dst, at)
}

func appendBegin(dst []byte, num protowire.Number, s *StepBegin) []byte {
	dst, at := open(dst, num)
	dst = appendString(dst, 1, s.Run)
	dst = appendString(dst, 2, s.Step)
	dst = appendUint(dst, 3, uint64(s.Attempt))
	dst = appendString(dst, 4, s.Action)
	dst = appendBool(dst, 5, s.Idempotent)
	return shut(dst, at)
}

func appendEnd(dst []byte, num protowire.Number, s *StepEnd) []byte {
	dst, at := open(dst, num)
	dst = appendString(dst, 1, s.Run)
	dst = appendString(dst, 2, s.Step)
	dst = appendUint(dst, 3, uint64(s.Attempt))
	dst = appendBool(dst, 4, s.OK)
	dst = appendBool(dst, 5, s.Skipped)
	dst = appendBytes(dst, 6, s.Output)
	dst = appendString(dst, 7, s.Error)
	dst = appendBool(dst, 8, s.Recoverable)
	dst = appendUint(dst, 9, uint64(s.Took))
	dst = appendTime(dst, 10, s.RetryAt)
	return shut(dst, at)
}

func appendRunEnd(dst []byte, num protowire.Number, r *RunEnd) []byte {
	dst, at := open(dst, num)
	dst = appendString(dst, 1, r.Run)
	dst = appendUint(dst, 2, uint64(r.Outcome))
	dst = appendString(dst, 3, r.Error)
	dst = appendString(dst, 4, r.By)
	return shut(dst, at)
}
