package rule_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"signalbox/internal/rule"
)

// condition loads one rule with a condition.
func condition(t testing.TB, on, when string) (*rule.Set, func(data string) (string, bool)) {
	t.Helper()
	set, inv := load(t, fmt.Sprintf("rules:\n  - name: r\n    on: %q\n    when: %s\n    do: [{log: {message: x}}]\n", on, yamlText(when)))
	return set, func(data string) (string, bool) {
		ms := set.Match(newEvent(strings.TrimSuffix(on, "*"), "sw1", "Gi0/1", data), inv)
		if len(ms) == 0 {
			return "", false
		}
		if ms[0].Err != nil {
			return ms[0].Err.Error(), false
		}
		return "", true
	}
}

// yamlText quotes s as a single-quoted YAML scalar.
func yamlText(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func TestConditions(t *testing.T) {
	tests := []struct {
		when, data string
		want       bool
		err        string // part of it
	}{
		{`device.name == "sw1.example.net" && device.address == "192.0.2.1"`, `{}`, true, ""},
		{`event.device == "sw1" && event.interface == "Gi0/1" && event.source == "campus"`, `{}`, true, ""},
		{`interface.name == "GigabitEthernet0/1" && interface.role == "uplink-a" && interface.speed == 1000`, `{}`, true, ""},
		{`interface_name(event.interface) == interface_name("gigabitethernet 0/1")`, `{}`, true, ""},
		{`site.city == "Berlin"`, `{}`, true, ""},
		{`device.rack == 12 && "poe" in device.tags`, `{}`, true, ""},
		{`event.data.ifindex == 7`, `{"ifindex":7}`, true, ""},
		{`event.data.ifindex + 1 == 8`, `{"ifindex":7.0}`, true, ""},
		{`event.data.load > 90`, `{"load":90}`, false, ""},
		{`event.data.load > 90`, `{"load":90.5}`, true, ""},
		{`event.data.load > 90`, `{"load":91}`, true, ""},
		{`event.data.load > 90`, `{"load":"91"}`, false, "event.data.load: expected number, found a string"},
		{`event.data.load > 90`, `{}`, false, "event.data.load is absent"},
		{`event.data.load > 90`, `{"load":null}`, false, "event.data.load is absent"},
		{`event.data.load > 90 || true`, `{}`, true, ""},
		{`has(event.data.load) && event.data.load > 90`, `{}`, false, ""},
		{`event.?data.?reason.orValue("none") == "none"`, `{}`, true, ""},
		{`event.data.?reason.orValue("none") == "fault"`, `{"reason":"fault"}`, true, ""},
		{`event.data.reason != "admin"`, `{}`, false, "event.data.reason is absent"},
		{`event.data.reason == "admin"`, `{}`, false, ""}, // an equality that does not hold, no more
		{`event.data.optics.rx_power < -20.0`, `{"optics":{"rx_power":-30}}`, true, ""},
		{`event.data.optics.rx_power < -20.0`, `{"optics":{}}`, false, "event.data.optics.rx_power is absent"},
		{`event.data.members.exists(m, m == "Gi0/1")`, `{"members":["Gi0/2","Gi0/1"]}`, true, ""},
		{`event.data.members.all(m, m.startsWith("Gi"))`, `{"members":["Gi0/2",3]}`, false, "no such overload"},
		{`event.data.planned`, `{"planned":true}`, true, ""},
		{`event.data.planned == true`, `{"planned":false}`, false, ""},
		{`cidr_contains("192.0.2.0/24", device.address)`, `{}`, true, ""},
		{`cidr_contains("2001:db8::/32", event.data.reason)`, `{"reason":"2001:db8::7"}`, true, ""},
		{`cidr_contains("192.0.2.0/24", event.data.reason)`, `{"reason":"nowhere"}`, false, "is no IP address"},
		{`device.name.matches("^sw[0-9]+\\.")`, `{}`, true, ""},
		{`event.time.getHours("Europe/Berlin") == 0 && event.time.getHours() == 23`, `{}`, true, ""},
		{`event.time.getDayOfWeek("America/New_York") == 0`, `{}`, true, ""},
		{`event.received - event.time == duration("1s")`, `{}`, true, ""},
		{`event.time > timestamp("2026-03-01T00:00:00+01:00")`, `{}`, true, ""},
		{`event.data.reason.lower().contains("fault")`, `{"reason":"Link FAULT"}`, true, ""},
		{`event.data.reason.split("-").join("+").replace("a", "b").substring(0, 3) == "x+b"`, `{"reason":"x-a-c"}`, true, ""},
		{`"ab".replace("", "-") == "-a-b-"`, `{}`, true, ""},
		{`event.data.reason.indexOf("ü") == 1 && event.data.reason.trim().upper() == "GÜ"`, `{"reason":"gü "}`, true, ""},
		{`events.size() == 1 && events[0].data.reason == "x"`, `{"reason":"x"}`, true, ""},
		{`events.exists(e, e.data.reason == "x" && e.device == "sw1")`, `{"reason":"x"}`, true, ""},
		{`event == events[0]`, `{}`, true, ""},
		{`event.data.reason == "x"`, `not json`, false, ""},
		{`event.data.reason != "x"`, `not json`, false, "event.data"},
		{`event.data.reason != "x"`, `[1]`, false, "expected an object"},
		{`event.data.reason != "x"`, strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100), false, "nested deeper"},
		{`true`, `not json`, true, ""},
	}
	for _, tt := range tests {
		t.Run(tt.when, func(t *testing.T) {
			_, match := condition(t, "interface_down", tt.when)
			msg, got := match(tt.data)
			if got != tt.want || tt.err == "" && msg != "" || !strings.Contains(msg, tt.err) {
				t.Errorf("%s over %s: %v %q, want %v %q", tt.when, tt.data, got, msg, tt.want, tt.err)
			}
		})
	}
}

// A type that is not in the catalogue has data of any shape.
func TestConditionsOutsideTheCatalogue(t *testing.T) {
	tests := []struct {
		when, data string
		want       bool
		absent     bool
	}{
		{`event.data.a.b == 3`, `{"a":{"b":3}}`, true, false},
		{`event.data.a.b == 3.0`, `{"a":{"b":3}}`, true, false},
		{`event.data.n == 3`, `{"n":3.0}`, true, false},
		{`event.data.n == "3"`, `{"n":3}`, false, false},
		{`event.data.a.b == 3`, `{"a":{}}`, false, true},
		{`event.data.n > 3`, `{}`, false, true},
		{`event.data["if-index"] == 9007199254740993`, `{"if-index":9007199254740993}`, true, false},
		{`event.data.?a.?b.orValue(1) == 1`, `{}`, true, false},
	}
	for _, tt := range tests {
		t.Run(tt.when, func(t *testing.T) {
			set, _ := condition(t, "door_open", tt.when)
			ms := set.Match(newEvent("door_open", "sw1", "", tt.data), nil)
			got := len(ms) == 1 && ms[0].Err == nil
			absent := len(ms) == 1 && rule.Absent(ms[0].Err)
			if got != tt.want || absent != tt.absent {
				t.Errorf("%s over %s: %v absent %v (%s), want %v %v", tt.when, tt.data, got, absent, matched(ms), tt.want, tt.absent)
			}
		})
	}
}

func TestUnknownDevice(t *testing.T) {
	set, inv := load(t, "rules:\n  - name: r\n    on: interface_down\n    when: 'device.name == \"198.51.100.9\" && device.address == \"198.51.100.9\" && !has(device.role) && !has(site.city)'\n    do: [{log: {message: x}}]\n")
	if got := matched(set.Match(newEvent("interface_down", "198.51.100.9", "", "{}"), inv)); got != "r" {
		t.Errorf("matched %q", got)
	}
	set, inv = load(t, "rules:\n  - name: r\n    on: interface_down\n    when: device.role != 'core'\n    do: [{log: {message: x}}]\n")
	ms := set.Match(newEvent("interface_down", "ghost", "", "{}"), inv)
	if len(ms) != 1 || !rule.Absent(ms[0].Err) || ms[0].Err.Error() != "when: device.role is absent" {
		t.Errorf("matched %s", matched(ms))
	}
}

// An expression that would run for long is stopped by what it costs, so that it
// stops at the same place on every machine.
func TestRunawayIsStopped(t *testing.T) {
	set, _ := condition(t, "door_open", `event.data.l.exists(a, event.data.l.exists(b, a + b == -1))`)
	ms := set.Match(newEvent("door_open", "sw1", "", `{"l":[`+strings.Repeat("1,", 20000)+`1]}`), nil)
	if len(ms) != 1 || ms[0].Err == nil || !strings.Contains(ms[0].Err.Error(), "limit") {
		t.Errorf("matched %s", matched(ms))
	}
	set, _ = condition(t, "door_open", `event.data.s.replace("a", event.data.s).replace("a", event.data.s).size() > 0`)
	ms = set.Match(newEvent("door_open", "sw1", "", `{"s":"`+strings.Repeat("a", 20000)+`"}`), nil)
	if len(ms) != 1 || ms[0].Err == nil || !strings.Contains(ms[0].Err.Error(), "longer than") {
		t.Errorf("matched %s", matched(ms))
	}
}

// Loops over long texts, and long sums of them, cost what they copy.
func TestLongTextsAreCounted(t *testing.T) {
	text := `{"s":"` + strings.Repeat("a", 500_000) + `","l":[` + strings.Repeat("1,", 5000) + `1]}`
	for _, when := range []string{
		`event.data.l.all(x, event.data.s.replace("a", "b").size() > 0)`,
		`event.data.l.all(x, event.data.s.upper().indexOf("zz") == -1)`,
		strings.Repeat("event.data.s + ", 40) + `"x" != ""`,
	} {
		set, _ := condition(t, "door_open", when)
		begin := time.Now()
		ms := set.Match(newEvent("door_open", "sw1", "", text), nil)
		if len(ms) != 1 || ms[0].Err == nil || !strings.Contains(ms[0].Err.Error(), "limit") {
			t.Errorf("%.60s: matched %s", when, matched(ms))
		}
		if took := time.Since(begin); took > 10*time.Second {
			t.Errorf("%.60s: took %v", when, took)
		}
	}
}

// One set serves many goroutines.
func TestManyGoroutines(t *testing.T) {
	set, inv := load(t, portDown)
	base := rule.NewScope(newEvent("interface_down", "sw1", "Gi0/1", `{"admin_status":"up"}`), inv)
	var wg sync.WaitGroup
	for range 8 {
		scope := *base
		wg.Go(func() {
			for range 50 {
				if got := matched(set.MatchScope(&scope)); got != "port-down" {
					t.Errorf("matched %q", got)
				}
				if v, err := set.Rules[0].Do[0].Args.Eval(&scope); err != nil || v.(map[string]any)["target"] != "192.0.2.1" {
					t.Errorf("args %v %v", v, err)
				}
			}
		})
	}
	wg.Wait()
}

// args loads one rule of one step and evaluates its arguments.
func args(t testing.TB, step string, scope func(*rule.Scope)) (map[string]any, error) {
	t.Helper()
	set, inv := load(t, "rules:\n  - name: r\n    on: interface_down\n    do:\n      - "+step+"\n")
	s := rule.NewScope(newEvent("interface_down", "sw1", "Gi0/1", `{"reason":"${device.name} $(reboot) {{x}} ${secret(\"token\")}","ifindex":7,"load":1.5,"members":["a",1]}`), inv)
	if scope != nil {
		scope(s)
	}
	v, err := set.Rules[0].Do[0].Args.Eval(s)
	if err != nil {
		return nil, err
	}
	return v.(map[string]any), nil
}

func TestArguments(t *testing.T) {
	const ev = `${device.name} $(reboot) {{x}} ${secret("token")}`
	tests := []struct {
		step string
		want map[string]any
	}{
		{`log: {message: plain}`, map[string]any{"message": "plain"}},
		{`log: {message: 010}`, map[string]any{"message": "010"}},
		{`log: {message: "$${x} ${device.name}!"}`, map[string]any{"message": "${x} sw1.example.net!"}},
		{`log: {message: "$${x}"}`, map[string]any{"message": "${x}"}},
		{`log: {message: "$5 a$ {b}"}`, map[string]any{"message": "$5 a$ {b}"}},
		{`log: {message: "${event.data.ifindex}/${event.data.load}/${event.time}/${event.received - event.time}"}`, map[string]any{"message": "7/1.5/2026-03-01T23:30:00Z/1s"}},
		{`log: {message: "${'}' + \"{\"} ${ {'a': 1}.a }"}`, map[string]any{"message": "}{ 1"}},
		{`log: {message: "${event.data.reason}"}`, map[string]any{"message": ev}},
		{`log: {message: "got ${event.data.reason}"}`, map[string]any{"message": "got " + ev}},
		{`reachability: {target: "${device.address}", count: "${event.data.ifindex}", wait: 1h30m, loss: 1, quiet: true, ports: ["${event.data.ifindex}", 22]}`,
			map[string]any{"target": "192.0.2.1", "count": int64(7), "wait": 90 * time.Minute, "loss": 1.0, "quiet": true, "ports": []any{int64(7), int64(22)}}},
		{`reachability: {target: x, loss: "${event.data.ifindex}", wait: "${duration('2s')}", quiet: "${event.data.?planned}"}`,
			map[string]any{"target": "x", "loss": 7.0, "wait": 2 * time.Second}},
		{`http: {url: x, body: {n: "${event.data.ifindex}", l: "${event.data.members}", t: 2026-01-01, deep: [{a: null}]}}`,
			map[string]any{"url": "x", "body": map[string]any{"n": int64(7), "l": []any{"a", int64(1)}, "t": "2026-01-01", "deep": []any{map[string]any{"a": nil}}}}},
		{`http: {url: x, body: "${event.data}"}`, map[string]any{"url": "x", "body": map[string]any{"reason": ev, "ifindex": int64(7), "load": 1.5, "members": []any{"a", int64(1)}}}},
		{`notify: {anything: "${device.tags}"}`, map[string]any{"anything": []any{"campus", "poe"}}},
		{`notify:`, map[string]any{}},
	}
	for _, tt := range tests {
		t.Run(tt.step, func(t *testing.T) {
			got, err := args(t, tt.step, nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestWholeEventAsArgument(t *testing.T) {
	got, err := args(t, `http: {url: x, body: "${event}"}`, nil)
	if err != nil {
		t.Fatal(err)
	}
	body := got["body"].(map[string]any)
	if body["device"] != "sw1" || body["type"] != "interface_down" || body["data"].(map[string]any)["ifindex"] != int64(7) {
		t.Errorf("body: %v", body)
	}
}

func TestSecretArguments(t *testing.T) {
	secret := func(s *rule.Scope) {
		s.Secret = func(name string) (string, error) {
			if name != "token" {
				return "", errors.New("no such secret")
			}
			return "canary-7", nil
		}
	}
	got, err := args(t, `http: {url: x, headers: {Authorization: 'Bearer ${secret("token")}', X: '${true ? secret("token") : "none"}'}}`, secret)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"Authorization": "Bearer canary-7", "X": "canary-7"}, got["headers"]); diff != "" {
		t.Error(diff)
	}
	if _, err := args(t, `log: {message: '${secret("token")}'}`, nil); err == nil || !strings.Contains(err.Error(), "cannot be read here") {
		t.Errorf("without a resolver: %v", err)
	}
	// A value of the wrong type is named by its kind, never by what it is.
	_, err = args(t, `reachability: {target: x, wait: '${secret("token")}'}`, secret)
	if err == nil || strings.Contains(err.Error(), "canary-7") {
		t.Errorf("wrong type: %v", err)
	}
}

func TestRegisters(t *testing.T) {
	set, inv := load(t, `
rules:
  - name: r
    on: interface_down
    do:
      - reachability: {target: x}
        register: ping
      - log: {message: "${ping.sent} sent, ${ping.rtt_ms} ms"}
        when: "!ping.reachable"
      - http: {url: "https://${item}/"}
        loop: "${event.data.members}"
        when: item != "b"
        register: all
      - log: {message: "${all.results.map(r, string(r.status)).join(',')}"}
`)
	do := set.Rules[0].Do
	s := rule.NewScope(newEvent("interface_down", "sw1", "", `{"members":["a","b"]}`), inv)
	if ok, err := do[1].When.Bool(s); ok || !rule.Absent(err) {
		t.Errorf("register of a skipped step: %v %v", ok, err)
	}
	s.Registers = map[string]any{
		"ping": map[string]any{"reachable": false, "sent": 3.0, "rtt_ms": int64(2)}, // as JSON may give it back
		"all":  map[string]any{"results": []any{map[string]any{"status": int64(200)}, map[string]any{"status": 404.0}}},
	}
	if ok, err := do[1].When.Bool(s); !ok || err != nil {
		t.Errorf("when: %v %v", ok, err)
	}
	got, err := do[1].Args.Eval(s)
	if err != nil || got.(map[string]any)["message"] != "3 sent, 2 ms" {
		t.Errorf("args: %v %v", got, err)
	}
	list, err := do[2].Loop.Eval(s)
	if diff := cmp.Diff([]any{"a", "b"}, list); err != nil || diff != "" {
		t.Errorf("loop: %v %v", list, err)
	}
	s.Item, s.HasItem = "b", true
	if ok, err := do[2].When.Bool(s); ok || err != nil {
		t.Errorf("item: %v %v", ok, err)
	}
	got, err = do[3].Args.Eval(s)
	if err != nil || got.(map[string]any)["message"] != "200,404" {
		t.Errorf("results: %v %v", got, err)
	}
}
