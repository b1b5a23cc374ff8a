package places

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// Whatever is added and dropped, an index finds what a map finds.
func TestIndexIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		many := rapid.SampledFrom([]int{20, 300, 3 * splitAt}).Draw(t, "texts")
		var x Index
		texts := []string{""} // by number
		textOf := func(n uint32) string { return texts[n] }
		want := map[string]uint32{}
		add := func(text string) {
			texts = append(texts, text)
			n := uint32(len(texts) - 1)
			x.Add(HashOf(text), n, textOf)
			want[text] = n
		}
		if many > splitAt { // so that what follows is about many tables
			for i := range splitAt {
				add(fmt.Sprint("k", i))
			}
		}
		for range rapid.IntRange(0, 3*min(many, 1000)).Draw(t, "steps") {
			text := fmt.Sprint("k", rapid.IntRange(0, many).Draw(t, "text"))
			if _, ok := want[text]; !ok {
				add(text)
			} else if rapid.Bool().Draw(t, "drop") {
				x.Drop(HashOf(text), text, textOf)
				delete(want, text)
			}
		}
		if x.Len() != len(want) {
			t.Fatalf("%d texts, %d should be there", x.Len(), len(want))
		}
		for i := range many + 1 {
			text := fmt.Sprint("k", i)
			if n := x.Find(HashOf(text), text, textOf); n != want[text] {
				t.Fatalf("%s: %d, should be %d", text, n, want[text])
			}
		}
	})
}
