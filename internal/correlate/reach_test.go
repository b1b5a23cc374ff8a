package correlate

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"signalbox/event"
)

// The network of the tests: two roots, dist1 and dist2 behind core, access
// switches, one of them with two ways.
//
//	core1 ── dist1 ── sw1 ── ap1
//	  │        │       │
//	core2 ── dist2 ── sw2
func campus() *Topology {
	t := &Topology{Roots: []string{"core1"}}
	for _, l := range []string{
		"core1:Te1/1 core2:Te1/1", "core1:Te1/2 dist1:Te1/1", "core2:Te1/2 dist2:Te1/1",
		"dist1:Te1/2 dist2:Te1/2", "dist1:Gi0/1 sw1:Gi0/1", "dist2:Gi0/2 sw2:Gi0/1",
		"sw1:Gi0/2 ap1:eth0", "sw1:Gi0/3 sw2:Gi0/3",
	} {
		a, b, _ := strings.Cut(l, " ")
		t.Links = append(t.Links, link(a, b))
	}
	return t
}

func link(a, b string) Link {
	var l Link
	l.A, l.AInterface, _ = strings.Cut(a, ":")
	l.B, l.BInterface, _ = strings.Cut(b, ":")
	return l
}

// learnAll takes news such as "device_down sw1" or "link_down sw1:Gi0/1"; each
// is named by its number from 1.
func learnAll(g *graph, told ...string) {
	for i, what := range told {
		eff, place, _ := strings.Cut(what, " ")
		device, iface, _ := strings.Cut(place, ":")
		g.learn(Effect(eff), device, iface, news{event: event.ID(fmt.Sprint(i + 1)), at: int64(i)})
	}
}

func TestUpstream(t *testing.T) {
	tests := []struct {
		name string
		told []string
		ask  string // device[:interface]
		want string // "" reached; otherwise event: name
	}{
		{"nothing is down", nil, "sw1", ""},
		{"a device that nobody knows", []string{"device_down core1"}, "printer7", ""},
		{"a leaf that is down is its own cause", []string{"device_down ap1"}, "ap1", ""},
		{"behind a device that is down", []string{"device_down sw1"}, "ap1", "1: sw1 is down"},
		{"the device that is down is the cause", []string{"device_down sw1"}, "sw1", ""},
		{"what is down behind what is down", []string{"device_down sw1", "device_down ap1"}, "ap1", "1: sw1 is down"},
		{"told in the other order", []string{"device_down ap1", "device_down sw1"}, "ap1", "2: sw1 is down"},
		{"there is a second way", []string{"device_down dist1"}, "sw1", ""},
		{"both ways are down", []string{"device_down dist1", "link_down core2:Te1/2"}, "sw2", "2: the link core2:Te1/2 to dist2:Te1/1 is down"},
		{"and it is up again", []string{"device_down dist1", "link_down core2:Te1/2", "link_up dist2:Te1/1"}, "sw2", ""},
		{"a link with no second way", []string{"link_down sw1:Gi0/2"}, "ap1", "1: the link ap1:eth0 to sw1:Gi0/2 is down"},
		{"the near end of the link tells the cause", []string{"link_down sw1:Gi0/2"}, "sw1:Gi0/2", ""},
		{"and so does the far end", []string{"link_down sw1:Gi0/2"}, "ap1:eth0", ""},
		{"told by the far end", []string{"link_down ap1:eth0"}, "ap1", "1: the link ap1:eth0 to sw1:Gi0/2 is down"},
		{"a link that nobody knows", []string{"link_down sw1:Gi0/9"}, "ap1", ""},
		{"the root is down", []string{"device_down core1"}, "ap1", "1: core1 is down"},
		{"the root is its own cause", []string{"device_down core1"}, "core1", ""},
		{"a device behind its link that is down is the cause still", []string{"device_down ap1", "link_down sw1:Gi0/2"}, "ap1", ""},
		{"told twice, the first counts", []string{"device_down sw1", "device_down sw1"}, "ap1", "1: sw1 is down"},
		{"up without down", []string{"device_up sw1", "link_up sw1:Gi0/2"}, "ap1", ""},
		{"an event type that says nothing of it", []string{" sw1"}, "ap1", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := newGraph(campus())
			learnAll(g, tt.told...)
			device, iface, _ := strings.Cut(tt.ask, ":")
			of, name, ok := g.upstream(LinkDown, device, iface)
			got := ""
			if ok {
				got = string(of.event) + ": " + name
			}
			if got != tt.want {
				t.Errorf("upstream of %s is %q, want %q", tt.ask, got, tt.want)
			}
		})
	}
}

func TestNoTopologyWithoutRootsOrLinks(t *testing.T) {
	for _, top := range []*Topology{nil, {}, {Roots: []string{"a"}}, {Links: []Link{link("a", "b")}}} {
		if newGraph(top) != nil {
			t.Errorf("%v makes a graph", top)
		}
	}
}

// What no root reaches even with all up is not a part of it: its events would
// be suppressed for ever.
func TestAnIslandIsNotSuppressed(t *testing.T) {
	top := campus()
	top.Links = append(top.Links, link("island1:e1", "island2:e1"))
	g := newGraph(top)
	learnAll(g, "device_down island1")
	if _, _, ok := g.upstream("", "island2", ""); ok {
		t.Error("a device that no root ever reached is suppressed")
	}
}

// The word that sw1 is up again is lost; ap1 behind it answers.
func TestWhatAnswersIsReached(t *testing.T) {
	g := newGraph(campus())
	learnAll(g, "device_down sw1")
	g.answered("ap1", int64(time.Minute))
	if _, _, ok := g.upstream("", "ap1", ""); !ok {
		t.Error("news no older than a minute gave way")
	}
	g.answered("ap1", int64(time.Minute)+1)
	if _, _, ok := g.upstream("", "ap1", ""); ok {
		t.Error("ap1 answers and is suppressed")
	}
}

// Reached and causes, brought up to date piece by piece, are those of a walk
// over everything.
func TestReachedAgreesWithAWholeWalk(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		top := &Topology{Roots: []string{"d0", "d1"}}
		n := rapid.IntRange(3, 12).Draw(t, "devices")
		device := rapid.Custom(func(t *rapid.T) string { return fmt.Sprint("d", rapid.IntRange(0, n).Draw(t, "n")) })
		for i := range rapid.IntRange(1, 24).Draw(t, "links") {
			top.Links = append(top.Links, link(device.Draw(t, "a")+fmt.Sprint(":a", i), device.Draw(t, "b")+fmt.Sprint(":b", i)))
		}
		g := newGraph(top)
		for i := range rapid.IntRange(1, 60).Draw(t, "news") {
			eff := rapid.SampledFrom([]Effect{DeviceDown, DeviceUp, LinkDown, LinkUp}).Draw(t, "effect")
			l := rapid.SampledFrom(top.Links).Draw(t, "where")
			g.learn(eff, l.A, l.AInterface, news{event: event.ID(fmt.Sprint(i)), at: int64(i)})
			if rapid.Bool().Draw(t, "ask") {
				continue // news may gather
			}
			slow := newGraph(top)
			copy(slow.deviceNews, g.deviceNews)
			copy(slow.linkNews, g.linkNews)
			slow.walk()
			g.fresh()
			if !slices.Equal(g.reached, slow.reached) {
				t.Fatalf("after news %d reached is %v, a whole walk says %v", i, g.reached, slow.reached)
			}
			for _, name := range g.names {
				of, cause, ok := g.upstream("", name, "")
				of2, cause2, ok2 := slow.upstream("", name, "")
				if of != of2 || cause != cause2 || ok != ok2 {
					t.Fatalf("%s is cut off by %q (%v), a whole walk says %q (%v)", name, cause, ok, cause2, ok2)
				}
				d, known := g.device(name)
				if known && !ok && !g.reached[d] && !g.isCause(d) {
					t.Fatalf("%s is cut off by nobody", name)
				}
			}
		}
	})
}

// tree is 10,000 devices: 10 cores in a ring, 90 distribution switches on two
// cores each, 9,900 access switches on two distribution switches each.
func tree() *Topology {
	t := &Topology{Roots: []string{"core0"}}
	add := func(a, b string) {
		t.Links = append(t.Links, Link{a, "to-" + b, b, "to-" + a})
	}
	for i := range 10 {
		add(fmt.Sprint("core", i), fmt.Sprint("core", (i+1)%10))
	}
	for i := range 90 {
		add(fmt.Sprint("dist", i), fmt.Sprint("core", i%10))
		add(fmt.Sprint("dist", i), fmt.Sprint("core", (i+1)%10))
	}
	for i := range 9900 {
		add(fmt.Sprint("sw", i), fmt.Sprint("dist", i%90))
		add(fmt.Sprint("sw", i), fmt.Sprint("dist", (i+1)%90))
	}
	return t
}

func BenchmarkUpstream(b *testing.B) {
	b.Run("the whole walk", func(b *testing.B) {
		g := newGraph(tree())
		learnAll(g, "device_down sw7", "link_down core0:to-core1")
		for b.Loop() {
			g.stale = true
			if _, _, ok := g.upstream("", "sw5", ""); ok {
				b.Fatal("sw5 is cut off")
			}
		}
	})
	b.Run("access switches, and each asks", func(b *testing.B) {
		g := newGraph(tree())
		i := 0
		for b.Loop() {
			i++
			name := "sw" + fmt.Sprint(i%9900)
			g.learn(DeviceDown, name, "", news{})
			g.upstream("", name, "")
			if i%2 == 0 {
				g.learn(DeviceUp, name, "", news{})
			}
		}
	})
	b.Run("build", func(b *testing.B) {
		t := tree()
		for b.Loop() {
			newGraph(t)
		}
	})
}
