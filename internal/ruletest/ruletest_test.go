package ruletest

import (
	"bytes"
	"encoding/xml"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"signalbox/event"
	"signalbox/internal/action"
	"signalbox/internal/action/emit"
	"signalbox/internal/normalize"
	"signalbox/internal/rule"
	"signalbox/internal/schema"
)

var update = flag.Bool("update", false, "write the golden files")

var actions = []rule.ActionSpec{
	emit.New(nil).Spec(),
	{Name: "log", Args: []rule.Arg{{Name: "message", Type: "string", Required: true}, {Name: "level", Type: "string"}}},
	{Name: "http", Args: []rule.Arg{{Name: "url", Type: "string", Required: true}, {Name: "body", Type: "any"},
		{Name: "timeout", Type: "duration"}, {Name: "auth", Type: "map"}},
		Output: []rule.Arg{{Name: "status", Type: "int"}, {Name: "json", Type: "any"}}},
}

// load reads rules with their tests, and the inventory of testdata.
func load(t testing.TB, name, text string) (*Env, []*Test) {
	t.Helper()
	cat, err := schema.Load()
	if err != nil {
		t.Fatal(err)
	}
	devices, err := os.ReadFile("testdata/devices.yaml")
	if err != nil {
		t.Fatal(err)
	}
	set, inv, diags := rule.Load(rule.Bundle{Rules: []rule.File{{Name: name, Data: []byte(text)}},
		Inventory: []rule.File{{Name: "devices.yaml", Data: devices}}}, rule.Options{Catalogue: cat, Actions: actions})
	if set == nil {
		t.Fatal(diags)
	}
	norm, err := normalize.New(normalize.Options{Catalogue: cat, Devices: namer{inv}})
	if err != nil {
		t.Fatal(err)
	}
	tests, diags := Read(set.Tests)
	if len(diags) > 0 {
		t.Fatal(diags)
	}
	emitted := func(e Emission) (event.Event, error) {
		return emit.Event(action.Call{Run: e.Run, Step: e.Step, Rule: e.Rule, Event: e.Event, Events: e.Events, Args: e.Args, Key: e.Run + "/" + e.Step})
	}
	return &Env{Set: set, Inventory: inv, Catalogue: cat, Normalizer: norm, Emit: emitted}, tests
}

type namer struct {
	inv interface {
		Known(host, addr string) (string, bool)
	}
}

func (n namer) Device(host, addr string) string {
	name, _ := n.inv.Known(host, addr)
	return name
}

// TestGolden runs the tests of each file of testdata. What they say, with their
// coverage, is in a golden file beside it; the tests that pass by their name.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.rules.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".rules.yaml"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			env, tests := load(t, filepath.Base(file), string(text))
			env.Coverage = NewCoverage()
			env.Coverage.Use(env.Set)
			var out strings.Builder
			for _, test := range tests {
				res := env.Run(test)
				if wantFail := strings.HasPrefix(test.Name, "FAILS"); wantFail == res.OK() {
					t.Errorf("%s: ok is %v\n%s", test.Name, res.OK(), res.Text())
				}
				if again := env.Run(test); again.Text() != res.Text() {
					t.Errorf("%s: another run says\n%s", test.Name, again.Text())
				}
				if res.OK() {
					fmt.Fprintf(&out, "ok    %s\n", test.Name)
					continue
				}
				fmt.Fprintf(&out, "%s\n%s\n", test.Name, res.Text())
			}
			for _, c := range env.Coverage.Report() {
				fmt.Fprintf(&out, "%s: tested %v\n", c.Rule, c.Tested)
				for _, b := range c.Branches {
					fmt.Fprintf(&out, "  line %d %s: %v\n", b.Line, b.What, b.Reached)
				}
			}
			golden(t, strings.TrimSuffix(file, ".rules.yaml")+".golden", out.String())
		})
	}
}

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

// TestMistakes: every mistake of a file of tests is told at its place.
func TestMistakes(t *testing.T) {
	data, err := os.ReadFile("testdata/mistakes.test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, diags := ReadFile("mistakes.test.yaml", data)
	var out strings.Builder
	for _, d := range diags {
		out.WriteString(d.String() + "\n")
	}
	golden(t, "testdata/mistakes.golden", out.String())
}

func TestReadFile(t *testing.T) {
	f, diags := ReadFile("x.test.yaml", []byte("rules: [a.yaml, ../b]\ntests:\n  - {name: n, events: [{type: x}], never: r}\n"))
	if len(diags) > 0 {
		t.Fatal(diags)
	}
	if len(f.Rules) != 2 || f.Rules[1].Text != "../b" || len(f.Tests) != 1 || f.Tests[0].Never[0].Text != "r" {
		t.Errorf("%+v", f)
	}
	if f, diags = ReadFile("empty.test.yaml", []byte("# nothing\n")); len(diags) > 0 || len(f.Tests) > 0 {
		t.Error(f, diags)
	}
	for _, bad := range []string{"- a", "rules: {a: b}\n", "\t: [", "tests: [x]"} {
		if _, diags = ReadFile("bad.test.yaml", []byte(bad)); len(diags) == 0 {
			t.Errorf("%q passes", bad)
		}
	}
}

// TestJUnit: the report is XML that reads back, with file, line and the text of
// the failures, whatever is in them.
func TestJUnit(t *testing.T) {
	at := rule.Pos{File: "rules/a.yaml", Line: 7, Col: 5}
	suites := []Suite{{File: "rules/a.yaml", Took: 3 * time.Millisecond, Results: []*Result{
		{Test: &Test{Name: "all is well", Pos: at}},
		{Test: &Test{Name: "a <hostile> \x01 \"name\"", Pos: at, Rule: "port-down"}, Failures: []Failure{
			{at, "run x: it did not come ]]> & more"}, {at, "and \xff this"}}, Timeline: "  0s  event\n"},
	}}, {File: "empty.yaml"}}
	var b bytes.Buffer
	if err := WriteJUnit(&b, suites); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/junit.xml", b.String())
	var back junitSuites
	if err := xml.Unmarshal(b.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if back.Tests != 2 || back.Failures != 1 || len(back.Suites[0].Cases) != 2 || back.Suites[0].Cases[1].Failure == nil {
		t.Errorf("%+v", back)
	}
}

// TestManyAreFast: ten thousand tests in seconds, with much room for a busy
// machine.
func TestManyAreFast(t *testing.T) {
	text, err := os.ReadFile("testdata/basics.rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	env, tests := load(t, "basics.rules.yaml", string(text))
	began := time.Now()
	const many = 10_000
	for i := range many {
		env.Run(tests[i%len(tests)])
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("%d tests took %v", many, took)
	} else {
		t.Logf("%d tests took %v", many, took)
	}
}

// TestMatchingIsMaximal: a loose expectation does not take what a strict one
// needs, whatever their order.
func TestMatchingIsMaximal(t *testing.T) {
	const text = `
rules:
  - {name: r, on: port_seen, dedup: {by: [device], within: 1s}, do: [{log: {message: x}}]}
tests:
  - name: loose first
    events:
      - {at: 1s, type: port_seen, device: sw1}
      - {at: 2s, type: port_seen, device: sw2}
      - {at: 3s, type: port_seen, device: sw3}
    expect:
      - {run: r}
      - {run: r, device: sw2}
      - {run: r, at: 1s}
`
	env, tests := load(t, "m.yaml", text)
	if res := env.Run(tests[0]); !res.OK() {
		t.Error(res.Text())
	}
}

func FuzzReadFile(f *testing.F) {
	for _, file := range []string{"testdata/mistakes.test.yaml", "testdata/basics.rules.yaml"} {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, diags := ReadFile("f.test.yaml", data)
		for _, d := range diags {
			if d.Message == "" || d.Pos.Line < 1 {
				t.Errorf("a mistake without place or words: %+v", d)
			}
		}
		if got == nil && len(diags) == 0 {
			t.Error("neither tests nor mistakes")
		}
	})
}
