package syslogmsg

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// corpusCase is one line of the corpus: a real message and what its collectors
// expect of it.
type corpusCase struct {
	ID       string          `json:"id"`
	Kind     string          `json:"kind"`
	Vendor   string          `json:"vendor"`
	OS       string          `json:"os"`
	Raw      string          `json:"raw"`
	RawB64   string          `json:"raw_b64"`
	Expected json.RawMessage `json:"expected"`
}

func (c corpusCase) bytes() []byte {
	if c.RawB64 != "" {
		b, _ := base64.StdEncoding.DecodeString(c.RawB64)
		return b
	}
	return []byte(c.Raw)
}

// corpus reads a file of the folder that SIGNALBOX_CORPUS names.
func corpus(t testing.TB, name string) []corpusCase {
	t.Helper()
	dir := os.Getenv("SIGNALBOX_CORPUS")
	if dir == "" {
		t.Skip("SIGNALBOX_CORPUS is not set: real messages of other projects left out")
	}
	f, err := os.Open(filepath.Join(dir, "syslog", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []corpusCase
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<22)
	for sc.Scan() {
		var c corpusCase
		if err := json.Unmarshal(sc.Bytes(), &c); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out = append(out, c)
	}
	return out
}

var corpusTime = time.Date(2026, 2, 3, 4, 10, 0, 0, time.UTC)

// share counts how often a field is what the data's authors state.
type share struct{ right, stated int }

func (s *share) check(t *testing.T, id, field, got, want string) {
	s.stated++
	if got == want {
		s.right++
		return
	}
	t.Logf("%s: %s = %q, stated %q", id, field, got, want)
}

func (s share) atLeast(t *testing.T, field string, percent int) {
	t.Logf("%s: %d of %d", field, s.right, s.stated)
	if s.right*100 < s.stated*percent {
		t.Errorf("%s: %d of %d right, want %d %%", field, s.right, s.stated, percent)
	}
}

// napalmTag brings a tag of ours to napalm-logs' form.
func napalmTag(m *Message, stated string) string {
	switch {
	case m.Format == HuaweiVRP && strings.HasPrefix(stated, "01"):
		return "01" + m.Tag
	case m.Tag == "" && stated == m.AppName, m.Format == FRR && stated == m.AppName, m.Format == Fortinet, m.AppName == "alarmd" && strings.HasPrefix(m.Text, stated):
		return stated // it has the process, and the subtype, or the text's beginning, where we have none
	}
	return m.Tag
}

func TestCorpusNapalm(t *testing.T) {
	var host, tag, process, pid, pri, clock share
	for _, c := range corpus(t, "napalm-logs.jsonl") {
		var e struct {
			D map[string]any `json:"message_details"`
		}
		if err := json.Unmarshal(c.Expected, &e); err != nil || e.D == nil {
			continue
		}
		str := func(k string) string { v, _ := e.D[k].(string); return v }
		m := Parse(c.bytes(), corpusTime)
		host.check(t, c.ID, "host", m.Hostname, str("host"))
		if v := str("tag"); v != "" {
			tag.check(t, c.ID, "tag", napalmTag(&m, v), v)
		}
		if v := str("processName"); v != "" && m.Format != Fortinet {
			process.check(t, c.ID, "process", m.AppName, v)
		}
		if v := str("processId"); v != "" && c.OS != "ios" {
			pid.check(t, c.ID, "pid", m.ProcID, v)
		}
		pri.check(t, c.ID, "pri", strconv.Itoa(int(m.Facility)*8+int(m.Severity)), str("pri"))
		if v := str("time"); len(v) >= 8 && !m.HasZone {
			clock.check(t, c.ID, "time", m.Timestamp.Format("15:04:05"), v[:8])
		}
	}
	host.atLeast(t, "host", 100)
	tag.atLeast(t, "tag", 100)
	process.atLeast(t, "process", 100)
	pid.atLeast(t, "pid", 100)
	pri.atLeast(t, "pri", 100)
	clock.atLeast(t, "time", 100)
}

func TestCorpusSC4S(t *testing.T) {
	for _, name := range []string{"sc4s-network.jsonl", "sc4s-other.jsonl"} {
		t.Run(name, func(t *testing.T) {
			var host, clock, understood share
			for _, c := range corpus(t, name) {
				var e struct{ Host, Time string }
				var raw map[string]any
				_ = json.Unmarshal(c.Expected, &raw)
				e.Host, _ = raw["host"].(string)
				e.Time, _ = raw["_time"].(string)
				m := Parse(c.bytes(), corpusTime)
				understood.check(t, c.ID, "unparsed", m.Why, "")
				// Some authors search by the sender's name or something from
				// the text; a name that is no word of the header is not ours
				// to find.
				if e.Host != "" && strings.Contains(" "+strings.NewReplacer(":", " ", ",", " ").Replace(m.Full[:len(m.Full)-len(m.Content)]), " "+e.Host+" ") {
					host.check(t, c.ID, "host", m.Hostname, e.Host)
				}
				if e.Time != "" && !m.Timestamp.IsZero() {
					f, _ := strconv.ParseFloat(e.Time, 64)
					clock.check(t, c.ID, "time", strconv.FormatInt(m.Timestamp.Unix(), 10), strconv.FormatInt(int64(f), 10))
				} else if e.Time != "" {
					clock.check(t, c.ID, "time", "none in "+c.Raw[:min(90, len(c.Raw))], e.Time)
				}
			}
			host.atLeast(t, "host", 90)
			clock.atLeast(t, "time", 75)
			understood.atLeast(t, "understood", 75)
		})
	}
}

func TestCorpusElastic(t *testing.T) {
	var clock, tag, host, count, text share
	for _, c := range corpus(t, "elastic-LICENCE-ELv2.jsonl") {
		var e *struct {
			Time     *string `json:"@timestamp"`
			Facility string  `json:"facility_mnemonic"`
			Code     string
			Hostname *string
			Count    *uint64 `json:"message_count"`
			Message  string
		}
		if err := json.Unmarshal(c.Expected, &e); err != nil || e == nil || e.Code == "" {
			continue
		}
		m := Parse(c.bytes(), corpusTime)
		facility, _, mnemonic, _ := SplitTag(m.Tag)
		tag.check(t, c.ID, "tag", facility+" "+mnemonic, e.Facility+" "+e.Code)
		text.check(t, c.ID, "text", m.Text, e.Message)
		if e.Time != nil {
			clock.check(t, c.ID, "time", m.Timestamp.Format("2006-01-02T15:04:05.000Z"), *e.Time)
		}
		if e.Hostname != nil {
			host.check(t, c.ID, "host", m.Hostname, *e.Hostname)
		}
		if e.Count != nil {
			count.check(t, c.ID, "sequence", strconv.FormatUint(m.Sequence, 10), strconv.FormatUint(*e.Count, 10))
		}
	}
	tag.atLeast(t, "tag", 100)
	text.atLeast(t, "text", 100)
	clock.atLeast(t, "time", 100)
	host.atLeast(t, "host", 100)
	count.atLeast(t, "sequence", 100)
}
