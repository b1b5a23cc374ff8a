package correlate

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// Whatever is added and dropped, a table finds what a map finds.
func TestPlacesAreAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		many := rapid.SampledFrom([]int{20, 300, 3 * splitAt}).Draw(t, "keys")
		var timers Timers
		env := &Env{Timers: &timers, Plan: &Plan{MaxKeys: 1 << 20}}
		tab := newTable[int]()
		want := map[string]int{}
		if many > splitAt { // so that what follows is about many tables
			for i := range splitAt {
				key := fmt.Sprint("k", i)
				_, s, _ := tab.useKey(env, key, nil)
				s.state, want[key] = i, i
			}
		}
		for i := range rapid.IntRange(0, 3*min(many, 1000)).Draw(t, "steps") {
			key := fmt.Sprint("k", rapid.IntRange(0, many).Draw(t, "key"))
			if n, _ := tab.find(env, key); n != 0 && rapid.Bool().Draw(t, "drop") {
				tab.drop(env, n)
				delete(want, key)
				continue
			}
			_, s, _ := tab.useKey(env, key, nil)
			s.state, want[key] = i, i
		}
		if tab.Keys().Held != len(want) {
			t.Fatalf("%d keys are held, %d should be", tab.Keys().Held, len(want))
		}
		for i := range many + 1 {
			key := fmt.Sprint("k", i)
			n, s := tab.find(env, key)
			state, held := want[key]
			if (n != 0) != held || held && s.state != state {
				t.Fatalf("%s: %v, should be %v %v", key, s, state, held)
			}
		}
	})
}
