package ruletest

import (
	"fmt"
	"maps"
	"strings"

	"signalbox/internal/rule"
	"signalbox/internal/run"
)

// maxDone bounds the steps of one walk: loops in loops are the author's.
const maxDone = 10_000

// Done is a step that a run would have done.
type Done struct {
	Path, Name, Action string
	Args               map[string]any
	Err                string
}

// walk is what a run would have done, with the outputs that the test gives.
type walk struct {
	done    []Done
	ends    string // "succeeded", "failed"
	why     string // failed: which step, and why
	missing string // failed: the register that the test gives nothing for
}

// walker walks the steps of one run as the worker does, and does nothing.
type walker struct {
	base    rule.Scope
	outputs []Outputs // the first that knows a step counts
	given   map[string]int
	cov     *Coverage
	rule    string
	out     walk
}

// registers are replaced, never changed: a branch of parallel does not see its
// neighbours.
type strand struct {
	w         *walker
	registers map[string]any
	item      any
	hasItem   bool
}

func (e *Env) walk(h *Happening, outputs ...Outputs) *walk {
	r := e.Set.Rule(h.Rule)
	if r == nil || h.about == nil {
		return &walk{ends: "succeeded"}
	}
	w := &walker{outputs: outputs, given: map[string]int{}, cov: e.Coverage, rule: r.Name, out: walk{ends: "succeeded"}}
	w.base = e.scope(h)
	w.base.Rule = map[string]any{"name": r.Name, "version": r.Version}
	w.base.Run = map[string]any{"id": h.run.Run, "attempt": int64(1), "replay": false, "dry_run": false}
	s := &strand{w: w}
	if err := s.steps(r.Steps(h.run.Branch)); err != nil {
		w.out.ends, w.out.why = "failed", err.Error()
	}
	return &w.out
}

// scope is what the expressions of a run see.
func (e *Env) scope(h *Happening) rule.Scope {
	s := rule.NewScope(h.about, e.Inventory)
	run.Found(s, h.by, h.run)
	return *s
}

func (s *strand) scope() *rule.Scope {
	c := s.w.base
	c.Registers, c.Item, c.HasItem = s.registers, s.item, s.hasItem
	return &c
}

func (s *strand) put(name string, v any) {
	if name == "" {
		return
	}
	next := make(map[string]any, len(s.registers)+1)
	maps.Copy(next, s.registers)
	next[name] = v
	s.registers = next
}

// result is what register gives (see worker).
func result(fields map[string]any, ok, skipped bool, msg string) map[string]any {
	out := map[string]any{"ok": ok, "failed": !ok, "skipped": skipped, "error": msg}
	maps.Copy(out, fields)
	return out
}

func (s *strand) steps(list []*rule.Step) error {
	for _, st := range list {
		if err := s.step(st); err != nil {
			return err
		}
	}
	return nil
}

func (s *strand) step(st *rule.Step) error {
	var err error
	if st.Loop != nil {
		err = s.loop(st)
	} else {
		err = s.once(st)
	}
	if st.IgnoreErrors {
		return nil
	}
	return err
}

func (s *strand) loop(st *rule.Step) error {
	v, err := st.Loop.Eval(s.scope())
	if err != nil {
		return s.failed(st, fmt.Errorf("loop: %w", err))
	}
	list, _ := v.([]any)
	var results []any
	var first error
	for _, item := range list {
		one := &strand{w: s.w, registers: s.registers, item: item, hasItem: true}
		if err := one.once(st); err != nil && first == nil {
			first = err
		}
		s.registers = one.registers
		results = append(results, s.registers[st.Register])
	}
	s.put(st.Register, result(map[string]any{"results": results}, first == nil, len(list) == 0, errText(first)))
	return first
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func (s *strand) failed(st *rule.Step, err error) error {
	s.put(st.Register, result(nil, false, false, err.Error()))
	name := st.Name
	if name == "" {
		name = st.Action
	}
	return fmt.Errorf("step %s (%s): %w", st.Path, name, err)
}

func (s *strand) once(st *rule.Step) error {
	if st.When != nil {
		ok, err := st.When.Bool(s.scope())
		if err != nil && !rule.Absent(err) {
			return s.failed(st, fmt.Errorf("when: %w", err))
		}
		s.w.cov.when(s.w.rule, st, ok && err == nil)
		if !ok || err != nil {
			s.put(st.Register, result(nil, true, true, ""))
			return nil
		}
	}
	switch {
	case len(st.Parallel) > 0:
		return s.parallel(st)
	case len(st.Block) > 0:
		return s.block(st)
	}
	return s.action(st)
}

func (s *strand) parallel(st *rule.Step) error {
	before := s.registers
	var first error
	for _, sub := range st.Parallel {
		one := &strand{w: s.w, registers: before, item: s.item, hasItem: s.hasItem}
		if err := one.step(sub); err != nil && first == nil {
			first = err
		}
		if sub.Register != "" {
			s.put(sub.Register, one.registers[sub.Register])
		}
	}
	return first
}

func (s *strand) block(st *rule.Step) error {
	err := s.steps(st.Block)
	if err != nil && len(st.Rescue) > 0 {
		s.w.cov.rescued(s.w.rule, st)
		s.w.out.missing = ""
		err = s.steps(st.Rescue)
	}
	if e := s.steps(st.Always); err == nil {
		err = e
	}
	return err
}

func (s *strand) action(st *rule.Step) error {
	if len(s.w.out.done) >= maxDone {
		return fmt.Errorf("more than %d steps", maxDone)
	}
	args := map[string]any{}
	if st.Args != nil {
		scope := s.scope()
		scope.Secret = func(name string) (string, error) { return "<secret " + name + ">", nil }
		v, err := st.Args.Eval(scope)
		if err != nil {
			s.w.out.missing = s.w.notGiven(err)
			return s.failed(st, fmt.Errorf("arguments: %w", err))
		}
		args, _ = v.(map[string]any)
	}
	tries := 1
	if st.Until != nil {
		tries += st.Retries
	}
	for n := 1; ; n++ {
		o := s.w.output(st)
		s.w.out.done = append(s.w.out.done, Done{Path: st.Path, Name: st.Name, Action: st.Action, Args: args, Err: o.Error})
		if o.Error != "" {
			s.put(st.Register, result(o.Fields, false, false, o.Error))
			return fmt.Errorf("step %s (%s): %s", st.Path, st.Action, o.Error)
		}
		s.put(st.Register, result(o.Fields, true, false, ""))
		if st.Until == nil {
			return nil
		}
		ok, err := st.Until.Bool(s.scope())
		if err != nil && !rule.Absent(err) {
			return s.failed(st, fmt.Errorf("until: %w", err))
		}
		if ok && err == nil {
			return nil
		}
		if n >= tries {
			return s.failed(st, fmt.Errorf("until is not true after %d attempts", n))
		}
	}
}

// output is what the test says that a step gives back.
func (w *walker) output(st *rule.Step) Output {
	for i, o := range w.outputs {
		for _, name := range []string{st.Register, st.Path, st.Name, st.Action} {
			list := o[name]
			if name == "" || len(list) == 0 {
				continue
			}
			key := fmt.Sprint(i, name)
			n := min(w.given[key], len(list)-1)
			w.given[key]++
			return list[n]
		}
	}
	return Output{}
}

// notGiven finds the register that an argument could not read, for a hint.
func (w *walker) notGiven(err error) string {
	text := err.Error()
	if i := strings.Index(text, " is absent"); i > 0 {
		path := text[:i]
		path = path[strings.LastIndexAny(path, " \"`")+1:]
		name, _, _ := strings.Cut(path, ".")
		return name
	}
	return ""
}
