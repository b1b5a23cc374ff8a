package rule

import (
	"math"
	"time"

	"go.yaml.in/yaml/v4"

	"cel.dev/cel-go/common/types"

	"signalbox/internal/correlate"
)

// Bounds of a form: what a person means is far below, and the memory of one key
// stays small.
const (
	maxAtLeast = 10_000
	maxChanges = 1_000
	maxMaxKeys = 1_000_000
)

// readForm reads the keys of the form.
func (p *planLoad) readForm() {
	seen := p.pat.partOn
	if p.form == "unless" {
		seen = union(seen, p.follow)
	}
	at := place{on: joined(seen)}
	if p.form == "" {
		p.pat.key = p.by("by", nil, at, p.defaultBy(seen))
		p.pat.member = p.nodes["group"] != nil
		return
	}
	if p.body == nil {
		return
	}
	p.pat.key = p.by("by", p.body["by"], at, p.defaultBy(seen))
	switch p.plan.Form {
	case correlate.Count:
		p.count(at)
	case correlate.Flap:
		p.flap(at)
	case correlate.Silent:
		p.plan.Within = p.need("for", "how long it may be silent")
	case correlate.Threshold:
		p.threshold(at)
	case correlate.Sequence, correlate.All, correlate.Unless:
		p.plan.Within = p.need("within", "the window")
	}
}

// need reads a duration that the form cannot do without.
func (p *planLoad) need(key, what string) time.Duration {
	n := p.body[key]
	if n == nil {
		p.errorf(p.at, "write "+key+": and a duration, as in 30s", "%s: needs %s, %s", p.form, key, what)
		return 0
	}
	d, _ := p.duration(key, n)
	return d
}

func (p *planLoad) needNumber(key, what string, low, high int) int {
	n := p.body[key]
	if n == nil {
		p.errorf(p.at, "write "+key+": and a whole number", "%s: needs %s, %s", p.form, key, what)
		return 0
	}
	v, _ := p.integer(key, n, low, high)
	return v
}

func (p *planLoad) count(at place) {
	p.plan.Within = p.need("within", "the window")
	p.plan.AtLeast = p.needNumber("at_least", "how many", 2, maxAtLeast)
	if n := p.body["tumbling"]; n != nil {
		p.plan.Tumbling, _ = p.boolean("tumbling", n)
	}
	if n := p.body["distinct"]; n != nil {
		p.plan.Distinct = true
		p.pat.value = p.valueExpr("distinct", n, at)
	}
}

// valueExpr reads an expression, or a word of keys.
func (p *planLoad) valueExpr(what string, n *yaml.Node, at place) *keyPart {
	if n.Kind != yaml.ScalarNode {
		p.errorf(n, "as in "+what+": event.device", "%s: expected one expression, found %s", what, nodeKind(n))
		return nil
	}
	e := p.keyExpr(what, n, at)
	if e == nil {
		return nil
	}
	k := newKeyPart(e)
	return &k
}

func (p *planLoad) flap(at place) {
	p.plan.Within = p.need("within", "the window, and the silence that ends it")
	p.plan.Changes = p.needNumber("changes", "how many changes of state", 2, maxChanges)
	if n := p.body["state"]; n != nil {
		p.pat.value = p.valueExpr("state", n, at)
		return
	}
	// With one type each event is a change.
	p.pat.typeState = len(p.trigger) != 1 || len(p.types(p.trigger[0])) > 1 || p.trigger[0] == "*"
}

func (p *planLoad) threshold(at place) {
	limit := &p.plan.Limit
	if n := p.body["for"]; n != nil {
		p.plan.Within, _ = p.durationOrZero("for", n)
	}
	if n := p.body["value"]; n == nil {
		p.errorf(p.at, "as in value: event.data.percent", "threshold: needs value, the number that is compared")
	} else {
		p.pat.number = p.numberExpr(n, at)
	}
	limit.Above, limit.Below = p.number("above"), p.number("below")
	switch above, below := p.body["above"], p.body["below"]; {
	case above == nil && below == nil:
		p.errorf(p.at, "as in above: 90", "threshold: needs above or below, the limit")
	case above != nil && below != nil:
		p.errorf(below, "make two rules of it", "below: above is there already; a threshold has one limit")
	}
	p.clear("clear_below", "above", limit.Above, func(clear, at float64) bool { return clear <= at })
	p.clear("clear_above", "below", limit.Below, func(clear, at float64) bool { return clear >= at })
	if n := p.body["rate"]; n != nil {
		limit.Rate, _ = p.boolean("rate", n)
	}
	if n := p.body["counter"]; n != nil {
		if limit.Counter, _ = p.boolean("counter", n); limit.Counter {
			if r := p.body["rate"]; r != nil && !limit.Rate {
				p.errorf(r, "leave it out", "rate: a counter is compared by its rate")
			}
			limit.Rate = true
		}
	}
}

// clear reads the limit that ends what is over the other: on its right side.
func (p *planLoad) clear(key, of string, limit *float64, right func(clear, limit float64) bool) {
	n := p.body[key]
	if n == nil {
		return
	}
	v := p.number(key)
	switch {
	case p.body[of] == nil:
		other := "clear_below"
		if key == other {
			other = "clear_above"
		}
		p.errorf(n, "with "+map[string]string{"above": "below", "below": "above"}[of]+" it is "+other, "%s: goes with %s", key, of)
	case v != nil && limit != nil && !right(*v, *limit):
		p.errorf(n, "what clears lies on the other side of the limit, or on it", "%s: %s is on the wrong side of %s: %s",
			key, text(*v), of, text(*limit))
	case v != nil:
		p.plan.Limit.Clear = v
	}
}

// number reads a finite number of the form; nil where there is none.
func (p *planLoad) number(key string) *float64 {
	n := p.body[key]
	if n == nil {
		return nil
	}
	var f float64
	tag := n.ShortTag()
	if n.Kind != yaml.ScalarNode || tag != "!!int" && tag != "!!float" || n.Decode(&f) != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		p.errorf(n, "a limit is a number that is written down, as in 90", "%s: expected a number, found %s", key, nodeKind(n))
		return nil
	}
	return &f
}

func (p *planLoad) numberExpr(n *yaml.Node, at place) *Expr {
	s, ok := p.text("value", n)
	if !ok {
		return nil
	}
	e := p.expr("value", n, s, s, at)
	if e == nil {
		return nil
	}
	switch e.c.out.Kind() {
	case types.IntKind, types.DoubleKind, types.UintKind, types.DynKind:
		return e
	}
	p.report(e.Pos, Error, "convert it with double()", "value: expected a number, this gives %s", readableTypes(typeName(e.c.out)))
	return nil
}

// durationOrZero takes 0 as well.
func (l *loader) durationOrZero(what string, n *yaml.Node) (time.Duration, bool) {
	if n.Kind == yaml.ScalarNode {
		if d, err := ParseDuration(n.Value); err == nil && d == 0 {
			return 0, true
		}
	}
	return l.duration(what, n)
}
