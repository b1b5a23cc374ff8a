package ruletest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// fitsSteps compares the steps of a run with those that x expects.
func (t *trial) fitsSteps(x *Expectation, index int, h *Happening) (diffs []string) {
	w := h.walked[index]
	if w == nil {
		w = t.env.walk(h, x.Outputs, t.test.Outputs)
		if h.walked == nil {
			h.walked = map[int]*walk{}
		}
		h.walked[index] = w
	}
	if x.HasSteps {
		diffs = append(diffs, diffSteps(x.Steps, w)...)
	}
	if x.Ends != nil && *x.Ends != w.ends {
		diffs = append(diffs, fmt.Sprintf("ends: expected %s, came %s%s", *x.Ends, w.ends, w.because()))
	}
	return diffs
}

func (w *walk) because() string {
	if w.why == "" {
		return ""
	}
	s := " (" + w.why
	if w.missing != "" {
		s += "; give outputs: {" + w.missing + ": …}"
	}
	return s + ")"
}

func diffSteps(want []StepWant, w *walk) (diffs []string) {
	for i := range max(len(want), len(w.done)) {
		switch {
		case i >= len(w.done):
			diffs = append(diffs, fmt.Sprintf("steps: expected %s as number %d, the run ends before%s", want[i].What, i+1, w.because()))
			return diffs
		case i >= len(want):
			return append(diffs, fmt.Sprintf("steps: expected %d, came %s as number %d", len(want), w.done[i].text(), i+1))
		case !want[i].is(&w.done[i]):
			return append(diffs, fmt.Sprintf("steps: expected %s as number %d, came %s", want[i].What, i+1, w.done[i].text()))
		}
		for _, k := range slices.Sorted(maps.Keys(want[i].Args)) {
			got, ok := w.done[i].Args[k]
			if !ok {
				diffs = append(diffs, fmt.Sprintf("step %d (%s): %s is not there", i+1, want[i].What, k))
			} else if !within(want[i].Args[k], got) {
				diffs = append(diffs, fmt.Sprintf("step %d (%s): %s: expected %s, came %s", i+1, want[i].What, k, jsonText(want[i].Args[k]), jsonText(got)))
			}
		}
	}
	return diffs
}

func (s *StepWant) is(d *Done) bool {
	return s.What == d.Action || s.What == d.Name || s.What == d.Path
}

func (d *Done) text() string {
	if d.Name != "" {
		return fmt.Sprintf("%s (%s)", d.Action, d.Name)
	}
	return d.Action
}

// within says whether got is what want says: objects may have more, all else is
// equal. Numbers are equal by value, durations and times by their text.
func within(want, got any) bool {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return false
		}
		for k, e := range w {
			if v, has := g[k]; !has || !within(e, v) {
				return false
			}
		}
		return true
	case []any:
		g, ok := got.([]any)
		return ok && slices.EqualFunc(w, g, within)
	}
	if a, ok := number(want); ok {
		if b, ok := number(got); ok {
			return a == b
		}
	}
	switch g := got.(type) {
	case time.Duration:
		return fmt.Sprint(want) == span(g) || fmt.Sprint(want) == g.String()
	case time.Time:
		return fmt.Sprint(want) == g.UTC().Format(time.RFC3339Nano)
	case string, bool, nil:
		return want == got
	}
	return fmt.Sprint(want) == fmt.Sprint(got)
}

func number(v any) (float64, bool) {
	switch v := v.(type) {
	case int64:
		return float64(v), true
	case int:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

func jsonText(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	s := string(b)
	if len(s) > 200 {
		s = s[:200] + "…"
	}
	return strings.ToValidUTF8(s, "·")
}
