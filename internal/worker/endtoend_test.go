package worker_test

import (
	"fmt"
	"io"
	"slices"
	"testing"

	"signalbox/event"
	"signalbox/internal/record"
)

// The worker on the real log, with rules as users write them: what was decided
// is done once and in each device's order, over restarts with and without a
// snapshot, also where most runs are in memory by name only.
func TestEndToEndOverRestarts(t *testing.T) {
	h := newHouse(t, `rules:
  - name: tell
    on: interface_down
    do:
      - log: {message: "${event.device} ${event.interface}", level: debug}
        register: said
      - log: {message: "never"}
        when: said.message == "something else"
      - log: {message: "after ${said.message}", level: debug}
  - name: also
    on: interface_down
    lock: none
    do: [{log: {message: "run ${run.id}", level: debug}}]
`, io.Discard)
	h.cfg.Near, h.cfg.Pending, h.cfg.Recent, h.cfg.Slow = 2, 20, 10, 0
	const lives, each, devices = 4, 150, 5
	h.open()
	n := 0
	for life := range lives {
		var evs []*event.Event
		for range each {
			evs = append(evs, down(fmt.Sprintf("sw%d", n%devices), fmt.Sprintf("e%d", n)))
			n++
		}
		h.decide(evs[:each/2]...)
		h.decide(evs[each/2:]...)
		if life == 1 {
			h.until("there is a snapshot", func() bool { h.from, h.snap = h.w.Snapshot(); return h.snap != nil })
		}
		h.end() // wherever it is
		h.open()
	}
	h.until("all runs are done", func() bool { return h.w.Depths().Open == 0 && len(h.ends()) == 2*n })
	order := map[string][]record.Position{}
	ends := h.ends()
	steps := map[string]int{}
	var first string
	decided := map[string]*record.RunStart{}
	at := map[string]record.Position{}
	h.scan(t.Context(), func(b *record.Batch) {
		for i := range b.Records {
			r := &b.Records[i]
			if d := r.Decision; d != nil {
				for j := range d.Runs {
					decided[d.Runs[j].Run], at[d.Runs[j].Run] = &d.Runs[j], b.At(i)
				}
				first = d.Runs[0].Run
			}
			if r.RunEnd != nil && decided[r.RunEnd.Run].Rule == "tell" {
				device := decided[r.RunEnd.Run].Device
				order[device] = append(order[device], at[r.RunEnd.Run])
			}
			if r.End != nil {
				steps[r.End.Run+"/"+r.End.Step]++
			}
		}
	})
	for id, o := range ends {
		if !slices.Equal(o, []record.Outcome{record.Succeeded}) {
			t.Errorf("run %s ended as %v", id, o)
		}
	}
	for key, n := range steps {
		if n != 1 {
			t.Errorf("step %s ended %d times", key, n)
		}
	}
	if len(order) != devices || len(steps) != 4*n {
		t.Errorf("%d devices, %d steps; want %d and %d", len(order), len(steps), devices, 4*n)
	}
	for device, ps := range order {
		if !slices.IsSortedFunc(ps, func(a, b record.Position) int {
			if a.Less(b) {
				return -1
			}
			return 1
		}) {
			t.Errorf("%s: runs ended in the order %v", device, ps)
		}
	}
	v, err := h.w.Find(t.Context(), first)
	if err != nil || v.Status != "succeeded" || len(v.Steps) != 3 || v.Event == nil {
		t.Errorf("a run that memory does not hold any more: %+v, %v", v, err)
	}
	if _, err := h.w.Find(t.Context(), "r1-0-000000000000"); err == nil {
		t.Error("a run that never was is found")
	}
	h.end()
}

// ends is how each run ended.
func (h *house) ends() map[string][]record.Outcome {
	out := map[string][]record.Outcome{}
	h.scan(h.t.Context(), func(b *record.Batch) {
		for _, r := range b.Records {
			if r.RunEnd != nil {
				out[r.RunEnd.Run] = append(out[r.RunEnd.Run], r.RunEnd.Outcome)
			}
		}
	})
	return out
}
