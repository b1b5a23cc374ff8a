package importer_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"signalbox/event"
	"signalbox/internal/daemon"
	"signalbox/internal/importer"
	"signalbox/internal/normalize"
	"signalbox/internal/rule"
	"signalbox/internal/ruletest"
	"signalbox/internal/schema"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; -update writes it):\n%s", file, diff)
	}
}

// load checks rules as signalbox check does.
func load(t testing.TB, rules []byte) *ruletest.Env {
	t.Helper()
	b, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	cat, specs := b.cat, b.specs
	set, inv, diags := rule.Load(rule.Bundle{Rules: []rule.File{{Name: "imported.yaml", Data: rules}}}, rule.Options{Catalogue: cat, Actions: specs})
	if set == nil {
		t.Fatalf("%v\n%s", diags, rules)
	}
	return &ruletest.Env{Set: set, Inventory: inv, Catalogue: cat, Normalizer: b.norm}
}

// built is what all rules share.
type built struct {
	specs []rule.ActionSpec
	cat   *schema.Catalogue
	norm  *normalize.Normalizer
}

var binary = sync.OnceValues(func() (b built, err error) {
	if b.specs, err = daemon.ActionSpecs(); err != nil {
		return b, err
	}
	if b.cat, err = schema.Load(); err != nil {
		return b, err
	}
	b.norm, err = normalize.New(normalize.Options{Catalogue: b.cat})
	return b, err
})

// TestRulebooks imports rulebooks; what comes of each loads, and is in a golden
// file with its reports.
func TestRulebooks(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yml")
	if err != nil || len(files) < 3 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			res, err := importer.Rulebook(filepath.Base(file), data, importer.Options{})
			if err != nil {
				t.Fatal(err)
			}
			env := load(t, res.Rules)
			if len(env.Set.Rules) != res.Count {
				t.Errorf("%d rules, says the import; there are %d", res.Count, len(env.Set.Rules))
			}
			off := 0
			for _, r := range env.Set.Rules {
				if r.Mode == "off" {
					off++
				}
			}
			if off < res.Off {
				t.Errorf("%d rules could not be translated, and %d are off", res.Off, off)
			}
			var b strings.Builder
			for _, r := range res.Reports {
				b.WriteString(r.String() + "\n")
				// Nothing is told to the terminal alone: each stands in the file, too.
				if !strings.Contains(oneLine(string(res.Rules)), oneLine(strings.TrimSuffix(r.Message, "."))) {
					t.Errorf("not in the output: %s", r)
				}
			}
			name := strings.TrimSuffix(file, ".yml")
			golden(t, name+".reports", b.String())
			golden(t, name+".rules.yaml", string(res.Rules))
		})
	}
}

// oneLine takes the line breaks of comments out.
func oneLine(s string) string {
	return strings.Join(strings.Fields(strings.ReplaceAll(s, "\n  #", " ")), " ")
}

func TestVars(t *testing.T) {
	data, err := os.ReadFile("testdata/webhook.yml")
	if err != nil {
		t.Fatal(err)
	}
	res, err := importer.Rulebook("webhook.yml", data, importer.Options{Vars: map[string]any{"repo_name": "o/r"}, Controller: "https://awx.example.net"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`event.data.repository_name == "o/r" && event.data.?pr.hasValue()`, "https://awx.example.net/api/v2/workflow_job_templates/"} {
		if !strings.Contains(string(res.Rules), want) {
			t.Errorf("%q is not in\n%s", want, res.Rules)
		}
	}
	if res.Off != 0 {
		t.Errorf("%d rules are off", res.Off)
	}
}

func rulebook(condition string) []byte {
	text, _ := json.Marshal(condition)
	return []byte("- name: r\n  hosts: all\n  sources: [{ansible.eda.range: {}}]\n  rules:\n    - name: one\n      condition: " + string(text) + "\n      action: {none: }\n")
}

// TestConditionsMean: a translated condition is true of the same events as it is
// in ansible-rulebook (docs/conditions.rst says of which).
func TestConditionsMean(t *testing.T) {
	tests := []struct {
		condition string
		yes, no   []string // data of events
	}{
		{`event.i == 1`, []string{`{"i":1}`}, []string{`{"i":2}`, `{}`, `{"i":"1"}`}},
		{`event.i != 1`, []string{`{"i":2}`}, []string{`{"i":1}`, `{}`}},
		{`event.a == 1 or event.b == 2`, []string{`{"a":1}`, `{"b":2}`}, []string{`{"a":2}`, `{}`}},
		{`event.a == 1 or event.b == 2 and event.c == 3`, []string{`{"a":1,"b":0,"c":3}`}, []string{`{"a":1,"b":0,"c":0}`}},
		{`not (event.i > 50 or event.i < 10)`, []string{`{"i":20}`}, []string{`{"i":60}`, `{"i":5}`}},
		{`event.i is defined`, []string{`{"i":null}`, `{"i":0}`}, []string{`{}`}},
		{`event.a.b is not defined`, []string{`{}`, `{"a":{}}`}, []string{`{"a":{"b":1}}`}},
		{`event.on`, []string{`{"on":true}`}, []string{`{"on":false}`, `{}`}},
		{`event.i + 2 == event.j * 2`, []string{`{"i":2,"j":2}`}, []string{`{"i":1,"j":2}`}},
		{`event.f > 1.5e0`, []string{`{"f":2}`}, []string{`{"f":1.5}`}},
		{`event.l in ["a", 3]`, []string{`{"l":"a"}`, `{"l":3}`}, []string{`{"l":"b"}`}},
		{`event.l not in ["a"]`, []string{`{"l":"b"}`}, []string{`{"l":"a"}`}},
		{`event.hosts contains "h1"`, []string{`{"hosts":["h0","h1"]}`}, []string{`{"hosts":["h2"]}`}},
		{`event.hosts not contains 'h1'`, []string{`{"hosts":[]}`}, []string{`{"hosts":["h1"]}`}},
		{`event.u is match("http://x", ignorecase=true)`, []string{`{"u":"HTTP://X.example"}`}, []string{`{"u":"see http://x"}`}},
		{`event.u is search("x\.y")`, []string{`{"u":"a x.y"}`}, []string{`{"u":"a x-y"}`}},
		{`event.u is not regex("^a")`, []string{`{"u":"b"}`}, []string{`{"u":"a"}`}},
		{`event.levels is select('>=', 10)`, []string{`{"levels":[1,20]}`}, []string{`{"levels":[1,2]}`}},
		{`event.levels is not select('==', "a")`, []string{`{"levels":["b"]}`}, []string{`{"levels":["a"]}`}},
		{`event.p is selectattr('age', '>=', 20)`, []string{`{"p":[{"age":5},{"age":30}]}`}, []string{`{"p":[{"age":5}]}`}},
		{`event.p is selectattr('n', 'in', ["x"])`, []string{`{"p":[{"n":"x"}]}`}, []string{`{"p":[{"n":"y"}]}`}},
		{`event['a-b'][0].in == null`, []string{`{"a-b":[{"in":null}]}`}, []string{`{"a-b":[{"in":1}]}`}},
		{`event.s == 'say "hi" \n'`, []string{`{"s":"say \"hi\" \\n"}`}, []string{`{"s":"say"}`}},
	}
	for _, tt := range tests {
		res, err := importer.Rulebook("r.yml", rulebook(tt.condition), importer.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if res.Off > 0 {
			t.Errorf("%s: %v", tt.condition, res.Reports)
			continue
		}
		env := load(t, res.Rules)
		for want, events := range map[bool][]string{true: tt.yes, false: tt.no} {
			for _, data := range events {
				came, err := env.Trace(&ruletest.Test{Start: ruletest.DefaultStart, Events: []ruletest.Event{{Times: 1,
					Typed: &event.Event{Type: "range", Source: "range", Data: json.RawMessage(data)}}}})
				if err != nil {
					t.Fatal(err)
				}
				ran := false
				for i := range came {
					ran = ran || came[i].Kind == "run"
				}
				if ran != want {
					t.Errorf("%s: a run for %s: %v, want %v\n%s", tt.condition, data, ran, want, res.Rules)
				}
			}
		}
	}
}

// TestMistakesInConditions: each is told at its place, whatever way the text is
// written in YAML.
func TestMistakesInConditions(t *testing.T) {
	tests := []struct{ condition, want string }{
		{`event.i == == 1`, `6:30: condition: expected a value, found "=="`},
		{`event.i ==`, `condition: the condition ends where a value was expected`},
		{`event.i == "x`, `a text without its closing quote`},
		{`event.i @ 1`, `6:27: condition: '@' has no meaning here`},
		{`(event.i == 1`, `expected )`},
		{`event.i is odd`, `is odd: expected defined, match`},
		{`event.i == 1 event.j`, `"event" was not expected here`},
		{`event.i is match(3)`, `is match: expected one pattern in quotes`},
		{`event.i is match("a", speed=true)`, `match has no option "speed"`},
		{`event.i is select("~", 1)`, `select has no operator "~"`},
		{`1 << event.i == 1`, `<< needs a name on its left`},
		{`event.i == 1..2`, `"1..2" is no number`},
		{`event[i] == 1`, `expected a name in quotes or a number`},
		{`event. == 1`, `expected a name after the dot`},
		{`events.x.i == 1`, `events.x: no condition is called so`},
		{strings.Repeat("(", 100) + "1", `nested deeper than`},
		{strings.Repeat("not ", 100) + "event.i", `nested deeper than`},
	}
	for _, tt := range tests {
		res, err := importer.Rulebook("r.yml", rulebook(tt.condition), importer.Options{})
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, r := range res.Reports {
			found = found || strings.Contains(r.String(), tt.want)
		}
		if !found || res.Off != 1 {
			t.Errorf("%s: %d off, %v; want %q", tt.condition, res.Off, res.Reports, tt.want)
		}
		load(t, res.Rules)
	}
}

func TestNoRulebook(t *testing.T) {
	for _, bad := range []string{"", "a: b", "\t: [", "just text"} {
		if _, err := importer.Rulebook("x.yml", []byte(bad), importer.Options{}); err == nil {
			t.Errorf("%q passes", bad)
		}
	}
	for _, odd := range []string{"[]", "- x", "- {}", "- {name: 3, rules: [x, {}, {condition: [a]}, {condition: {all: []}}]}", "- {rules: {}}",
		"- {name: n, sources: x, rules: [{name: ???, condition: {all: [{a: b}], timeout: soon}, throttle: {once_within: 0 seconds}, action: [x, {debug: }]}]}"} {
		res, err := importer.Rulebook("x.yml", []byte(odd), importer.Options{})
		if err != nil {
			t.Errorf("%q: %v", odd, err)
			continue
		}
		load(t, res.Rules)
	}
}

// FuzzRulebook: whatever a rulebook holds, the import does not panic, and what
// it writes loads.
func FuzzRulebook(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.yml")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add(rulebook(`event.i is select("match", "a") or not event.x contains [1, "${x}"]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 20_000 {
			return
		}
		res, err := importer.Rulebook("f.yml", data, importer.Options{})
		if err != nil {
			return
		}
		load(t, res.Rules)
	})
}
