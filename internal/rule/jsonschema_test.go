package rule

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"
)

// TestSchemaIsPublished keeps rules.schema.json what the code says. Write it
// anew with SIGNALBOX_UPDATE=1.
func TestSchemaIsPublished(t *testing.T) {
	want, err := generateSchema()
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("SIGNALBOX_UPDATE") != "" {
		if err := os.WriteFile("rules.schema.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(SchemaJSON, want) {
		t.Error("rules.schema.json is not what the code says; SIGNALBOX_UPDATE=1 go test writes it anew")
	}
}

func TestSchemaKnowsTheKeysOfTheLoader(t *testing.T) {
	keys := func(o object) []string {
		var out []string
		for _, m := range o {
			if m.key != "properties" {
				continue
			}
			for _, p := range m.value.(object) {
				if p.value != false {
					out = append(out, p.key)
				}
			}
		}
		slices.Sort(out)
		return out
	}
	for _, tt := range []struct {
		what string
		got  []string
		want []string
	}{
		{"rule", keys(ruleSchema()), slices.Sorted(slices.Values(ruleKeys))},
		{"step", keys(stepSchema()), slices.Sorted(slices.Values(stepKeys))},
	} {
		if !slices.Equal(tt.got, tt.want) {
			t.Errorf("%s: the schema has %v, the loader %v", tt.what, tt.got, tt.want)
		}
	}
}

func TestSchemaValidates(t *testing.T) {
	raw, err := generateSchema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("rules.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("rules.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	for file, valid := range map[string]bool{"good": true, "expressions": true, "forms": true, "formkeys": false, "keys": false, "later": false, "shape": false} {
		src, err := os.ReadFile("testdata/check/" + file + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		var v any
		if err := yaml.Unmarshal(src, &v); err != nil && valid {
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
			t.Errorf("%s.yaml: valid %v, want %v: %v", file, err == nil, valid, err)
		}
	}
}
