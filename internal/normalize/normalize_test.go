package normalize

import (
	"sync"
	"testing"
)

var builtin = sync.OnceValues(func() (*Normalizer, error) { return New(Options{}) })

func load(t testing.TB) *Normalizer {
	t.Helper()
	n, err := builtin()
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

// TestConcurrent: one Normalizer serves many goroutines; the race detector
// watches.
func TestConcurrent(t *testing.T) {
	n := load(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for _, mp := range n.mappings {
				for i := range mp.examples {
					in := mp.examples[i].in
					if in.Parsed != nil {
						continue
					}
					if a, b := n.Normalize(in), n.Normalize(in); string(a.Event.Data) != string(b.Event.Data) {
						t.Errorf("%s: %s, then %s", mp.name, a.Event.Data, b.Event.Data)
					}
				}
			}
		})
	}
	wg.Wait()
}
