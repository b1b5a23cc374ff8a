package correlate

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"signalbox/event"
)

// anyAssignment tries every way to give each part an event of the list.
func anyAssignment(list []string, parts []Part, slots []string, p int) bool {
	if p == len(parts) {
		for q, s := range slots {
			if parts[q].Bound && kind(s) != kind(slots[0]) {
				return false
			}
		}
		return true
	}
	for _, e := range list {
		if lettersOf(e)&(1<<p) == 0 || slices.Contains(slots[:p], e) {
			continue
		}
		slots[p] = e
		if anyAssignment(list, parts, slots, p+1) {
			return true
		}
	}
	slots[p] = ""
	return false
}

// Where fields are compared, All finds its parts exactly when there is a way to
// choose them from the events of the window.
func TestAllComparesAsTryingEverythingDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := bound(rapid.IntRange(2, 4).Draw(t, "parts"))
		for p := 1; p < len(parts); p++ {
			parts[p].Bound = rapid.Bool().Draw(t, "bound")
		}
		parts[len(parts)-1].Bound = true
		g := gathering[string]{}
		var window []string
		var times []int64
		now := int64(0)
		for i := range rapid.IntRange(1, 30).Draw(t, "events") {
			now += int64(rapid.IntRange(0, 4).Draw(t, "gap"))
			e := rapid.SampledFrom([]string{"A", "B", "C", "D", "AB", "BC", "AD"}).Draw(t, "can") +
				rapid.SampledFrom([]string{"x", "y", "z"}).Draw(t, "value")
			e += fmt.Sprint("-", i)
			can := lettersOf(e) & (1<<len(parts) - 1)
			if can == 0 {
				continue
			}
			for len(times) > 0 && now-times[0] >= 10 {
				window, times = window[1:], times[1:]
			}
			window, times = append(window, e), append(times, now)
			g.expire(now, 10, parts)
			whole, _, err := g.take(e, can, parts, now, func(part int, e string, slots []string) (bool, error) {
				if slots[0] == "" {
					return false, fmt.Errorf("part 0 is free")
				}
				return kind(e) == kind(slots[0]), nil
			})
			want := anyAssignment(window, parts, make([]string, len(parts)), 0)
			if whole != want || err != nil {
				t.Fatalf("of %v parts %v are found: %v (%v), trying all says %v", window, parts, whole, err, want)
			}
			if whole {
				g, window, times = gathering[string]{}, nil, nil
			}
		}
	})
}

// kind is an event's value without its number.
func kind(e string) string { v, _, _ := strings.Cut(value(e), "-"); return v }

func TestWhatIsDownStaysKnownInAnotherTopology(t *testing.T) {
	n := &network{}
	n.Use(campus())
	env := &Env{Now: 1}
	room := []byte(nil)
	for i, what := range []string{"device_down dist1", "device_down dist2", "link_down ap1:eth0"} {
		eff, place, _ := strings.Cut(what, " ")
		device, iface, _ := strings.Cut(place, ":")
		ev := &event.Event{ID: event.ID(fmt.Sprint(i)), Device: device, Interface: iface}
		it := NewItem(ev, uint64(i+1), &room)
		n.Learn(env, Effect(eff), &it)
	}
	w := NewStateWriter(&Timers{})
	n.Save(w)
	less := campus() // without dist1, and with another link
	less.Links = append(less.Links[:1:1], less.Links[2:]...)
	kept := less.Links[:0]
	for _, l := range less.Links {
		if l.A != "dist1" && l.B != "dist1" {
			kept = append(kept, l)
		}
	}
	less.Links = append(kept, link("core1:Te9/9", "sw2:Te9/9"))
	restored := &network{}
	restored.Load(NewStateReader(w.Bytes(), &Timers{}))
	for name, n := range map[string]*network{"live": n, "restored": restored} {
		n.Use(less)
		if n.Keys().Held != 2 {
			t.Errorf("%s: %d are down, want dist2 and the link", name, n.Keys().Held)
		}
		if c, ok := n.cutOff("", &event.Event{Device: "ap1"}); !ok || c.name != "the link ap1:eth0 to sw1:Gi0/2 is down" {
			t.Errorf("%s: ap1 is cut off by %q", name, c.name)
		}
		if _, ok := n.cutOff("", &event.Event{Device: "sw2"}); ok {
			t.Errorf("%s: sw2 has another way, and is cut off", name)
		}
		n.Use(nil)
		if n.Keys().Held != 0 || n.knows("sw2") {
			t.Errorf("%s: without a topology something is known", name)
		}
	}
}
