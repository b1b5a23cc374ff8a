package ruletest

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"signalbox/internal/rule"
)

// What the published schema says of tests is what is read here.
func TestSchemaKnowsTheKeysOfTests(t *testing.T) {
	var doc struct {
		Defs map[string]struct {
			Properties map[string]any `json:"properties"`
		} `json:"$defs"`
	}
	if err := json.Unmarshal(rule.SchemaJSON, &doc); err != nil {
		t.Fatal(err)
	}
	for def, want := range map[string][]string{
		"test": testKeys, "testEvent": eventKeys, "testFile": {"rules", "tests"},
		"expectation": slices.Concat(wantKeys, []string{"run", "event", "suppressed"}, notes),
	} {
		got := slices.Sorted(maps.Keys(doc.Defs[def].Properties))
		if diff := cmp.Diff(slices.Sorted(slices.Values(want)), got); diff != "" {
			t.Errorf("%s (-read +schema):\n%s", def, diff)
		}
	}
}

// What is read without a mistake is right by the schema, and what it must refuse
// is not.
func TestSchemaValidatesTests(t *testing.T) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(rule.SchemaJSON))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("rules.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	check := func(def, file string, src []byte, valid bool) {
		t.Helper()
		schema, err := c.Compile("rules.schema.json" + def)
		if err != nil {
			t.Fatal(err)
		}
		var v any
		if err := yaml.Unmarshal(src, &v); err != nil {
			t.Fatal(err)
		}
		asJSON, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		inst, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(inst); (err == nil) != valid {
			t.Errorf("%s: valid %v, want %v: %v", file, err == nil, valid, err)
		}
	}
	rules, _ := filepath.Glob("testdata/*.rules.yaml")
	files, _ := filepath.Glob("../../examples/*/tests/*.test.yaml")
	if len(rules) == 0 || len(files) == 0 {
		t.Fatal("nothing to check")
	}
	read := func(file string) []byte {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return src
	}
	for _, f := range rules {
		check("", f, read(f), true)
	}
	for _, f := range files {
		check("#/$defs/testFile", f, read(f), true)
	}
	for _, bad := range []string{
		"tests: [{name: no events}]",
		"tests: [{events: [{typ: x}]}]",
		"tests: [{events: [{type: x, syslog: y}]}]",
		"tests: [{events: [{type: x, at: soon}]}]",
		"tests: [{events: [{type: x}], expect: [{run: r, ends: well}]}]",
		"tests: [{events: [{type: x}], expct: []}]",
	} {
		check("#/$defs/testFile", bad, []byte(bad), false)
		if _, diags := ReadFile("bad.test.yaml", []byte(bad)); len(diags) == 0 {
			t.Errorf("%s is read without a mistake", bad)
		}
	}
}
