package correlate

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// The events of these tests are words such as "A1": the letters name the parts
// that it can be, and 1 is its value, which a Bound part compares.
func lettersOf(e string) (can uint64) {
	for _, c := range e {
		if c >= 'A' && c <= 'Z' {
			can |= 1 << (c - 'A')
		}
	}
	return can
}

func value(e string) string { return strings.TrimLeft(e, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") }

// sameValue is a condition that a part's event has the value of part 0's, which
// has no answer before that is there.
func sameValue(part int, e string, slots []string) (bool, error) {
	if slots[0] == "" {
		return false, errors.New("part 0 is free")
	}
	return value(slots[0]) == value(e), nil
}

func plain(n int) []Part { return make([]Part, n) }

func bound(n int, which ...int) []Part {
	parts := plain(n)
	for _, p := range which {
		parts[p].Bound = true
	}
	return parts
}

func TestSequenceOfOneKey(t *testing.T) {
	tests := []struct {
		name   string
		parts  []Part
		events string // at a second each; "." is a second with nothing
		want   string // what was found, as the events that made it
	}{
		{"in order", plain(3), "A1 B1 C1", "A1 B1 C1"},
		{"out of order", plain(3), "B1 A1 C1 B2", ""},
		{"others between", plain(2), "A1 A2 B1", "A1 B1"},
		{"each is used once", plain(2), "A1 A2 B1 B2 B3", "A1 B1; A2 B2"},
		{"one event is one part", plain(2), "AB1 AB2", "AB1 AB2"},
		{"what advances one begins none", plain(2), "A1 AB2 B3", "A1 AB2"},
		{"the window is half open", plain(2), "A1 . . . . . . . . . B1", ""},
		{"just within", plain(2), "A1 . . . . . . . . B1", "A1 B1"},
		{"fields compared", bound(2, 1), "A1 A2 B2 B1", "A2 B2; A1 B1"},
		{"fields compared, none fits", bound(2, 1), "A1 B2 B3", ""},
		{"one part", plain(1), "A1 A2", "A1; A2"},
		{"a bound begins, which no other can have", bound(2, 0), "A1 B1", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var p partials[string]
			var found []string
			for i, e := range strings.Fields(tt.events) {
				now := int64(i) * int64(time.Second)
				p.expire(now, int64(10*time.Second))
				if e == "." {
					continue
				}
				if done, _, _, _ := p.take(e, lettersOf(e), tt.parts, now, sameValue); done != nil {
					found = append(found, strings.Join(done, " "))
				}
			}
			if got := strings.Join(found, "; "); got != tt.want {
				t.Errorf("found %q, want %q", got, tt.want)
			}
		})
	}
}

func TestSequencesOfOneKeyAreBounded(t *testing.T) {
	var p partials[string]
	var evicted []string
	for i := range maxPartials + 3 {
		_, gone, _, _ := p.take(fmt.Sprint("A", i), 1, plain(2), 0, nil)
		evicted = append(evicted, gone...)
	}
	if len(p) != maxPartials || strings.Join(evicted, " ") != "A0 A1 A2" {
		t.Errorf("%d have begun, and %v left", len(p), evicted)
	}
	if done, _, _, _ := p.take("B", 2, plain(2), 0, nil); strings.Join(done, " ") != "A3 B" {
		t.Errorf("found %v, want the oldest that is left", done)
	}
	if gone := p.expire(10, 10); len(gone) != maxPartials-1 || len(p) != 0 {
		t.Errorf("%v expired and %d are left", gone, len(p))
	}
}

func TestAllOfOneKey(t *testing.T) {
	tests := []struct {
		name   string
		parts  []Part
		events string
		want   string
	}{
		{"in order", plain(3), "A1 B1 C1", "A1 B1 C1"},
		{"in another order", plain(3), "C1 A1 B1", "C1 A1 B1"},
		{"a second of one part is kept", plain(2), "A1 A2 B1", "A1 A2 B1"},
		{"then it starts anew", plain(2), "A1 B1 B2 A2", "A1 B1; B2 A2"},
		{"one event is one part", plain(2), "AB1 AB2", "AB1 AB2"},
		{"the first free part", plain(2), "AB1 A2 B3", "AB1 A2 B3"},
		{"the window is half open", plain(2), "A1 . . . . . . . . . B1", ""},
		{"just within", plain(2), "A1 . . . . . . . . B1", "A1 B1"},
		{"a second takes the place of one that is too old", plain(2), "A1 A2 . . . . . . . . B1", "A2 B1"},
		{"fields compared", bound(2, 1), "A1 B2 B1", "A1 B1"},
		{"fields compared, in another order", bound(2, 1), "B2 B1 A1", "B1 A1"},
		{"fields compared, none fits", bound(2, 1), "B2 A1 B3", ""},
		{"two bound", bound(3, 1, 2), "C1 B1 A2 A1", "C1 B1 A1"},
		{"fields compared, the first is the wrong one", bound(2, 1), "A2 A1 B1", "A1 B1"},
		{"fields compared, a second that fits", bound(2, 1), "B1 B1 A1", "B1 B1 A1"},
		{"all are bound", bound(2, 0, 1), "B1 A1", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := gathering[string]{}
			var found []string
			for i, e := range strings.Fields(tt.events) {
				now := int64(i) * int64(time.Second)
				g.expire(now, int64(10*time.Second), tt.parts)
				if e == "." {
					continue
				}
				if whole, _, _ := g.take(e, lettersOf(e), tt.parts, now, sameValue); whole {
					var names []string
					for _, x := range g.events {
						names = append(names, x.e)
					}
					found = append(found, strings.Join(names, " "))
					g = gathering[string]{}
				}
			}
			if got := strings.Join(found, "; "); got != tt.want {
				t.Errorf("found %q, want %q", got, tt.want)
			}
		})
	}
}
