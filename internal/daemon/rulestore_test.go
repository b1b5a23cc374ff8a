package daemon

import (
	"log/slog"
	"testing"

	"signalbox/internal/decide"
	"signalbox/internal/engine"
	"signalbox/internal/rule"
	"signalbox/internal/schema"
)

// What was compiled from the files is not compiled again when the log brings it;
// what the log brings from before is.
func TestCompiledOnce(t *testing.T) {
	cat, err := schema.Load()
	if err != nil {
		t.Fatal(err)
	}
	actions := []rule.ActionSpec{{Name: "log", Args: []rule.Arg{{Name: "message", Type: "string", Required: true}}}}
	loaded := func(name string) *Loaded {
		b := rule.Bundle{Rules: []rule.File{{Name: "r.yaml", Data: []byte("rules: [{name: " + name + ", on: interface_down, do: [{log: {message: x}}]}]\n")}},
			Inventory: []rule.File{{Name: "d.yaml", Data: []byte("devices: {sw1: {site: berlin}}\n")}}, Catalogue: cat.Version}
		for _, typ := range cat.Types() {
			b.Types = append(b.Types, rule.File{Name: typ.Name, Data: typ.Source})
		}
		set, inv, diags := rule.Load(b, rule.Options{Catalogue: cat, Actions: actions})
		if set == nil {
			t.Fatal(diags)
		}
		return &Loaded{Set: set, Inventory: inv, Bundle: b}
	}
	s := newRuleStore(actions, stateDir(t.TempDir()), slog.New(slog.DiscardHandler))
	load := func(l *Loaded) *decide.Rules {
		t.Helper()
		got, err := s.load(l.Bundle.Encode())
		if err != nil {
			t.Fatal(err)
		}
		rs, ok := got.(*decide.Rules)
		if !ok || rs.Version() != l.Bundle.Version() || rs.InventoryVersion() != l.Bundle.InventoryVersion() {
			t.Fatalf("version %s of inventory %s, want %s of %s", rs.Version(), rs.InventoryVersion(), l.Bundle.Version(), l.Bundle.InventoryVersion())
		}
		return rs
	}
	first, second := loaded("first"), loaded("second")
	s.offer(first)
	a, b := load(first), load(first)
	if a.Set != first.Set || a.Inventory != first.Inventory {
		t.Error("what was offered was compiled again")
	}
	if engine.Rules(a) == engine.Rules(b) {
		t.Error("two engines would ask the same one, each about another event")
	}
	s.offer(second)
	if rs := load(first); rs.Set != first.Set {
		t.Error("what is in force was compiled again")
	}
	if rs := load(second); rs.Set != second.Set {
		t.Error("the second was compiled again")
	}
	if rs := load(first); rs.Set == first.Set || rs.Set.Rule("first") == nil {
		t.Error("a set of before was not compiled")
	}
}
