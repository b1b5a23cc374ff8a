package syslogmsg

import (
	"strings"
	"testing"
	"time"

	"github.com/leodido/go-syslog/v4/rfc5424"
)

// agree compares Parse with the library on a message that the library accepts,
// and says whether it did accept it.
func agree(t *testing.T, raw []byte) bool {
	t.Helper()
	lib, err := rfc5424.NewParser().Parse(raw)
	if err != nil || lib == nil {
		return false
	}
	want := lib.(*rfc5424.SyslogMessage)
	got := Parse(raw, time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC))
	str := func(p *string) string {
		if p == nil {
			return ""
		}
		return *p
	}
	eq := func(field string, got, want any) {
		if got != want {
			t.Errorf("%q: %s = %q, library %q", raw, field, got, want)
		}
	}
	eq("priority", int(got.Facility)*8+int(got.Severity), int(*want.Priority))
	eq("version", got.Version, want.Version)
	if got.Unparsed {
		t.Errorf("%q: unparsed (%s), the library parsed it", raw, got.Why)
	}
	if want.Timestamp != nil && !want.Timestamp.Equal(got.Timestamp) {
		t.Errorf("%q: time = %v, library %v", raw, got.Timestamp, want.Timestamp)
	}
	eq("app name", got.AppName, str(want.Appname))
	eq("process", got.ProcID, str(want.ProcID))
	eq("message id", got.MsgID, str(want.MsgID))
	host := got.Hostname
	if got.Node != "" {
		host = str(want.Hostname) // "re0." of Junos taken apart
	}
	eq("host name", host, str(want.Hostname))
	// Trailing line ends and NULs are framing to us, and so is a leading BOM.
	eq("message", strings.TrimRight(got.Content, "\r\n\x00"), strings.TrimPrefix(strings.TrimRight(str(want.Message), "\r\n\x00"), bom))
	agreeData(t, raw, got.StructuredData, want.StructuredData)
	return true
}

func agreeData(t *testing.T, raw []byte, got []Element, lib *map[string]map[string]string) {
	t.Helper()
	want := map[string]map[string]string{}
	if lib != nil {
		want = *lib
	}
	if len(got) != len(want) {
		t.Errorf("%q: %d elements, library %d", raw, len(got), len(want))
	}
	for _, e := range got {
		params, ok := want[e.ID]
		if !ok {
			t.Errorf("%q: element %q, the library has none of that name", raw, e.ID)
		}
		for _, p := range e.Params {
			// A name may stand there twice (RFC 5424, section 6.3.3); the
			// library keeps the last.
			if v, ok := params[p.Name]; !ok || v != p.Value && !twice(e.Params, p.Name) {
				t.Errorf("%q: %s %s = %q, library %q", raw, e.ID, p.Name, p.Value, v)
			}
		}
	}
}

func twice(params []Param, name string) bool {
	n := 0
	for _, p := range params {
		if p.Name == name {
			n++
		}
	}
	return n > 1
}

func TestAgreesWithLibrary(t *testing.T) {
	for _, raw := range []string{
		`<34>1 2026-11-24T10:00:00.003Z sw1.example.net su - ID47 - 'su root' failed for lonvick on /dev/pts/8`,
		`<165>1 2026-11-24T10:00:00.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time to make the do-nuts.`,
		`<165>1 2026-11-24T10:00:00Z sw1 evntslog - ID47 [exampleSDID@32473 iut="3" eventSource="App\"li\]ca\\tion" eventID="1011"] an entry`,
		`<165>1 - - - - - [a@1 x="1"][b@1]`,
		"<165>1 2026-11-24T10:00:00Z 2001:db8::1 a - - - \xef\xbb\xbfwith a BOM",
		"<0>999 - - - - - - x",
		"<29>1 2026-11-24T10:00:00+05:30 mx1 rpd 2902 RPD_BGP_NEIGHBOR_STATE_CHANGED [junos@2636.1.1.1.2.57 peer=\"192.0.2.9\"] BGP peer\n",
	} {
		if !agree(t, []byte(raw)) {
			t.Errorf("%q: the library refuses it", raw)
		}
	}
}

func TestAgreesWithLibraryOnCorpus(t *testing.T) {
	for _, name := range []string{"gosyslog-rfc5424.jsonl", "sc4s-network.jsonl", "sc4s-other.jsonl", "napalm-logs.jsonl", "elastic-LICENCE-ELv2.jsonl"} {
		accepted := 0
		cases := corpus(t, name)
		for _, c := range cases {
			if agree(t, c.bytes()) {
				accepted++
			}
		}
		t.Logf("%s: agrees on %d of %d, all that the library accepts", name, accepted, len(cases))
	}
}
