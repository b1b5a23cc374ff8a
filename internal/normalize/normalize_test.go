package normalize

import (
	"testing"

	"signalbox/internal/schema"
)

func load(t testing.TB) *Normalizer {
	t.Helper()
	n, err := New(Options{})
	if err != nil {
		t.Fatalf("built-in mappings do not load:\n%v", err)
	}
	return n
}

// TestBuiltinExamples runs the examples of every built-in mapping.
func TestBuiltinExamples(t *testing.T) {
	n := load(t)
	for _, err := range n.CheckExamples() {
		t.Error(err)
	}
	if len(n.mappings) == 0 {
		t.Fatal("no built-in mappings")
	}
}

func TestCatalogueLoads(t *testing.T) {
	if _, err := schema.Load(); err != nil {
		t.Fatal(err)
	}
}
