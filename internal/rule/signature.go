package rule

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"

	"cel.dev/cel-go/cel"
)

// A signature names the meaning of what a stage remembers: which events come to
// it, by which key, and for how long they count. What the rule does with a
// finding, what it is called for people, and how its expressions are laid out
// are no part of it: then the state is kept.

type signer struct{ h hash.Hash }

func newSigner(what string) *signer {
	s := &signer{sha256.New()}
	return s.add(what)
}

func (s *signer) add(values ...any) *signer {
	for _, v := range values {
		t := fmt.Sprint(v)
		fmt.Fprintf(s.h, "%d:%s", len(t), t)
	}
	return s
}

func (s *signer) expr(list ...*Expr) *signer {
	for _, e := range list {
		s.add(e.canonical())
	}
	return s
}

func (s *signer) keys(list []keyPart) *signer {
	s.add(len(list))
	for _, k := range list {
		s.expr(k.expr)
	}
	return s
}

func (s *signer) number(f *float64) *signer {
	if f == nil {
		return s.add("-")
	}
	return s.add(text(*f))
}

func (s *signer) sum() string { return hex.EncodeToString(s.h.Sum(nil)[:6]) }

// canonical is an expression without its layout; "" for none.
func (e *Expr) canonical() string {
	if e == nil {
		return ""
	}
	if e.c == nil {
		return e.Text
	}
	if s, err := cel.AstToString(e.c.ast); err == nil {
		return s
	}
	return e.Text
}

// sign writes the signatures of the plan.
func (p *planLoad) sign() {
	if p.rule.Plan != nil || p.pat == nil {
		return
	}
	// taken is which events come in.
	taken := newSigner("taken").expr(p.rule.When)
	for i := range p.pat.roles {
		x := &p.pat.roles[i]
		if x.part >= 0 {
			taken.add(x.part, len(x.on)).add(anySlice(x.on)...).expr(x.own)
		}
	}
	events := taken.sum()
	plan, pat := p.plan, p.pat
	form := newSigner("form").add(events, plan.Form, plan.Within, plan.Tumbling, plan.AtLeast, plan.Distinct, plan.Changes,
		plan.Limit.Rate, plan.Limit.Counter, plan.EventTime, plan.Lateness, pat.member, pat.typeState).
		keys(pat.key).number(plan.Limit.Above).number(plan.Limit.Below).number(plan.Limit.Clear).expr(pat.number)
	if pat.value != nil {
		form.expr(pat.value.expr)
	}
	plan.Signature = form.sum()
	if d := plan.Dampen; d != nil {
		d.Signature = newSigner("dampen").add(events, d.HalfLife, d.Max, d.Penalty, d.Suppress, d.Reuse).keys(pat.dampen).sum()
	}
	if u := plan.Upstream; u != nil {
		u.Signature = newSigner("upstream").add(u.Wait).sum()
	}
	if g := plan.Group; g != nil {
		g.Signature = newSigner("group").add(g.Wait, g.Interval, g.Repeat, pat.member).keys(pat.group).keys(pat.key).sum()
	}
	if plan.Situation != nil {
		// What is open stays open whatever becomes of the condition: only
		// another key makes it something else.
		plan.Situation.Signature = newSigner("situation").keys(pat.situation).sum()
	}
}

func anySlice(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}
