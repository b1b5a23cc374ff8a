package backtest_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"signalbox/event"
	"signalbox/internal/backtest"
	"signalbox/internal/normalize"
	"signalbox/internal/record"
)

var normalizer = sync.OnceValue(func() *normalize.Normalizer {
	n, err := normalize.New(normalize.Options{})
	if err != nil {
		panic(err)
	}
	return n
})

// wrote is when the files of these tests were written.
var wrote = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func readAll(t testing.TB, in io.Reader, o backtest.FileOptions) ([]*record.Batch, backtest.FileCounts) {
	t.Helper()
	o.Normalizer = normalizer()
	if o.Reference.IsZero() {
		o.Reference = wrote
	}
	f, err := backtest.NewFile(in, o)
	if err != nil {
		t.Fatal(err)
	}
	var out []*record.Batch
	for {
		b, err := f.Next()
		if errors.Is(err, io.EOF) {
			return out, f.Counts()
		}
		if err != nil {
			t.Fatal(err)
		}
		if n := len(out); n > 0 && (b.Time.Before(out[n-1].Time) || b.Seq <= out[n-1].Seq) {
			t.Fatalf("batch %d of %s after %d of %s", b.Seq, b.Time, out[n-1].Seq, out[n-1].Time)
		}
		out = append(out, b)
	}
}

// shown is what came of a file: "time type device interface" a line.
func shown(bs []*record.Batch) string {
	var b strings.Builder
	for _, batch := range bs {
		for _, r := range batch.Records {
			ev, note := r.Event, ""
			if r.Kind == record.KindRejected {
				ev, note = &r.Rejected.Event, "rejected"
			}
			words := []string{batch.Time.Format("2006-01-02 15:04:05"), ev.Type, ev.Device, ev.Interface, note}
			b.WriteString(strings.Join(slices.DeleteFunc(words, func(s string) bool { return s == "" }), " ") + "\n")
		}
	}
	return b.String()
}

func TestFile(t *testing.T) {
	tests := []struct {
		name, in, want string
		counts         backtest.FileCounts
	}{
		{"RFC 3164 and RFC 5424", "<189>Nov 24 10:00:00 sw1 45: %LINK-3-UPDOWN: Interface GigabitEthernet1/0/1, changed state to down\n" +
			"<165>1 2026-11-24T10:00:05Z sw2 app - - - hello\r\n",
			"2026-11-24 10:00:00 interface_down sw1 GigabitEthernet1/0/1\n2026-11-24 10:00:05 syslog_message sw2\n", backtest.FileCounts{Lines: 2, Events: 2}},
		{"as rsyslog writes a file, with no priority", "Nov 24 10:00:00 sw1 45: %LINK-3-UPDOWN: Interface Gi1/0/1, changed state to up\n",
			"2026-11-24 10:00:00 interface_up sw1 Gi1/0/1\n", backtest.FileCounts{Lines: 1, Events: 1}},
		{"no year: the newest before the file was written", "<189>Dec 31 23:59:59 sw1 %SYS-5-CONFIG_I: Configured from console by a on vty0\n<189>May  3 10:00:00 sw1 x: y\n",
			"2025-12-31 23:59:59 config_change sw1\n2026-05-03 10:00:00 syslog_message sw1\n", backtest.FileCounts{Lines: 2, Events: 2}},
		{"lines of one second change places", "<189>Nov 24 10:00:02 sw1 x: 2\n<189>Nov 24 10:00:01 sw2 x: 1\n",
			"2026-11-24 10:00:01 syslog_message sw2\n2026-11-24 10:00:02 syslog_message sw1\n", backtest.FileCounts{Lines: 2, Events: 2}},
		{"without a time, at the time of the one before; the first at that of the next", "<189>sw0 x: a\n<189>Nov 24 10:00:01 sw1 x: b\n<189>sw2 x: c\n",
			"2026-11-24 10:00:01 syslog_message\n2026-11-24 10:00:01 syslog_message sw1\n2026-11-24 10:00:01 syslog_message\n", backtest.FileCounts{Lines: 3, Events: 3, Undated: 2}},
		{"a clock that was never set", "<189>Nov 24 10:00:01 sw1 x: b\n<165>1 1993-03-01T00:00:30Z sw2 app - - - up\n<165>1 2036-03-01T00:00:30Z sw3 app - - - up\n" +
			"<189>45: *Mar  1 00:00:30.123: %SYS-5-RESTART: System restarted --\n",
			"2026-11-24 10:00:01 syslog_message sw1\n2026-11-24 10:00:01 syslog_message sw2\n2026-11-24 10:00:01 syslog_message sw3\n2026-11-24 10:00:01 device_reboot\n",
			backtest.FileCounts{Lines: 4, Events: 4, Undated: 3}},
		{"the body of a webhook, alone and in a list", `{"event_type":"interface_down","device":"sw1","interface":"Gi0/1","timestamp":"2026-11-24T10:00:00Z"}` + "\n" +
			`[{"event_type":"interface_up","device":"sw1","interface":"Gi0/1","timestamp":"2026-11-24T10:00:09Z"},{"event_type":"bgp_neighbor_down","device":"r1","timestamp":"2026-11-24T10:00:07Z"}]`,
			"2026-11-24 10:00:00 interface_down sw1 Gi0/1\n2026-11-24 10:00:07 bgp_neighbor_down r1 rejected\n2026-11-24 10:00:09 interface_up sw1 Gi0/1\n", backtest.FileCounts{Lines: 2, Events: 3}},
		{"a message with line breaks", `"<189>Nov 24 10:00:00 sw1 x: a\nb"`, "2026-11-24 10:00:00 syslog_message sw1\n", backtest.FileCounts{Lines: 1, Events: 1}},
		{"JSON that is broken", "{\"event_type\":\n\n   \n", "", backtest.FileCounts{Lines: 1, Broken: 1}},
		{"nothing", "", "", backtest.FileCounts{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, counts := readAll(t, strings.NewReader(tt.in), backtest.FileOptions{})
			if s := shown(got); s != tt.want {
				t.Errorf("got\n%swant\n%s", s, tt.want)
			}
			counts.Why = ""
			if counts != tt.counts {
				t.Errorf("counts %+v, want %+v", counts, tt.counts)
			}
		})
	}
}

// What `signalbox events --json` writes is read as it was logged: ids, log time
// and all.
func TestFileOfLoggedEvents(t *testing.T) {
	log := logOf(t, story)
	var b bytes.Buffer
	for _, batch := range log {
		for i, r := range batch.Records {
			line, err := json.Marshal(map[string]any{"position": batch.At(i).String(), "log_time": batch.Time, "status": "decided", "event": r.Event})
			if err != nil {
				t.Fatal(err)
			}
			b.Write(append(line, '\n'))
		}
	}
	entries := b.String()
	got, _ := readAll(t, &b, backtest.FileOptions{})
	var from, into []event.ID
	for _, batch := range log {
		for _, r := range batch.Records {
			from = append(from, r.Event.ID)
		}
	}
	for _, batch := range got {
		for _, r := range batch.Records {
			into = append(into, r.Event.ID)
		}
	}
	if !slices.Equal(from, into) {
		t.Errorf("ids %v, want %v", into, from)
	}
	// The same report as of the log itself.
	want := run(t, backtest.Options{Rules: candidate(t, "r", before)}, log)
	have := run(t, backtest.Options{Rules: candidate(t, "r", before)}, got)
	if have.Rules.Runs != want.Rules.Runs || have.Rules.Duplicate != want.Rules.Duplicate || have.Rules.PerRule[0].First.Event != want.Rules.PerRule[0].First.Event {
		t.Errorf("the file gives %+v, the log %+v", have.Rules, want.Rules)
	}
	rejected := strings.Replace(entries, `"status":"decided"`, `"status":"rejected","reason":"x"`, 1)
	if got, _ := readAll(t, strings.NewReader(rejected), backtest.FileOptions{}); got[0].Records[0].Kind != record.KindRejected {
		t.Error("a rejected event came as one that passed")
	}
}

func TestFileIsUnpacked(t *testing.T) {
	const line = "<189>Nov 24 10:00:00 sw1 x: y\n"
	var z, g bytes.Buffer
	gz := gzip.NewWriter(&g)
	zs, err := zstd.NewWriter(&z)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []io.WriteCloser{gz, zs} {
		if _, err := io.WriteString(w, line); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	cut := bytes.Clone(g.Bytes()[:g.Len()-4])
	for _, in := range [][]byte{g.Bytes(), z.Bytes(), append(bytes.Clone(g.Bytes()), g.Bytes()...)} {
		if _, c := readAll(t, bytes.NewReader(in), backtest.FileOptions{}); c.Events == 0 || c.Broken > 0 {
			t.Errorf("counts %+v", c)
		}
	}
	f, err := backtest.NewFile(bytes.NewReader(cut), backtest.FileOptions{Normalizer: normalizer(), Reference: wrote})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Next(); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("a file that was cut off: %v", err)
	}
}

func TestFileLongLinesAndFormsAndMuchAtOnce(t *testing.T) {
	long := strings.Repeat("x", 5<<20) + "\n<189>Nov 24 10:00:00 sw1 x: y\n" + strings.Repeat("y", 5<<20)
	if got, c := readAll(t, strings.NewReader(long), backtest.FileOptions{}); c.TooLong != 2 || c.Events != 1 {
		t.Errorf("counts %+v, %s", c, shown(got))
	}
	braces := "{is no JSON\n"
	if _, c := readAll(t, strings.NewReader(braces), backtest.FileOptions{Form: normalize.Syslog}); c.Events != 1 || c.Broken != 0 {
		t.Errorf("read as syslog: %+v", c)
	}
	if _, c := readAll(t, strings.NewReader("x\n"), backtest.FileOptions{Form: normalize.Payload}); c.Broken != 1 {
		t.Errorf("read as JSON: %+v", c)
	}
	// More than may wait, in reverse: what is too far behind counts late.
	var b strings.Builder
	const n = 20_000
	for i := range n {
		fmt.Fprintf(&b, "<165>1 %s sw1 a - - - %d\n", wrote.Add(-time.Duration(i)*time.Second).Format(time.RFC3339), i)
	}
	_, c := readAll(t, strings.NewReader(b.String()), backtest.FileOptions{})
	if c.Events != n || c.Late == 0 || len(c.Notes()) != 1 {
		t.Errorf("counts %+v, notes %q", c, c.Notes())
	}
}

func TestFileGivesTheSameIDsTwice(t *testing.T) {
	const in = "<189>Nov 24 10:00:00 sw1 x: y\n<189>Nov 24 10:00:00 sw1 x: y\n"
	a, _ := readAll(t, strings.NewReader(in), backtest.FileOptions{})
	b, _ := readAll(t, strings.NewReader(in), backtest.FileOptions{})
	one, two := a[0].Records[0].Event.ID, a[0].Records[1].Event.ID
	if one == two || one != b[0].Records[0].Event.ID || len(one) != 36 {
		t.Errorf("ids %s, %s and %s", one, two, b[0].Records[0].Event.ID)
	}
}

func FuzzFile(f *testing.F) {
	f.Add([]byte("<189>Nov 24 10:00:00 sw1 x: y\n{\"event_type\":\"x\"}\n[1]\n\"\"\n\" \""))
	f.Add([]byte("{\"position\":\"1/0\",\"log_time\":\"2026-11-24T10:00:00Z\",\"event\":{\"specversion\":\"1.0\"}}\n{\"specversion\":\"1.0\",\"received\":\"x\"}"))
	f.Add([]byte("\x1f\x8b\x08\x00"))
	f.Add([]byte("\x28\xb5\x2f\xfd\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := backtest.NewFile(bytes.NewReader(data), backtest.FileOptions{Normalizer: normalizer(), Reference: wrote})
		if err != nil {
			return
		}
		events := 0
		for {
			b, err := r.Next()
			if err != nil {
				break
			}
			events += len(b.Records)
		}
		if c := r.Counts(); uint64(events) > c.Events {
			t.Errorf("%d events of %d", events, c.Events)
		}
	})
}
