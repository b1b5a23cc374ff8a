package rule

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"signalbox/event"
	"signalbox/internal/inventory"
	"signalbox/internal/schema"
)

// fields of a condition with values that they may have; some have another type
// in some events than the catalogue says, and some are not there.
var (
	fastFields = []string{"event.device", "event.interface", "event.type", "event.source", "event.data.text", "event.data.kind", "event.data.count",
		"event.data.load", "event.data.good", "event.data.any", "event.data.list", "device.role", "device.rack", "device.weight", "device.redundant",
		"device.tags", "device.mixed", "interface.role", "interface.speed", "site.region", "site.name"}
	fastLiterals = []string{`"core"`, `"access"`, `""`, `"sw1"`, `"Gi0/1"`, `"north"`, `1`, `0`, `-3`, `40.0`, `1.0`, `2.5`, `true`, `false`, `9007199254740993`, `"up"`}
)

func genCondition(t *rapid.T, depth int) string {
	pick := func(list []string, what string) string { return rapid.SampledFrom(list).Draw(t, what) }
	value := func() string {
		switch rapid.IntRange(0, 9).Draw(t, "value") {
		case 0, 1, 2, 3:
			return pick(fastLiterals, "literal")
		case 4:
			owner, name := "event.data", pick([]string{"text", "kind", "count", "any"}, "optional")
			if rapid.Bool().Draw(t, "inventory") {
				owner, name = "device", pick([]string{"role", "rack", "weight"}, "optional")
			}
			return fmt.Sprintf("%s.?%s.orValue(%s)", owner, name, pick(fastLiterals, "otherwise"))
		}
		return pick(fastFields, "field")
	}
	if depth > 0 {
		switch rapid.IntRange(0, 5).Draw(t, "shape") {
		case 0:
			return "(" + genCondition(t, depth-1) + " && " + genCondition(t, depth-1) + ")"
		case 1:
			return "(" + genCondition(t, depth-1) + " || " + genCondition(t, depth-1) + ")"
		case 2:
			return "!(" + genCondition(t, depth-1) + ")"
		case 3:
			return "(" + genCondition(t, depth-1) + " && " + genCondition(t, depth-1) + " && " + genCondition(t, depth-1) + ")"
		}
	}
	switch rapid.IntRange(0, 9).Draw(t, "leaf") {
	case 0:
		return "has(" + pick(fastFields, "field") + ")"
	case 1:
		n := rapid.IntRange(1, 4).Draw(t, "n")
		var list []string
		for range n {
			list = append(list, pick(fastLiterals[:6], "member"))
		}
		return pick(fastFields, "field") + " in [" + strings.Join(list, ", ") + "]"
	case 2:
		return pick(fastFields, "field") + "." + pick([]string{"startsWith", "endsWith", "contains", "matches"}, "function") + `("` + pick([]string{"c", "sw", "1", "Gi", "o"}, "text") + `")`
	case 3:
		return pick([]string{"event.data.good", "device.redundant", "true", "event.data.any", "size(device.tags) > 1", `device.tags.exists(t, t == "x")`, `int(event.data.text) > 3`}, "bool")
	case 4, 5, 6:
		return value() + pick([]string{" < ", " <= ", " > ", " >= "}, "order") + value()
	}
	return value() + pick([]string{" == ", " != "}, "equality") + value()
}

func genData(t *rapid.T) []byte {
	switch rapid.IntRange(0, 19).Draw(t, "data") {
	case 0:
		return nil
	case 1:
		return []byte(`{"text":`)
	case 2:
		return []byte(`[1]`)
	}
	var parts []string
	for _, f := range []string{"text", "kind", "count", "load", "good", "any", "list"} {
		switch rapid.IntRange(0, 9).Draw(t, f) {
		case 0, 1, 2:
			continue
		case 3:
			parts = append(parts, fmt.Sprintf(`%q: null`, f))
			continue
		}
		var values []string
		switch f {
		case "text", "kind":
			values = []string{`"core"`, `"c\u006fre"`, `""`, `"up"`, `5`}
		case "count":
			values = []string{`1`, `0`, `3.0`, `2.5`, `"1"`, `9007199254740993`, `99999999999999999999`, `1e3`}
		case "load":
			values = []string{`40`, `40.0`, `2.5`, `-0.0`, `true`, `1e400`}
		case "good":
			values = []string{`true`, `false`, `"true"`, `1`}
		case "any":
			values = []string{`"core"`, `1`, `1.0`, `true`, `{"a":1}`, `[1]`, `"Gi0/1"`}
		case "list":
			values = []string{`[]`, `["x"]`}
		}
		parts = append(parts, fmt.Sprintf(`%q: %s`, f, rapid.SampledFrom(values).Draw(t, f+" value")))
	}
	return []byte("{" + strings.Join(parts, ",") + "}")
}

const fastDevices = `
devices:
  - {name: sw1, address: 192.0.2.1, role: core, site: north, rack: r1, weight: 3, redundant: true, tags: [x, y], mixed: 1, interfaces: {Gi0/1: {role: uplink, speed: 10}}}
  - {name: sw2, address: 192.0.2.2, role: access, weight: 2.5, redundant: false, tags: [], mixed: core, interfaces: {Gi0/1: {role: access}}}
  - {name: sw3, address: 192.0.2.3, role: access, rack: ""}
sites:
  - {name: north, region: north}
`

type fastCatalogue struct{ fields []schema.Field }

func (c fastCatalogue) Types() []schema.Type { t, _ := c.Type("known"); return []schema.Type{t} }

func (c fastCatalogue) Type(name string) (schema.Type, bool) {
	return schema.Type{Name: "known", Fields: c.fields}, name == "known"
}

// What is answered without the interpreter is what the interpreter answers, in
// result and error, with the fields of the type known and not.
func TestFastIsCEL(t *testing.T) {
	inv, problems := inventory.Parse([]inventory.File{{Name: "d.yaml", Data: []byte(fastDevices)}})
	for _, p := range problems {
		t.Fatal(p)
	}
	cat := fastCatalogue{[]schema.Field{{Name: "text", Type: "string"}, {Name: "kind", Type: "string"}, {Name: "count", Type: "integer"},
		{Name: "load", Type: "number"}, {Name: "good", Type: "boolean"}, {Name: "any"}, {Name: "list", Type: "array"}}}
	envs, err := newEnvCache(cat, inv.Fields(), nil)
	if err != nil {
		t.Fatal(err)
	}
	answered, asked := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		typ := rapid.SampledFrom([]string{"known", "other"}).Draw(t, "type")
		env, err := envs.environment(place{on: typ, named: []namedEvent{{"first", typ}}})
		if err != nil {
			t.Fatal(err)
		}
		text := genCondition(t, 3)
		if rapid.IntRange(0, 4).Draw(t, "named") == 0 {
			text = strings.ReplaceAll(text, "event.", "first.")
		}
		c, _ := env.compile(text)
		for i := 0; i < 20 && (c == nil || c.test == nil); i++ { // most are of types that do not fit
			text = genCondition(t, 3)
			c, _ = env.compile(text)
		}
		if c == nil || c.test == nil {
			return
		}
		e := &Expr{Text: text, c: c}
		for range 4 {
			ev := &event.Event{Type: typ, Source: "core", Device: rapid.SampledFrom([]string{"sw1", "sw2", "sw3", "sw9", ""}).Draw(t, "device"),
				Interface: rapid.SampledFrom([]string{"Gi0/1", "GigabitEthernet0/1", "Gi0/9", ""}).Draw(t, "interface"), Data: genData(t)}
			scope := func() *Scope { // what is decoded serves one way of asking only
				s := (&Set{}).Decide(ev, inv, Deciding{}).scope
				if len(ev.Device) > 2 {
					s.Named = map[string]*event.Event{"first": ev}
				}
				return s
			}
			asked++
			if v, _ := c.test(scope()); v != open {
				answered++
			}
			got, gotErr := e.Bool(scope())
			want, wantErr := e.interpret(scope())
			if got != want || errText(gotErr) != errText(wantErr) || Absent(gotErr) != Absent(wantErr) {
				t.Fatalf("%s\nof %s %s: %v, %v; CEL says %v, %v", text, ev.Device, ev.Data, got, gotErr, want, wantErr)
			}
		}
	})
	if answered*2 < asked {
		t.Errorf("%d of %d were answered without the interpreter", answered, asked)
	}
	t.Logf("%d of %d were answered without the interpreter", answered, asked)
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
