package rule_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"signalbox/event"
	"signalbox/internal/rule"
)

// drawRules writes rules of the shapes that people write.
func drawRules(t *rapid.T) string {
	conjunct := rapid.SampledFrom([]string{
		`event.device == "sw1"`, `"core1" == event.device`, `event.device in ["sw1", "core1"]`,
		`event.interface == "Gi0/1"`, `device.role == "core"`, `device.role in ["access", "core"]`,
		`device.site == "ber1"`, `device.rack == 12`, `device.redundant == true`,
		`site.city == "Berlin"`, `interface.role == "uplink-a"`, `event.source != "campus"`,
		`event.data.a == 1`, `event.data.a == 1.0`, `event.data.a == "1"`, `event.data.b in [1, "x", true]`,
		`event.data.a > 0`, `event.data.?a.orValue(0) == 1`, `has(event.data.b)`, `event.type == "t1"`,
		`!(event.device == "sw1")`, `(event.device == "sw1" || event.data.a == 1)`, `event.data.a == -1`, `true`, `false`,
	})
	var b strings.Builder
	b.WriteString("rules:\n")
	for i := range rapid.IntRange(1, 12).Draw(t, "rules") {
		on := rapid.SampledFrom([]string{"t1", "t2", "[t1, t2]", "t*", `"*"`, `["t*", t1]`, "other"}).Draw(t, "on")
		mode := rapid.SampledFrom([]string{"active", "active", "shadow", "off"}).Draw(t, "mode")
		fmt.Fprintf(&b, "  - name: r%d\n    on: %s\n    mode: %s\n", i, on, mode)
		if n := rapid.IntRange(0, 4).Draw(t, "conjuncts"); n > 0 {
			var parts []string
			for range n {
				parts = append(parts, conjunct.Draw(t, "conjunct"))
			}
			fmt.Fprintf(&b, "    when: %s\n", yamlText(strings.Join(parts, " && ")))
		}
		switch rapid.IntRange(0, 6).Draw(t, "form") {
		case 0:
			fmt.Fprintf(&b, "    unless: {on: [t1, t2], when: %s, within: 1m}\n", yamlText(conjunct.Draw(t, "follow")))
		case 1:
			fmt.Fprintf(&b, "    all: {within: 1m, events: [{when: %s}, {on: t2, as: x, when: %s}]}\n", yamlText(conjunct.Draw(t, "a")), yamlText(conjunct.Draw(t, "b")))
		case 2:
			fmt.Fprintf(&b, "    situation: {resolved_by: {on: t2, when: %s}}\n", yamlText(conjunct.Draw(t, "resolve")))
		}
		b.WriteString("    do: [{log: {message: x}}]\n")
	}
	return b.String()
}

func drawEvent(t *rapid.T) *event.Event {
	value := rapid.SampledFrom([]string{"1", "1.0", `"1"`, "-1", "true", "null", `"x"`, "[1]", "{}", "0"})
	var fields []string
	for _, name := range []string{"a", "b"} {
		if rapid.Bool().Draw(t, "has "+name) {
			fields = append(fields, fmt.Sprintf("%q:%s", name, value.Draw(t, name)))
		}
	}
	return newEvent(
		rapid.SampledFrom([]string{"t1", "t2", "t", "x"}).Draw(t, "type"),
		rapid.SampledFrom([]string{"sw1", "core1", "spare", "ghost", ""}).Draw(t, "device"),
		rapid.SampledFrom([]string{"Gi0/1", "Gi0/9", ""}).Draw(t, "interface"),
		"{"+strings.Join(fields, ",")+"}",
	)
}

// The index finds the same rules, and the same errors, as asking each rule.
func TestMatchIsTakes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		src := drawRules(t)
		set, inv, diags := rule.Load(bundle(src), options())
		if set == nil {
			t.Fatalf("%v\n%s", diags, src)
		}
		for range 8 {
			ev := drawEvent(t)
			var want []rule.Match
			for _, r := range set.Rules {
				if ok, err := r.Takes(rule.NewScope(ev, inv)); ok || err != nil {
					want = append(want, rule.Match{Rule: r, Err: err})
				}
			}
			if got := matched(set.Match(ev, inv)); got != matched(want) {
				t.Fatalf("%s %s %s %s\nindex: %s\neach:  %s\n%s", ev.Type, ev.Device, ev.Interface, ev.Data, got, matched(want), src)
			}
		}
	})
}

func TestMatchKeepsTheOrderOfFiles(t *testing.T) {
	set, inv := load(t, `
rules:
  - {name: c, on: "*", do: [{log: {message: x}}]}
  - {name: a, on: "interface_*", when: device.role == "access", do: [{log: {message: x}}]}
  - {name: d, on: [interface_down, "interface_d*"], do: [{log: {message: x}}]}
  - {name: b, on: interface_down, when: device.role == "access" && event.data.reason == "x", do: [{log: {message: x}}]}
  - {name: e, on: interface_down, mode: off, do: [{log: {message: x}}]}
`)
	if got := matched(set.Match(newEvent("interface_down", "sw1", "", `{"reason":"x"}`), inv)); got != "c; a; d; b" {
		t.Errorf("matched %q", got)
	}
	if got := matched(set.Match(newEvent("unheard_of", "", "", ""), inv)); got != "c" {
		t.Errorf("matched %q", got)
	}
}

// What an event says is text, whatever it looks like.
func TestEventsAreNeverCode(t *testing.T) {
	hostile := []string{
		`${device.name}`, `${secret("token")}`, `$${x}`, `" + secret("token") + "`, `'; DROP TABLE runs; --`,
		`{{ device.name }}`, `{% for x in y %}`, `$(reboot)`, "`reboot`", `true || true`, `event.device == event.device`,
		"\x1b[2J", "line\nline", `<script>alert(1)</script>`, `%s%n`, `\u0024{device.name}`, `..`, `*`,
	}
	set, inv := load(t, `
rules:
  - name: r
    on: "*"
    when: event.data.x == "safe" || event.device == "safe"
    dedup: {by: [device, event.data.x]}
    do: [{log: {message: x}}]
  - name: text
    on: "*"
    do:
      - http: {url: "u/${event.device}/${event.data.x}/${event.interface}", body: {x: "${event.data.x}", all: "${event.data}"}}
`)
	for _, h := range hostile {
		ev := newEvent("t", h, h, "")
		ev.Data = []byte(`{"x":` + jsonText(h) + `}`)
		if got := matched(set.Match(ev, inv)); got != "text" {
			t.Errorf("%q matched %q", h, got)
		}
		s := rule.NewScope(ev, inv)
		s.Secret = func(string) (string, error) { t.Errorf("%q asked for a secret", h); return "", nil }
		got, err := set.Rules[1].Do[0].Args.Eval(s)
		if err != nil {
			t.Errorf("%q: %v", h, err)
			continue
		}
		m := got.(map[string]any)
		if want := "u/" + h + "/" + h + "/" + h; m["url"] != want {
			t.Errorf("url %q, want %q", m["url"], want)
		}
		if x := m["body"].(map[string]any)["x"]; x != h {
			t.Errorf("body %q, want %q", x, h)
		}
		if _, _, ok, err := set.Dedup(set.Rules[0], s); !ok || err != nil {
			t.Errorf("%q: dedup %v %v", h, ok, err)
		}
	}
}
