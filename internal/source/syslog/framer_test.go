package syslog

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// frames cuts a stream that comes in pieces of the given size, as a reader
// does: what is not used is kept.
func frames(stream []byte, piece, max int) (out []string, f framer) {
	f = framer{max: max}
	var buf []byte
	for i := 0; ; i += piece {
		eof := i >= len(stream)
		if !eof {
			buf = append(buf, stream[i:min(i+piece, len(stream))]...)
		}
		used := 0
		for {
			fr, to, ok := f.next(buf, used, eof)
			used = to
			if !ok {
				break
			}
			if fr.end > fr.start {
				msg := string(buf[fr.start:fr.end])
				if fr.cut {
					msg += "…"
				}
				out = append(out, msg)
			}
		}
		buf = buf[used:]
		if eof {
			return out, f
		}
	}
}

func TestFramer(t *testing.T) {
	x := strings.Repeat("x", 40)
	tests := []struct {
		name, stream string
		want         []string
	}{
		{"octet counting", "9 <13>a b\nc7 <13>d e", []string{"<13>a b\nc", "<13>d e"}},
		{"lines", "<13>a\n<13>b\n", []string{"<13>a", "<13>b"}},
		{"carriage returns", "<13>a\r\n<13>b\r\n\r\n", []string{"<13>a", "<13>b"}},
		{"NUL", "<13>a\x00<13>b\x00\n", []string{"<13>a", "<13>b"}},
		{"no end", "<13>a\n<13>b", []string{"<13>a", "<13>b"}},
		{"both kinds", "5 <13>a<13>b\n5 <13>c\n<13>d\n", []string{"<13>a", "<13>b", "<13>c", "<13>d"}},
		{"line that begins with a year", "2026 Nov 24 10:00:00: %A-5-B: c\n45: sw1: d\n", []string{"2026 Nov 24 10:00:00: %A-5-B: c", "45: sw1: d"}},
		{"counted, no priority after one that had", "5 <13>a4 abcd5 <13>b", []string{"<13>a", "abcd", "<13>b"}},
		{"count is cut short by the end", "50 <13>a", []string{"<13>a"}},
		{"number alone", "17", []string{"17"}},
		{"zero is no count", "0 <13>a\n", []string{"0 <13>a"}},
		{"number too long for a count", "123456789 <13>a\n", []string{"123456789 <13>a"}},
		{"counted, too long", "44 <13>" + x + "5 <13>b", []string{"<13>" + x[:28] + "…", "<13>b"}},
		{"line too long", "<13>" + x + "\n<13>b\n", []string{"<13>" + x[:28] + "…", "<13>b"}},
		{"line too long, and the end", "<13>" + x, []string{"<13>" + x[:28] + "…"}},
		{"exactly the limit", "<13>" + x[:28] + "\n32 <13>" + x[:28], []string{"<13>" + x[:28], "<13>" + x[:28]}},
		{"nothing", "\n\r\n\x00", nil},
	}
	for _, tt := range tests {
		for _, piece := range []int{1, 2, 3, 7, 1000} {
			t.Run(tt.name+"/"+strconv.Itoa(piece), func(t *testing.T) {
				got, _ := frames([]byte(tt.stream), piece, 32)
				if d := cmp.Diff(tt.want, got); d != "" {
					t.Errorf("%q in pieces of %d (-want +got):\n%s", tt.stream, piece, d)
				}
			})
		}
	}
}

// TestFramerCorpus compares with what telegraf makes of the same streams.
func TestFramerCorpus(t *testing.T) {
	dir := os.Getenv("SIGNALBOX_CORPUS")
	if dir == "" {
		t.Skip("SIGNALBOX_CORPUS is not set: real streams of other projects left out")
	}
	text, err := os.ReadFile(filepath.Join(dir, "syslog", "telegraf-syslog-framing.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	value := regexp.MustCompile(`message="((?:[^"\\]|\\.)*)"`)
	compared := 0
	for line := range bytes.Lines(text) {
		var c struct {
			ID       string
			Stream   string `json:"stream_b64"`
			Expected struct {
				Lines string `json:"influx_line"`
				Error string
			}
		}
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatal(err)
		}
		stream, err := base64.StdEncoding.DecodeString(c.Stream)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(c.ID, "udp") || c.Expected.Lines == "" {
			continue // one datagram is one message; what telegraf drops, we keep
		}
		compared++
		got, _ := frames(stream, 11, 64<<10)
		if want := strings.Count(c.Expected.Lines, "severity_code="); len(got) != want {
			t.Errorf("%s: %d messages, telegraf has %d: %q", c.ID, len(got), want, got)
			continue
		}
		for i, m := range value.FindAllStringSubmatch(c.Expected.Lines, -1) {
			want := strings.NewReplacer(`\"`, `"`, `\\`, `\`, `\n`, "\n").Replace(m[1])
			if !strings.HasSuffix(got[i], want) {
				t.Errorf("%s: message %d is %q, telegraf has %q", c.ID, i, got[i], want)
			}
		}
	}
	if compared < 15 {
		t.Errorf("compared %d streams only", compared)
	}
}

// FuzzFramer looks for panics, for messages above the limit, for messages that
// depend on how the stream was cut up by the network, and for bytes that
// vanish: each is in a message, is framing, or was cut off and counted.
func FuzzFramer(f *testing.F) {
	for _, s := range []string{"5 <13>a<13>b\n", "44 <13>" + strings.Repeat("x", 40) + "5 <13>b", "2026 Nov 24\r\n", "9 <13>a b\nc", "\x00\x00<1>\x00", "1 <"} {
		f.Add([]byte(s), 3)
	}
	f.Fuzz(func(t *testing.T, stream []byte, piece int) {
		const max = 32
		whole, fr := frames(stream, len(stream)+1, max)
		if piece = piece%64 + 1; piece < 1 {
			piece = 1
		}
		pieces, _ := frames(stream, piece, max)
		if d := cmp.Diff(whole, pieces); d != "" {
			t.Errorf("%q depends on pieces of %d:\n%s", stream, piece, d)
		}
		kept := 0
		for _, m := range whole {
			m = strings.TrimSuffix(m, "…")
			if len(m) > max {
				t.Errorf("%q: %q is above the limit", stream, m)
			}
			kept += len(m)
		}
		// Framing: line ends, and counts with their space.
		framing := bytes.Count(stream, []byte{'\n'}) + bytes.Count(stream, []byte{0}) + bytes.Count(stream, []byte{'\r'})
		for _, m := range regexp.MustCompile(`[0-9]+ `).FindAll(stream, -1) {
			framing += len(m)
		}
		if sum := kept + fr.lost; sum > len(stream) || sum+framing < len(stream) {
			t.Errorf("%q: %d bytes: kept %d, cut off %d, at most %d framing: %q", stream, len(stream), kept, fr.lost, framing, whole)
		}
	})
}

func BenchmarkFramer(b *testing.B) {
	line := "<189>45: sw1: Nov 24 10:00:00.123 CET: %LINK-3-UPDOWN: Interface GigabitEthernet0/1, changed state to down"
	for name, msg := range map[string]string{"lines": line + "\n", "counted": strconv.Itoa(len(line)) + " " + line} {
		b.Run(name, func(b *testing.B) {
			buf := []byte(strings.Repeat(msg, 500))
			b.ReportAllocs()
			b.SetBytes(int64(len(buf)))
			for b.Loop() {
				f := framer{max: 64 << 10}
				n, used := 0, 0
				for {
					_, to, ok := f.next(buf, used, false)
					if used = to; !ok {
						break
					}
					n++
				}
				if n != 500 {
					b.Fatalf("%d messages", n)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/500, "ns/msg")
		})
	}
}
