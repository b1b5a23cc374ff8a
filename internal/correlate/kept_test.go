package correlate

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"signalbox/event"
)

// What is kept has the id that the event has, in whatever form that is.
func TestKeptHasTheEventsID(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id")).String()
		switch rapid.IntRange(0, 6).Draw(t, "form") {
		case 0:
			id = strings.ToUpper(id)
		case 1:
			id = "urn:uuid:" + id
		case 2:
			at := rapid.IntRange(0, len(id)-1).Draw(t, "at")
			id = id[:at] + rapid.SampledFrom([]string{"g", "-", " ", "", "\xff", "A"}).Draw(t, "other") + id[at+1:]
		case 3:
			id = uuid.Nil.String()
		case 4:
			id = rapid.SampledFrom([]string{"", "x", strings.ReplaceAll(id, "-", "")}).Draw(t, "no id")
		}
		var room []byte
		it := NewItem(&event.Event{ID: event.ID(id), Type: "t", Raw: []byte("raw"), Meta: map[string]string{"a": "b"}}, 7, &room)
		want, err := uuid.Parse(id)
		if err != nil {
			want = uuid.Nil
		}
		if got := it.UUID(); got != want {
			t.Fatalf("UUID of %q: %s, should be %s", id, got, want)
		}
		k := it.Keep()
		ev := k.Event()
		if string(ev.ID) != strings.ToValidUTF8(id, "�") || k.ID() != ev.ID {
			t.Fatalf("kept %q as %q, %q", id, ev.ID, k.ID())
		}
		if ev.Raw != nil || ev.Meta != nil {
			t.Fatalf("raw bytes or transport are kept: %+v", ev)
		}
		again := ItemOf(k)
		if got := again.UUID(); got != want && id == string(ev.ID) {
			t.Fatalf("UUID of kept %q: %s, should be %s", id, got, want)
		}
	})
}

// A key as people read it has its values, with spaces between.
func TestKeyText(t *testing.T) {
	for key, want := range map[string]string{
		"":                          "",
		"sw1":                       "sw1",
		"sw1\x1fGi0/1":              "sw1 Gi0/1",
		"\x1fb\x1f":                 " b ",
		`a\\b` + "\x1f" + `\-`:      `a\b -`,
		"a\\\x1fb\x1fc":             "a\x1fb c",
		"sw1\x1fGi0/1\x1f192.0.2.1": "sw1 Gi0/1 192.0.2.1",
	} {
		if got := KeyText(key); got != want {
			t.Errorf("%q: %q, want %q", key, got, want)
		}
	}
}
