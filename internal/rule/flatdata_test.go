package rule

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"signalbox/event"
)

// Reading fields one by one gives what decoding all gives.
func TestFlatIsWhole(t *testing.T) {
	member := rapid.Custom(func(t *rapid.T) string {
		name := rapid.SampledFrom([]string{`"a"`, `"b"`, ` "a" `, `"\u0061"`, `"é"`}).Draw(t, "name")
		value := rapid.SampledFrom([]string{`1`, `-0`, `1.0`, `1e3`, `1e999`, `9007199254740993`, `99999999999999999999`, `"x"`, `"\n\u00e9"`, `""`,
			`true`, `false`, `null`, `{}`, `[1]`, `nope`, `"`, `01`}).Draw(t, "value")
		return name + ":" + value
	})
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.SampledFrom([]string{"{", " {", "", "["}).Draw(t, "begin")
		for i, m := range rapid.SliceOfN(member, 0, 4).Draw(t, "members") {
			if i > 0 {
				data += ","
			}
			data += m
		}
		data += rapid.SampledFrom([]string{"}", "} ", "}x", ""}).Draw(t, "end")
		ev := &event.Event{Data: json.RawMessage(data)}
		whole, single := newView(ev), newView(ev)
		single.single = true
		for _, name := range []string{"a", "b", "é", "c", "a"} {
			want, wantErr := whole.field(name)
			got, err := single.field(name)
			if diff := cmp.Diff(want, got); diff != "" || (err == nil) != (wantErr == nil) {
				t.Fatalf("%s of %s: %v %v, want %v %v", name, data, got, err, want, wantErr)
			}
		}
	})
}
