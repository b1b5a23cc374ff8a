package attacks

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gosnmp/gosnmp"

	"signalbox/test/harness"
)

// The program that the rule runs writes down what it got, byte for byte.
const recorder = `#!/bin/sh
{ printf 'argv\0'; printf '%s\0' "$@"; printf 'env\0%s\0%s\0%s\0' "$SIGNALBOX_DEVICE" "$SIGNALBOX_INTERFACE" "$GIVEN"; } > "$OUT/$SIGNALBOX_RUN.new"
cat > "$OUT/$SIGNALBOX_RUN.stdin"
mv "$OUT/$SIGNALBOX_RUN.new" "$OUT/$SIGNALBOX_RUN.got"
`

const recording = `
rules:
  - name: record
    on: interface_down
    lock: none
    do:
      - exec:
          command: [./recorder.sh, "${event.device}", "${event.interface}", "${event.data.?reason.orValue('')}"]
          env: {OUT: "OUTDIR", GIVEN: "${event.interface}"}
      - log: {message: "${event.device} ${event.interface} ${event.data.?reason.orValue('')}", level: warn}
  - name: say
    on: syslog_message
    lock: none
    do:
      - log: {message: "${event.device} ${event.data.?message.orValue('')}", level: warn}
`

// hostile are what an attacker would write into a field. MARK is a file that must
// not come to be.
var hostile = []string{
	"$(touch MARK)", "`touch MARK`", "; touch MARK", "| touch MARK", "&& touch MARK #", "\n touch MARK\n", "'; touch MARK; '", "\"; touch MARK; \"",
	"--help", "-e touch MARK", "> MARK", "${IFS}touch${IFS}MARK", "%0atouch MARK", "\r\ntouch MARK\r\n",
	"${1+1}", "${event.device}", "${secret('canary')}", "${device.name + 'x'}", "$${event.type}", "${", "}${", "{{7*7}}", "{% raw %}", "<%= 7*7 %>", "#{7*7}", "%s%n%x", "{0.__class__}",
	"\x1b[2J\x1b[31mred", "\x1b]0;title\x07", "\x1bP$q\x1b\\", "\u009b31m", "a\rb", "a\bb", "a\tb", "\u202etxt.exe", "a\nlevel=ERROR msg=forged", "a\" level=ERROR msg=\"forged",
	"<script>alert(1)</script>", "' OR 1=1 --", "../../etc/passwd", strings.Repeat("A", 5000),
}

type arrangement struct {
	*harness.Server
	syslogUDP, syslogTCP, traps, out, mark string
}

func arrange(t *testing.T) *arrangement {
	t.Helper()
	a := &arrangement{syslogUDP: harness.FreePort(t, "udp"), syslogTCP: harness.FreePort(t, "tcp"), traps: harness.FreePort(t, "udp")}
	a.Server = harness.New(t, map[string]string{"signalbox.yaml": fmt.Sprintf(`
http: {listen: HTTPADDR}
sources:
  w: {kind: webhook, auth: {none: true}}
  s: {kind: syslog, udp: %q, tcp: %q}
  t: {kind: snmp, listen: %q, allow_any_community: true}
rules: rules/
dedup: {off: true}
secrets: {canary: SECRETCANARY}
`, a.syslogUDP, a.syslogTCP, a.traps), "recorder.sh": recorder})
	a.out, a.mark = filepath.Join(a.Dir, "out"), filepath.Join(a.Dir, "executed")
	a.Write("rules/r.yaml", strings.ReplaceAll(recording, "OUTDIR", a.out))
	if err := os.MkdirAll(a.out, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(a.Dir, "recorder.sh"), 0o700); err != nil {
		t.Fatal(err)
	}
	a.StartReady()
	return a
}

// Whatever is in an event's fields reaches a program as data, and a person's
// terminal as text.
func TestHostileFields(t *testing.T) {
	a := arrange(t)
	var want []string // interfaces, as the program must see them
	for i, text := range hostile {
		text = strings.ReplaceAll(text, "MARK", a.mark)
		device := fmt.Sprintf("d%d", i)
		body, err := json.Marshal(map[string]any{"event_type": "interface_down", "device": device, "interface": text, "data": map[string]any{"reason": text}})
		if err != nil {
			t.Fatal(err)
		}
		if code, answer := post(t, a.Server, "/webhook/w", string(body)); code != 202 {
			t.Logf("%q: %d %s", text, code, answer)
			continue
		}
		want = append(want, text)
		// As a device's name, an event type and a source's name as well.
		for _, body := range []map[string]any{{"event_type": "interface_down", "device": text}, {"event_type": text, "device": device}, {text: text, "event_type": "x"}} {
			b, err := json.Marshal(body)
			if err != nil {
				t.Fatal(err)
			}
			post(t, a.Server, "/webhook/w", string(b))
		}
		line := "<187>45: " + device + ": %LINK-3-UPDOWN: Interface " + text + ", changed state to down"
		sendTCP(t, "127.0.0.1", a.syslogTCP, octets(line, "<13>1 - "+device+" "+text+" - - - "+text, text))
		sendUDP(t, a.syslogUDP, []byte(line))
		trap(t, a.traps, text)
	}
	a.Eventually("all traps are in", limit, func() bool { return len(a.Events("--source", "t")) >= len(want) })
	l := a.Settled(limit)
	t.Logf("%d events, %d runs, of which %d failed", l.Log.Logged, l.Log.Runs.Started, l.Log.Runs.Failed)
	if _, err := os.Stat(a.mark); err == nil {
		t.Fatal("a payload was executed")
	}
	checkRecorded(t, a, want)
	checkTerminal(t, a)
}

// checkRecorded compares what the program got with what was sent.
func checkRecorded(t *testing.T, a *arrangement, want []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(a.out, "*.got"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		parts := strings.Split(string(b), "\x00")
		if len(parts) != 9 || parts[0] != "argv" || parts[4] != "env" {
			t.Errorf("the program got %q", parts)
			continue
		}
		if parts[1] != parts[5] || parts[2] != parts[6] || parts[2] != parts[7] {
			t.Errorf("arguments %q and environment %q differ", parts[1:4], parts[5:8])
		}
		if parts[2] == parts[3] {
			seen[parts[2]] = true
		}
		stdin, err := os.ReadFile(strings.TrimSuffix(f, "got") + "stdin")
		var doc map[string]any
		if err != nil || json.Unmarshal(stdin, &doc) != nil {
			t.Errorf("stdin is no JSON: %q, %v", stdin, err)
		}
	}
	for _, text := range want {
		if !seen[text] {
			t.Errorf("%q did not reach the program as it is", text)
		}
	}
	for text := range seen {
		if text == "2" || strings.Contains(text, "SECRETCANARY") || text == "49" {
			t.Errorf("a payload was evaluated: %q", text)
		}
	}
	if len(files) == 0 {
		t.Error("the program never ran")
	}
}

// checkTerminal looks for control bytes in all that is shown to people.
func checkTerminal(t *testing.T, a *arrangement) {
	t.Helper()
	ids := a.Events()
	runs := a.MustCLI("runs", "--limit", "1000")
	commands := [][]string{{"events", "--limit", "0"}, {"events", "--limit", "0", "--json"}, {"runs", "--limit", "1000", "--json"}, {"status"}, {"status", "--json"}, {"ledger"},
		{"ledger", "--json"}, {"rejected", "list"}, {"deadletter", "list"}}
	for i := range ids {
		if i%7 == 0 {
			commands = append(commands, []string{"events", string(ids[i].Event.ID)})
		}
	}
	for line := range strings.Lines(runs) {
		f := strings.Fields(line)
		if k := slices.IndexFunc(f, func(w string) bool { return strings.HasPrefix(w, "r") && strings.Count(w, "-") == 2 }); k >= 0 && len(commands) < 60 {
			commands = append(commands, []string{"runs", f[k]})
		}
	}
	for _, c := range commands {
		out, _ := a.CLI(c...) // some exit 1 where nothing is to be shown; what they print counts
		if at, what := controls(out); at >= 0 {
			t.Errorf("signalbox %s prints %s", strings.Join(c, " "), what)
		}
	}
	// A name that is asked for is printed in the error.
	for _, c := range [][]string{{"runs", "\x1b[31m"}, {"events", "\x1b[31m"}, {"types", "\x1b[31m"}, {"deadletter", "show", "\x1b[2J"}, {"deadletter", "requeue", "\x1b[2J"}, {"\x1b[31m"}} {
		_, err := a.CLI(c...)
		if err == nil {
			t.Errorf("%q succeeds", c)
			continue
		}
		_, text, _ := strings.Cut(err.Error(), "\n") // the first line is ours
		if at, what := controls(text); at >= 0 {
			t.Errorf("%q is answered with %s", c, what)
		}
	}
	if at, what := controls(a.Output()); at >= 0 {
		t.Errorf("the server's log holds %s", what)
	}
	for line := range strings.Lines(a.Output()) {
		if strings.HasPrefix(line, "level=ERROR msg=forged") {
			t.Errorf("a line of the server's log is forged: %q", line)
		}
	}
}

func trap(t *testing.T, addr, text string) {
	t.Helper()
	sendTrap(t, addr, &gosnmp.GoSNMP{Version: gosnmp.Version2c, Community: "public"}, text)
}
