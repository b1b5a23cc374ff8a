package docs

import (
	"fmt"
	"strings"
	"testing"

	"signalbox/internal/normalize"
	"signalbox/internal/rule"
	"signalbox/internal/ruletest"
	"signalbox/internal/schema"
)

// TestTimelines runs the tests that the rules of docs/correlation.md carry: the
// page's timelines are what happens. The inventory is the page's last before
// the rules.
func TestTimelines(t *testing.T) {
	const page = "docs/correlation.md"
	text := read(t, page)
	cat, err := schema.Load()
	if err != nil {
		t.Fatal(err)
	}
	norm, err := normalize.New(normalize.Options{Catalogue: cat})
	if err != nil {
		t.Fatal(err)
	}
	logAction := rule.ActionSpec{Name: "log", Args: []rule.Arg{{Name: "message", Type: "string", Required: true}, {Name: "level", Type: "string"}}}
	devices, ran := inventory, 0
	for _, at := range fence.FindAllStringSubmatchIndex(text, -1) {
		body := text[at[2]:at[3]]
		switch {
		case strings.HasPrefix(body, "devices:"):
			devices = "sites: {berlin: {}}\n" + body
			continue
		case !strings.HasPrefix(body, "rules:"):
			continue
		}
		line := 1 + strings.Count(text[:at[0]], "\n")
		set, inv, diags := rule.Load(rule.Bundle{Rules: []rule.File{{Name: page, Data: []byte(body)}},
			Inventory: []rule.File{{Name: "devices.yaml", Data: []byte(devices)}}},
			rule.Options{Catalogue: cat, Actions: []rule.ActionSpec{logAction}})
		if set == nil {
			t.Fatalf("%s:%d: %v", page, line, diags)
		}
		tests, diags := ruletest.Read(set.Tests)
		if len(diags) > 0 || len(tests) == 0 {
			t.Errorf("%s:%d: %d tests, %v", page, line, len(tests), diags)
		}
		env := ruletest.Env{Set: set, Inventory: inv, Catalogue: cat, Normalizer: norm}
		for _, test := range tests {
			ran++
			t.Run(fmt.Sprintf("%d/%s", line, test.Name), func(t *testing.T) {
				r := env.Run(test)
				for _, f := range r.Failures {
					t.Errorf("line %d: %s\n%s", line+f.Pos.Line, f.Message, r.Timeline)
				}
			})
		}
	}
	if ran < 20 {
		t.Errorf("only %d timelines were run", ran)
	}
}
