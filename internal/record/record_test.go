package record_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"signalbox/event"
	"signalbox/internal/record"
	"signalbox/internal/record/recordpb"
)

var rewrite = flag.Bool("rewrite", false, "write the golden file of the present version anew")

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := batches().Draw(t, "batch")
		got, err := record.DecodeBatch(record.Encode(want))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("decoded batch differs (-want +got):\n%s", diff)
		}
	})
}

// Any Protocol Buffers library reads what we write, and we read what it writes.
func TestProtocolBuffersReadsAndWritesIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := batches().Draw(t, "batch")
		var records []byte
		for i := range want.Records {
			records = record.AppendRecord(records, &want.Records[i])
		}
		ours := record.EncodeBatch(nil, want, len(want.Records), records)

		var header recordpb.Batch
		if err := proto.Unmarshal(ours[8:], &header); err != nil {
			t.Fatalf("protobuf cannot read the batch: %v", err)
		}
		if n := len(header.ProtoReflect().GetUnknown()); n > 0 {
			t.Fatalf("%d bytes are not in record.proto", n)
		}
		if int(header.Count) != len(want.Records) || header.Writer != want.Writer {
			t.Fatalf("protobuf reads count %d, writer %q", header.Count, header.Writer)
		}
		var body recordpb.Records
		if err := proto.Unmarshal(records, &body); err != nil {
			t.Fatalf("protobuf cannot read the records: %v", err)
		}
		header.Records, header.Zstd, header.ZstdSize = body.Records, nil, 0
		theirs, err := proto.Marshal(&header)
		if err != nil {
			t.Fatal(err)
		}
		got, err := record.DecodeBatch(frame(theirs))
		if err != nil {
			t.Fatalf("we cannot read what protobuf wrote: %v", err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("what protobuf wrote differs (-want +got):\n%s", diff)
		}
	})
}

// frame puts the head of a batch before its message.
func frame(message []byte) []byte {
	out := append([]byte("SBL\x01"), 0, 0, 0, 0)
	binary.LittleEndian.PutUint32(out[4:], crc32.Checksum(message, crc32.MakeTable(crc32.Castagnoli)))
	return append(out, message...)
}

func TestUnknownFieldsAndKindsAreIgnored(t *testing.T) {
	rec := &recordpb.Record{Kind: 200}
	rec.ProtoReflect().SetUnknown([]byte{0xa2, 0x06, 2, 'h', 'i', 0xad, 0x06, 1, 2, 3, 4}) // fields 100 and 101
	b := &recordpb.Batch{Writer: "w", Number: 1, Count: 1, Records: []*recordpb.Record{rec}}
	b.ProtoReflect().SetUnknown([]byte{0xa0, 0x06, 1})
	data, err := proto.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	got, err := record.DecodeBatch(frame(data))
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Records) != 1 || got.Records[0].Kind != 200 {
		t.Errorf("records = %+v, want one of kind 200", got.Records)
	}
}

func TestWrongUTF8IsMadeRightAndRawIsKept(t *testing.T) {
	e := &event.Event{ID: "1", Device: "sw\xff1", Raw: []byte("sw\xff1")}
	got, err := record.DecodeBatch(record.Encode(&record.Batch{Records: []record.Record{{Kind: record.KindEvent, Event: e}}}))
	if err != nil {
		t.Fatal(err)
	}
	if d := got.Records[0].Event.Device; d != "sw\uFFFD1" {
		t.Errorf("device = %q", d)
	}
	if r := got.Records[0].Event.Raw; string(r) != "sw\xff1" {
		t.Errorf("raw = %q", r)
	}
}

func TestBadBatches(t *testing.T) {
	good := record.Encode(golden())
	mutate := func(f func([]byte) []byte) []byte { return f(bytes.Clone(good)) }
	message := func(b *recordpb.Batch) []byte {
		data, err := proto.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		return frame(data)
	}
	tests := []struct {
		name string
		data []byte
		want string
	}{
		{"nothing", nil, "0 bytes are too few"},
		{"no batch at all", []byte("GET / HTTP/1.1"), "begins with \"GET\""},
		{"a newer version", mutate(func(b []byte) []byte { b[3] = 9; return b }), "version 9 is not known"},
		{"one bit flipped", mutate(func(b []byte) []byte { b[100] ^= 4; return b }), "CRC-32C"},
		{"cut off", good[:len(good)-1], "CRC-32C"},
		{"fewer records than said", message(&recordpb.Batch{Count: 2, Records: []*recordpb.Record{{Kind: 3}}}), "has 1 records, says 2"},
		{"more records than said", message(&recordpb.Batch{Count: 1, Records: []*recordpb.Record{{Kind: 3}, {Kind: 3}}}), "more than the 1 records"},
		{"a count that would take all memory", message(&recordpb.Batch{Count: 1 << 31}), "cannot be in"},
		{"an event without its event", message(&recordpb.Batch{Count: 1, Records: []*recordpb.Record{{Kind: 1}}}), "record 0: kind 1 without its content"},
		{"a bomb", message(&recordpb.Batch{Count: 1, ZstdSize: 1 << 40, Zstd: []byte("x")}), "inflates to"},
		{"no zstd", message(&recordpb.Batch{Count: 1, ZstdSize: 100, Zstd: []byte("not zstd")}), "zstd:"},
		{"a short hash", message(&recordpb.Batch{Prev: []byte{1, 2}}), "hash of the batch before has 2 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := record.DecodeBatch(tt.data)
			if !errors.Is(err, record.ErrBadBatch) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %v, want ErrBadBatch with %q", err, tt.want)
			}
		})
	}
}

// Every single flipped bit is found.
func TestEveryFlippedBitIsFound(t *testing.T) {
	good := record.Encode(golden())
	for i := range len(good) * 8 {
		good[i/8] ^= 1 << (i % 8)
		if _, err := record.DecodeBatch(good); err == nil {
			t.Fatalf("bit %d of byte %d flipped: no error", i%8, i/8)
		}
		good[i/8] ^= 1 << (i % 8)
	}
}

// A file written by version 1 stays readable for ever: never change
// testdata/v1.batch, nor v1zstd.batch; a version 2 gets files of its own, and
// so does what was added to version 1 (v1correlated.batch).
func TestGolden(t *testing.T) {
	for name, want := range map[string]*record.Batch{"v1": golden(), "v1zstd": goldenLarge(), "v1correlated": goldenCorrelated()} {
		file := "testdata/" + name + ".batch"
		if *rewrite {
			if err := os.WriteFile(file, record.Encode(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		got, err := record.DecodeBatch(data)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s reads differently (-want +got):\n%s", file, diff)
		}
	}
}

func TestRecordSize(t *testing.T) {
	b := golden()
	var all []byte
	var sizes []int
	for i := range b.Records {
		n := len(all)
		all = record.AppendRecord(all, &b.Records[i])
		sizes = append(sizes, len(all)-n)
	}
	for i, want := range sizes {
		if got := record.RecordSize(all); got != want {
			t.Fatalf("record %d: size %d, want %d", i, got, want)
		}
		all = all[want:]
	}
	if got := record.RecordSize(all); got != 0 {
		t.Errorf("size of nothing = %d", got)
	}
}

func TestCloneEventSharesNothing(t *testing.T) {
	data := record.Encode(golden())
	b, err := record.DecodeBatch(data)
	if err != nil {
		t.Fatal(err)
	}
	want := golden().Records[0].Event
	clone := record.CloneEvent(b.Records[0].Event)
	clear(data) // what the strings of b point to
	if diff := cmp.Diff(want, clone); diff != "" {
		t.Errorf("clone changed with the batch (-want +got):\n%s", diff)
	}
	if record.CloneEvent(nil) != nil {
		t.Error("clone of nil is not nil")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(record.Encode(golden()), false)
	f.Add(record.Encode(goldenLarge()), false)
	f.Add(record.Encode(golden())[8:], true)
	f.Fuzz(func(t *testing.T, data []byte, framed bool) {
		if framed {
			data = frame(data) // gets past the CRC
		}
		b, err := record.DecodeBatch(data)
		if err != nil {
			if !errors.Is(err, record.ErrBadBatch) {
				t.Fatalf("error is not ErrBadBatch: %v", err)
			}
			return
		}
		again, err := record.DecodeBatch(record.Encode(b))
		if err != nil {
			t.Fatalf("does not decode again: %v", err)
		}
		if len(again.Records) != len(b.Records) {
			t.Fatalf("%d records became %d", len(b.Records), len(again.Records))
		}
	})
}

func golden() *record.Batch {
	at := time.Date(2026, 11, 24, 12, 0, 0, 123456789, time.UTC)
	e := &event.Event{ID: "01930f2a-7d53-7c1e-8f1a-5a2f3c4d5e6f", SenderID: "m-17", Source: "campus", Peer: "192.0.2.7:514",
		Type: "interface_down", Device: "sw1", Interface: "GigabitEthernet0/1", Time: at.Add(-time.Second), Received: at,
		TraceParent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Data: json.RawMessage(`{"admin_status":"up"}`),
		Raw: []byte("<189>45: sw1: %LINK-3-UPDOWN: Interface GigabitEthernet0/1, changed state to down"), Mapping: "cisco_ios@1",
		Meta: map[string]string{"a": "1", "b": ""}, Cause: &event.Cause{Run: "r", Rule: "x", Event: "0", Rules: []string{"w", "x"}, Replay: true},
		Resubmits: "00"}
	cmd := &record.Command{ID: "c", Verb: "replay", Run: "r", By: "alice", Note: "why", Event: e, Original: record.Position{Seq: 3, Index: 1}, DryRun: true}
	return &record.Batch{
		Writer: "n1/log.events", Number: 7, Prev: [32]byte{1, 2, 3}, Subject: record.Events,
		From: record.Position{Seq: 1}, Through: record.Position{Seq: 2, Index: 9}, RulesVersion: "abc", EventCount: 10, UnmatchedCount: 4,
		Records: []record.Record{
			{Kind: record.KindEvent, Event: e},
			{Kind: record.KindRejected, Rejected: &record.Rejected{Event: event.Event{ID: "2", Raw: []byte{0xff, 0}}, Reason: "no type"}},
			{Kind: record.KindTick},
			{Kind: record.KindRules, Rules: &record.Rules{Version: "abc", Part: 1, Parts: 2, Data: []byte("data")}},
			{Kind: record.KindCommand, Command: cmd},
			{Kind: record.KindRetention, Retention: &record.Retention{FirstSeq: 1, LastSeq: 2, Records: 3, FirstTime: at, LastTime: at, Reason: "age"}},
			{Kind: record.KindDecision, Decision: &record.Decision{At: record.Position{Seq: 9, Index: 2}, Verdict: record.Decided, Event: e, Of: "o", Reason: "because",
				Runs: []record.RunStart{{Run: "r", Rule: "x", RuleVersion: "1", Device: "sw1", Partition: 3}}, Notes: []record.RuleNote{{Rule: "y", Outcome: "shadow", Detail: "d", Of: "o"}},
				Command: cmd, Replay: true, DryRun: true}},
			{Kind: record.KindStepBegin, Begin: &record.StepBegin{Run: "r", Step: "1", Attempt: 2, Action: "http", Idempotent: true}},
			{Kind: record.KindStepEnd, End: &record.StepEnd{Run: "r", Step: "1", Attempt: 2, OK: true, Skipped: true, Output: []byte("{}"), Error: "e", Recoverable: true, Took: time.Second, RetryAt: at}},
			{Kind: record.KindRunEnd, RunEnd: &record.RunEnd{Run: "r", Outcome: record.InDoubt, Error: "e", By: "bob"}},
		},
	}
}

// goldenCorrelated has what decisions say of rules that ask for more than one
// event.
func goldenCorrelated() *record.Batch {
	e := golden().Records[0].Event
	e.Raw = nil
	return &record.Batch{
		Writer: "n1/log.decisions", Number: 9, Prev: [32]byte{4}, Subject: record.Decisions,
		From: record.Position{Seq: 1}, Through: record.Position{Seq: 2}, RulesVersion: "abc",
		Records: []record.Record{{Kind: record.KindDecision, Decision: &record.Decision{At: record.Position{Seq: 2}, Verdict: record.Decided, Event: e,
			Due: e.Received.Add(time.Minute),
			Runs: []record.RunStart{{Run: "r", Rule: "x", RuleVersion: "1", Device: "sw1", Partition: 3, Events: []*event.Event{e, e},
				As: []string{"change", ""}, Total: 200, Key: "sw1 Gi0/1", Branch: "updated", Situation: "s"}},
			Notes: []record.RuleNote{{Rule: "y", Outcome: "released", Detail: "d", Of: "o", Key: "sw1"}},
			Situations: []record.SituationChange{{ID: "s", Rule: "x", Key: "sw1", Change: "acknowledged", State: "open", Event: "e", Run: "r",
				By: "alice", Note: "mine", Count: 7}}}}},
	}
}

func goldenLarge() *record.Batch {
	b := &record.Batch{Writer: "n1/log.events", Number: 8, Prev: [32]byte{9}, Subject: record.Events}
	for i := range 100 {
		e := *golden().Records[0].Event
		e.SenderID = fmt.Sprint(i)
		b.Records = append(b.Records, record.Record{Kind: record.KindEvent, Event: &e})
	}
	return b
}

func BenchmarkEncode(b *testing.B) {
	r := plain().Records[0]
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = record.AppendRecord(buf[:0], &r)
	}
	b.SetBytes(int64(len(buf)))
}

// plain is what most of a log is: events of syslog with no cause and no meta.
func plain() *record.Batch {
	b := goldenLarge()
	for i := range b.Records {
		e := b.Records[i].Event
		e.Meta, e.Cause, e.Resubmits, e.SenderID = nil, nil, "", ""
	}
	for len(b.Records) < 256 {
		b.Records = append(b.Records, b.Records[0])
	}
	return b
}

func BenchmarkDecode(b *testing.B) {
	for _, n := range []int{1, 8, 256} {
		batch := plain()
		batch.Records = batch.Records[:n]
		data := record.Encode(batch)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := record.DecodeBatch(data); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

func BenchmarkEncodeBatch(b *testing.B) {
	batch := plain()
	var records []byte
	for i := range batch.Records {
		records = record.AppendRecord(records, &batch.Records[i])
	}
	var buf []byte
	b.SetBytes(int64(len(records)))
	b.ReportAllocs()
	for b.Loop() {
		buf = record.EncodeBatch(buf[:0], batch, len(batch.Records), records)
	}
	b.ReportMetric(float64(len(records))/float64(len(buf)), "ratio")
}
