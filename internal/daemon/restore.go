package daemon

import (
	"errors"
	"fmt"

	"signalbox/internal/engine"
	"signalbox/internal/record"
)

// restoring is an engine that is being read from its snapshot, with the rules
// that are in it, while others open the log.
type restoring struct {
	state    stateDir
	load     func([]byte) (engine.Rules, error)
	done     chan struct{}
	engine   *engine.Engine // nil: there is no snapshot that can be used
	bad      []string
	problems error
}

func restoreEngine(state stateDir, load func([]byte) (engine.Rules, error)) *restoring {
	r := &restoring{state: state, load: load, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		// The folder is not locked yet: nothing is changed in it.
		_, r.bad, r.problems = state.find("engine", r.take)
	}()
	return r
}

func (r *restoring) take(data []byte) error {
	e := engine.New(r.load)
	err := e.Restore(data)
	if err == nil {
		r.engine = e
	}
	return err
}

// engineFor gives the newest engine that is not ahead of the log's decisions,
// nil for none, and what was wrong with newer ones. One that is ahead is of
// another log: what it would go on from was never written here.
func (r *restoring) engineFor(logged record.Position) (*engine.Engine, error) {
	<-r.done
	if r.engine == nil || !logged.Less(r.engine.Through()) {
		return r.engine, errors.Join(r.problems, r.state.putAside("engine", r.bad))
	}
	_, problems := r.state.load("engine", func(data []byte) error {
		r.engine = nil
		if err := r.take(data); err != nil {
			return err
		}
		if at := r.engine.Through(); logged.Less(at) {
			r.engine = nil
			return fmt.Errorf("it is of %s, and the log's decisions end at %s", at, logged)
		}
		return nil
	})
	return r.engine, problems
}
