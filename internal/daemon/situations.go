package daemon

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"signalbox/internal/api"
	"signalbox/internal/record"
	"signalbox/internal/situation"
	"signalbox/internal/worker"
)

func (b *bookkeeper) loadSituations() {
	_, problems := b.state.load("situations", func(data []byte) error {
		_, body, err := unseal(data)
		if err != nil {
			return err
		}
		book, err := situation.Restore(body)
		if err == nil {
			b.situations = book
		}
		return err
	})
	if problems != nil {
		b.logger.Warn("the snapshot of the situations cannot be used; the log is read again", "err", problems)
	}
}

func (b *bookkeeper) saveSituations() {
	b.mu.Lock()
	through := b.situations.Through
	data, err := b.situations.Marshal()
	b.mu.Unlock()
	if err == nil {
		err = b.state.save("situations", seal(through, data))
	}
	if err != nil {
		b.logger.Warn("the snapshot of the situations could not be written", "err", err)
	}
}

// tellSituations is called with mu held. Who is too slow misses changes.
func (b *bookkeeper) tellSituations(changed []situation.Situation) {
	for _, s := range changed {
		for c := range b.watching {
			select {
			case c <- s:
			default:
			}
		}
	}
}

// listSituations gives those that f chooses, and with follow a channel of those
// that change from then on, until stop is called.
func (b *bookkeeper) listSituations(f situation.Filter, follow bool) (list []situation.Situation, changes <-chan situation.Situation, stop func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	list, stop = b.situations.List(f), func() {}
	if !follow {
		return list, nil, stop
	}
	c := make(chan situation.Situation, 1024)
	b.watching[c] = true
	return list, c, func() {
		b.mu.Lock()
		delete(b.watching, c)
		b.mu.Unlock()
	}
}

func (b *bookkeeper) situation(id string) (situation.Situation, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, ok := b.situations.Find(id)
	if !ok {
		return s, fmt.Errorf("situation %s: %w (resolved ones are listed for a day)", id, api.ErrNotFound)
	}
	return s, nil
}

func (b *bookkeeper) countSituations() (open, acknowledged, resolved int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.situations.Count()
}

func (b backend) Situations(ctx context.Context, q api.SituationQuery, yield func(any) error) error {
	f := situation.Filter{State: q.State, Rule: q.Rule, Limit: q.Limit}
	switch q.State {
	case "", situation.Open, situation.Acknowledged, situation.Resolved:
	default:
		return fmt.Errorf("%w: state %q: there are open, acknowledged and resolved", api.ErrInvalid, q.State)
	}
	list, changes, stop := b.d.books.listSituations(f, q.Follow)
	defer stop()
	for i := range list {
		if err := yield(&list[i]); err != nil {
			return err
		}
	}
	f.State = "" // who follows those that are open wants to know of the end
	for q.Follow {
		select {
		case s := <-changes:
			if f.Fits(&s) {
				if err := yield(&s); err != nil {
					return err
				}
			}
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// situationView is one situation with its runs as they are.
type situationView struct {
	situation.Situation
	RunViews []worker.RunView `json:"run_details,omitempty"`
}

func (b backend) Situation(ctx context.Context, id string) (any, error) {
	s, err := b.d.books.situation(id)
	if err != nil {
		return nil, err
	}
	v := situationView{Situation: s}
	for i := range s.Events {
		// Decisions name an event that started no run by its id only.
		e := &v.Events[i]
		if e.Type != "" {
			continue
		}
		entry, err := (history{b.d.log}).find(ctx, e.ID)
		if err != nil {
			break // they are in order: what has left the log comes first
		}
		e.Type, e.Device, e.Interface = entry.Event.Type, entry.Event.Device, entry.Event.Interface
	}
	for _, r := range s.Runs {
		run, err := b.d.worker.Find(ctx, r.ID)
		if errors.Is(err, worker.ErrUnknownRun) {
			continue // its decision is on its way to the worker, or has left the log
		}
		if err != nil {
			return nil, err
		}
		run.Steps, run.Event, run.Events = nil, nil, nil
		v.RunViews = append(v.RunViews, run)
	}
	return v, nil
}

// SituationCommand writes a person's word about a situation. The engine takes
// it in order with all else.
func (b backend) SituationCommand(ctx context.Context, verb, id string, by api.CommandRequest) error {
	s, err := b.d.books.situation(id)
	if err != nil {
		return err
	}
	if s.State == situation.Resolved || s.State == situation.Acknowledged && verb == "acknowledge" {
		return fmt.Errorf("%w: situation %s is %s already", api.ErrInvalid, id, strings.ToLower(s.State))
	}
	return b.d.appendEvents(ctx, []record.Record{{Kind: record.KindCommand, Command: &record.Command{
		ID: uuid.Must(uuid.NewV7()).String(), Verb: verb, Run: id, By: by.By, Note: by.Note}}})
}
