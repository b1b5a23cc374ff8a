package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

var ruleNames = []string{"brute-force", "stays-down", "both-uplinks", "change-broke-bgp"}

// answer is how a peer did in one way of giving it the events.
type answer struct {
	peer, way string
	result
	err error
}

// accuracy gives all the same events at their times, once in one go and once
// with a crash in the middle, and tells what each got wrong.
func accuracy(ctx context.Context, w io.Writer, s *settings) error {
	all := events(s.seed, deviceNames(s.devices), s.seconds)
	want, err := expected(s, all)
	if err != nil {
		return err
	}
	var answers []answer
	for _, restart := range []bool{false, true} {
		got, err := signalboxFound(s, all, restart)
		if err != nil {
			return err
		}
		answers = append(answers, answer{peer: "Signalbox", way: way(restart), result: result{found: got}})
	}
	peers := []peer{{"Python correlator", pythonPeer}}
	if s.rulebook != "" {
		peers = append(peers, peer{"ansible-rulebook", rulebookPeer})
	}
	for _, restart := range []bool{false, true} {
		more := make([]answer, len(peers))
		var g errgroup.Group
		for i, p := range peers {
			g.Go(func() error {
				r, err := given(ctx, s, p, all, restart)
				more[i] = answer{peer: p.name, way: way(restart), result: r, err: err}
				return nil
			})
		}
		_ = g.Wait()
		answers = append(answers, more...)
	}
	slices.SortStableFunc(answers, func(a, b answer) int { return order(a.peer) - order(b.peer) })
	tell(w, all, want, answers)
	return ctx.Err()
}

func order(peer string) int {
	return slices.Index([]string{"Signalbox", "Python correlator", "ansible-rulebook"}, peer)
}

func way(restart bool) string {
	if restart {
		return "killed and restarted in the middle"
	}
	return "in one go"
}

// given runs a peer over the events. A restart costs it no time: another
// process goes on with the event after the last that the killed one had.
func given(ctx context.Context, s *settings, p peer, all []happening, restart bool) (result, error) {
	name := strings.ReplaceAll(p.name, " ", "-")
	if !restart {
		return p.run(ctx, s, name, all, "time", false)
	}
	half := len(all) / 2
	first, err := p.run(ctx, s, name+"-1", all[:half], "time", true)
	if err != nil {
		return first, err
	}
	second, err := p.run(ctx, s, name+"-2", all[half:], "time", false)
	second.found = append(second.found, first.found...)
	slices.Sort(second.found)
	second.notes = append(first.notes, second.notes...)
	return second, err
}

// tell writes what there was to find and what each found of it.
func tell(w io.Writer, all []happening, want []string, answers []answer) {
	fmt.Fprintf(w, "### What each finds\n\n%d events of %.0f s; there are %d things to find.\n\n", len(all), all[len(all)-1].T, len(want))
	fmt.Fprintf(w, "| | events given | %s |\n|---|---|%s\n", strings.Join(ruleNames, " | "), strings.Repeat("---|", len(ruleNames)))
	for _, a := range answers {
		fmt.Fprintf(w, "| %s | %s |", a.peer, a.way)
		if a.err != nil {
			fmt.Fprintf(w, " failed: %s |\n", firstLine(a.err.Error()))
			continue
		}
		for _, name := range ruleNames {
			fmt.Fprintf(w, " %s |", score(of(name, want), of(name, a.found)))
		}
		fmt.Fprintln(w)
	}
	fmt.Fprint(w, "\nA finding is right if it is of the right events. *Other events*: it was found, with more, fewer or others of its events.\n\n")
	for _, a := range answers {
		if len(a.notes) > 0 {
			fmt.Fprintf(w, "%s, %s, also printed:\n\n", a.peer, a.way)
			for _, n := range a.notes[:min(len(a.notes), 3)] {
				fmt.Fprintf(w, "    %s\n", cut(n, 160))
			}
			fmt.Fprintln(w)
		}
	}
	examples(w, want, answers)
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

func cut(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}

// of are the findings of a rule.
func of(rule string, all []string) []string {
	var out []string
	for _, f := range all {
		if strings.HasPrefix(f, rule+" ") {
			out = append(out, f)
		}
	}
	return out
}

// score says how many findings are right, wrong and missing. A finding that has
// the device and the last event of one that is missing is that one, with other
// events.
func score(want, got []string) string {
	missing, extra := differ(want, got)
	right := len(want) - len(missing)
	other := 0
	for _, e := range extra {
		if i := slices.IndexFunc(missing, func(m string) bool { return same(m, e) }); i >= 0 {
			missing = slices.Delete(missing, i, i+1)
			other++
		}
	}
	text := fmt.Sprintf("%d of %d right", right, len(want))
	add := func(n int, what string) {
		if n > 0 {
			text += fmt.Sprintf(", %d %s", n, what)
		}
	}
	add(other, "with other events")
	add(len(missing), "missed")
	add(len(extra)-other, "false")
	return text
}

// same says whether two findings are of one device and share an event.
func same(a, b string) bool {
	x, y := strings.Fields(a), strings.Fields(b)
	if len(x) < 3 || len(y) < 3 || x[1] != y[1] {
		return false
	}
	return slices.ContainsFunc(x[2:], func(t string) bool { return slices.Contains(y[2:], t) })
}

// differ are the findings that are in one list only, each as often.
func differ(want, got []string) (missing, extra []string) {
	left := map[string]int{}
	for _, g := range got {
		left[normal(g)]++
	}
	for _, x := range want {
		if left[normal(x)] > 0 {
			left[normal(x)]--
			continue
		}
		missing = append(missing, x)
	}
	for _, g := range slices.Sorted(maps.Keys(left)) {
		for range left[g] {
			extra = append(extra, g)
		}
	}
	return missing, extra
}

// normal sorts the times of a finding: in which order the events of one are told
// does not matter.
func normal(f string) string {
	w := strings.Fields(f)
	if len(w) > 2 {
		slices.Sort(w[2:])
	}
	return strings.Join(w, " ")
}

// examples shows the first wrong answer of each kind, so that it can be looked
// into.
func examples(w io.Writer, want []string, answers []answer) {
	for _, a := range answers {
		if a.err != nil {
			continue
		}
		missing, extra := differ(want, a.found)
		if len(missing)+len(extra) == 0 {
			continue
		}
		fmt.Fprintf(w, "%s, %s, for example (rule, device, times of the events):\n\n", a.peer, a.way)
		for _, name := range ruleNames {
			if m := of(name, missing); len(m) > 0 {
				fmt.Fprintf(w, "- not found: %s\n", m[0])
			}
			if e := of(name, extra); len(e) > 0 {
				fmt.Fprintf(w, "- found instead, or besides: %s\n", e[0])
			}
		}
		fmt.Fprintln(w)
	}
}

// speed gives all the events as fast as they are taken.
func speed(ctx context.Context, w io.Writer, s *settings) error {
	fmt.Fprint(w, "### How fast\n\nThe same rules, lines of JSON read from a file, as fast as they are taken.\n\n| | events | events/s | processor time an event |\n|---|---|---|---|\n")
	n := map[string]int{"Signalbox": 500_000, "Python correlator": 20_000, "ansible-rulebook": 3_000}
	if s.short {
		n = map[string]int{"Signalbox": 5_000, "Python correlator": 2_000, "ansible-rulebook": 500}
	}
	all := many(s, n["Signalbox"])
	found, took, cpu, err := signalboxSpeed(ctx, s, all)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "| Signalbox, engine | %d | %.0f | %s |\n", len(all), float64(len(all))/took.Seconds(), (cpu / time.Duration(len(all))).Round(100*time.Nanosecond))
	fmt.Fprintf(w, "| Python correlator | %s\n", line(ctx, s, peer{"Python correlator", pythonPeer}, all[:n["Python correlator"]]))
	if s.rulebook != "" {
		fmt.Fprintf(w, "| ansible-rulebook | %s\n", line(ctx, s, peer{"ansible-rulebook", rulebookPeer}, all[:n["ansible-rulebook"]]))
	}
	fmt.Fprintf(w, "\nSignalbox found %d things on the way; its windows go by the events' time, those of the others by the clock on the wall, so that theirs hold all that came within 2 s of real time.\n\n", found)
	return ctx.Err()
}

// many are events of the same kinds for a long time.
func many(s *settings, n int) []happening {
	devices := deviceNames(s.devices)
	seconds := 100.0
	for {
		all := events(s.seed, devices, seconds)
		if len(all) >= n {
			return all[:n]
		}
		seconds *= max(1.2, 1.1*float64(n)/float64(max(len(all), 1)))
	}
}

func line(ctx context.Context, s *settings, p peer, all []happening) string {
	r, err := p.run(ctx, s, strings.ReplaceAll(p.name, " ", "-")+"-full", all, "full", false)
	if err != nil {
		return "failed: " + firstLine(err.Error()) + " |"
	}
	return fmt.Sprintf("%d | %.0f | %s |", len(all), float64(len(all))/r.took.Seconds(), (r.cpu / time.Duration(len(all))).Round(time.Microsecond))
}
