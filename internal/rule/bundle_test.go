package rule_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"signalbox/internal/rule"
)

func TestBundleThereAndBack(t *testing.T) {
	files := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) rule.File {
		return rule.File{Name: rapid.String().Draw(t, "name"), Data: rapid.SliceOfN(rapid.Byte(), 1, 50).Draw(t, "data")}
	}), 0, 4)
	rapid.Check(t, func(t *rapid.T) {
		b := rule.Bundle{
			Rules: files.Draw(t, "rules"), Inventory: files.Draw(t, "inventory"), Types: files.Draw(t, "types"),
			Catalogue: rapid.String().Draw(t, "catalogue"),
			Global: rule.Global{
				Off: rapid.Bool().Draw(t, "off"), By: rapid.SliceOfN(rapid.String(), 0, 3).Draw(t, "by"),
				Within: time.Duration(rapid.Int64Min(0).Draw(t, "within")),
				Limits: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) rule.GlobalLimit {
					return rule.GlobalLimit{Runs: rapid.String().Draw(t, "runs"), Devices: rapid.String().Draw(t, "devices"),
						By: rapid.SliceOfN(rapid.String(), 0, 2).Draw(t, "limited by")}
				}), 0, 3).Draw(t, "limits"),
			},
			Redelivery: time.Duration(rapid.Int64Min(0).Draw(t, "redelivery")),
		}
		data := b.Encode()
		if !bytes.Equal(data, b.Encode()) {
			t.Fatal("not the same bytes twice")
		}
		got, err := rule.DecodeBundle(data)
		if err != nil {
			t.Fatal(err)
		}
		empty := cmp.FilterValues(func(a, b []rule.File) bool { return len(a)+len(b) == 0 }, cmp.Ignore())
		none := cmp.FilterValues(func(a, b []string) bool { return len(a)+len(b) == 0 }, cmp.Ignore())
		unlimited := cmp.FilterValues(func(a, b []rule.GlobalLimit) bool { return len(a)+len(b) == 0 }, cmp.Ignore())
		if diff := cmp.Diff(b, got, empty, none, unlimited); diff != "" {
			t.Fatal(diff)
		}
		if got.Version() != b.Version() || len(b.Version()) != 16 {
			t.Fatalf("versions %s %s", b.Version(), got.Version())
		}
	})
}

func TestBundleVersionTellsContentsApart(t *testing.T) {
	a := bundle("rules: []\n")
	b := bundle("rules: [] \n")
	c := a
	c.Catalogue = "2"
	d := a
	d.Global.Within = time.Second
	seen := map[string]bool{}
	for _, x := range []rule.Bundle{a, b, c, d} {
		if seen[x.Version()] {
			t.Errorf("%s is there twice", x.Version())
		}
		seen[x.Version()] = true
	}
}

func FuzzDecodeBundle(f *testing.F) {
	f.Add(bundle(portDown).Encode())
	f.Add([]byte("signalbox bundle 1\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := rule.DecodeBundle(data)
		if err != nil {
			return
		}
		if again, err := rule.DecodeBundle(b.Encode()); err != nil || again.Version() != b.Version() {
			t.Errorf("there and back: %v", err)
		}
	})
}

// The version of a rule follows what it does, not how it is laid out.
func TestRuleVersion(t *testing.T) {
	version := func(src string) string {
		set, _ := load(t, src)
		return set.Rules[0].Version
	}
	base := version("rules:\n  - name: r\n    on: interface_down\n    do:\n      - log: {message: x}\n")
	same := []string{
		"# a comment\nrules:\n- on: interface_down\n  name: r\n  do: [{log: {message: x}}]\n",
		"rules:\n  - name: r\n    description: new words\n    on: 'interface_down'\n    do: [{log: {message: \"x\"}}]\n    tests: []\n",
	}
	other := []string{
		"rules:\n  - name: r\n    on: interface_up\n    do: [{log: {message: x}}]\n",
		"rules:\n  - name: r\n    on: interface_down\n    do: [{log: {message: y}}]\n",
		"rules:\n  - name: r\n    on: interface_down\n    do: [{log: {message: x}}, {log: {message: x}}]\n",
	}
	if len(base) != 12 {
		t.Errorf("version %q", base)
	}
	for _, s := range same {
		if v := version(s); v != base {
			t.Errorf("%s has version %s, want %s", s, v, base)
		}
	}
	for _, s := range other {
		if version(s) == base {
			t.Errorf("%s has the same version", s)
		}
	}
}
