package importer

import (
	"fmt"
	"sync"

	"signalbox/internal/rule"
	"signalbox/internal/schema"
)

var catalogue = sync.OnceValues(func() (*schema.Catalogue, error) { return schema.Load() })

// check loads the rule's conditions as they were translated. Python compares
// anything with anything; here a text and a list are a mistake, which only the
// types of the fields can tell. A rule that does not load is turned off, with what
// the rulebook has there.
func (r *oneRule) check() {
	if r.off {
		return
	}
	if !r.c.checking {
		r.try(&r.c.trial, fmt.Sprint("trial-", r.c.count))
		return
	}
	var w yamlWriter
	w.line(0, "rules:")
	r.try(&w, "trial")
	why := mistake(w.b.String())
	if why == "" {
		return
	}
	n := r.keys["condition"]
	r.lost(r.c.report(n, "", "condition: %s", why), flowOf(n))
	r.off = true
	r.head, r.stage = nil, nil
	r.on()
	r.head = append(r.head, pair{"when", "false"})
	if len(r.parts) > 0 { // the steps may name events that the rule has no more
		r.steps = nil
		r.add(pair{"log", []pair{{"message", "its condition could not be translated"}}})
	}
}

// try writes the rule with another step.
func (r *oneRule) try(w *yamlWriter, name string) {
	trial := *r
	trial.steps = nil
	trial.add(pair{"log", []pair{{"message", "x"}}})
	trial.write(w, name, name)
}

// mistake is the first thing that is wrong with rules whose only step is log, ""
// for nothing.
func mistake(rules string) string {
	cat, err := catalogue()
	if err != nil {
		return ""
	}
	set, _, diags := rule.Load(rule.Bundle{Rules: []rule.File{{Name: "trial.yaml", Data: []byte(rules)}}},
		rule.Options{Catalogue: cat, Actions: []rule.ActionSpec{{Name: "log", Args: []rule.Arg{{Name: "message", Type: "string", Required: true}}}}})
	if set != nil {
		return ""
	}
	for _, d := range diags {
		if d.Severity == rule.Error {
			return d.Message
		}
	}
	return ""
}
