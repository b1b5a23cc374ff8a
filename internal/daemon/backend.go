package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"signalbox/event"
	"signalbox/internal/api"
	"signalbox/internal/eventlog"
	"signalbox/internal/intake"
	"signalbox/internal/normalize"
	"signalbox/internal/record"
	"signalbox/internal/run"
	"signalbox/internal/worker"
)

// backend is what the API speaks for.
type backend struct{ d *daemon }

var _ api.Backend = backend{}

func (b backend) Status() api.Status {
	d := b.d
	st := api.Status{Version: d.opt.Version, Started: d.started, Problems: b.Ready(), Listening: d.feeds.addresses(), Sources: d.feeds.status()}
	st.Ready = len(st.Problems) == 0
	d.mu.Lock()
	st.Rules, st.Devices, st.RuleSet = len(d.loaded.Set.Rules), d.loaded.Inventory.Len(), d.loaded.Set.Version
	st.Reload = d.reloadError
	d.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	ls, err := d.log.State(ctx)
	if err != nil {
		st.Log.Error = err.Error()
		return st
	}
	st.Log = api.LogStatus{FirstSeq: ls.First, LastSeq: ls.Last, FirstTime: ls.FirstTime, LastTime: ls.LastTime, Bytes: ls.Bytes}
	if err := d.log.Health(); err != nil {
		st.Log.Error = err.Error()
	}
	return st
}

// Ready lists what keeps Signalbox from doing its job. A broker that is away
// does not: its source keeps trying and the others work.
func (b backend) Ready() []string {
	problems := []string{}
	if err := b.d.log.Health(); err != nil {
		problems = append(problems, err.Error())
	}
	if !b.d.ready.Load() {
		problems = append(problems, "starting or stopping")
	}
	return problems
}

func (b backend) Ledger(ctx context.Context, verify bool) (*api.Ledger, error) {
	intake := b.d.feeds.status()
	if verify {
		return b.d.books.verify(ctx, b.d.started, intake)
	}
	return b.d.books.ledger(ctx, b.d.started, intake)
}

func (b backend) Events(ctx context.Context, q api.EventQuery, yield func(*api.Entry) error) error {
	return history{b.d.log}.list(ctx, q, yield)
}

func (b backend) Event(ctx context.Context, id event.ID) (*api.Entry, error) {
	return history{b.d.log}.find(ctx, id)
}

// Resubmit maps the raw bytes of a rejected event again and logs what comes out
// as a new event that names the old one.
func (b backend) Resubmit(ctx context.Context, id event.ID, by api.CommandRequest) (event.ID, error) {
	e, err := b.Event(ctx, id)
	if err != nil {
		return "", err
	}
	if e.Status != "rejected" {
		return "", fmt.Errorf("%w: event %s was not rejected: it is %s", api.ErrInvalid, id, e.Status)
	}
	switch before, err := b.resubmitted(ctx, e); {
	case err != nil:
		return "", err
	case before != "":
		return "", fmt.Errorf("%w: event %s was put back already, as %s", api.ErrInvalid, id, before)
	}
	old := &e.Event
	meta := maps.Clone(old.Meta)
	in := normalize.Input{Source: old.Source, Form: normalize.Form(meta[intake.MetaForm]), Mapping: meta[intake.MetaMapping],
		Raw: old.Raw, Peer: old.Peer, Received: old.Received, SenderID: old.SenderID, TraceParent: old.TraceParent}
	delete(meta, intake.MetaForm)
	delete(meta, intake.MetaMapping)
	in.Meta = meta
	res := b.d.intake.Edge().Normalizer.Normalize(in)
	if res.Reject != "" {
		return "", fmt.Errorf("%w: it would be rejected again: %s", api.ErrInvalid, res.Reject)
	}
	ev := res.Event
	ev.Resubmits = id
	if ev.SenderID == "" {
		ev.SenderID = string(id) // two people at once: the second is a redelivery
	}
	b.d.feeds.get(ev.Source).Received(1)
	next, err := b.d.intake.EmitEvent(ctx, ev)
	if err == nil {
		b.d.logger.Info("rejected event put back", "event", id, "as", next, "by", by.By)
	}
	return next, err
}

// resubmitted gives the event by which a rejected one was put back; "" for none.
func (b backend) resubmitted(ctx context.Context, e *api.Entry) (event.ID, error) {
	st, err := b.d.log.State(ctx)
	if err != nil {
		return "", err
	}
	var found event.ID
	err = b.d.log.RangeSince(ctx, e.LogTime, record.Position{Seq: st.Last}, []record.Subject{record.Events}, func(batch *record.Batch) error {
		for i := range batch.Records {
			if ev := batch.Records[i].Event; batch.Records[i].Kind == record.KindEvent && ev.Resubmits == e.Event.ID {
				found = event.ID(strings.Clone(string(ev.ID)))
				return eventlog.ErrStop
			}
		}
		return nil
	})
	if errors.Is(err, eventlog.ErrStop) {
		err = nil
	}
	return found, err
}

// replayBatch is how many events are fed at once.
const replayBatch = 256

func (b backend) Replay(ctx context.Context, r api.ReplayRequest) (api.ReplayResult, error) {
	res := api.ReplayResult{ID: uuid.Must(uuid.NewV7()).String(), DryRun: !r.Effects}
	if r.Since.IsZero() {
		return res, fmt.Errorf("%w: since is missing", api.ErrInvalid)
	}
	st, err := b.d.log.State(ctx)
	if err != nil {
		return res, err
	}
	f := newFilter(api.EventQuery{Type: r.Type, Device: r.Device})
	var recs []record.Record
	var end time.Time // of the stretch
	flush := func() error {
		if len(recs) == 0 {
			return nil
		}
		err := b.d.appendEvents(ctx, recs)
		for i := range recs {
			if recs[i].Command.Event != nil {
				res.Events++
			}
		}
		recs = nil
		return err
	}
	err = b.d.log.RangeSince(ctx, r.Since, record.Position{Seq: st.Last}, []record.Subject{record.Events}, func(batch *record.Batch) error {
		if !r.Until.IsZero() && batch.Time.After(r.Until) {
			end = r.Until
			return eventlog.ErrStop
		}
		end = batch.Time
		for i := range batch.Records {
			ev := batch.Records[i].Event
			if batch.Records[i].Kind != record.KindEvent || !f.event(ev) {
				continue
			}
			recs = append(recs, record.Record{Kind: record.KindCommand, Command: &record.Command{
				ID: res.ID, Verb: "replay", By: r.By, Note: r.Note, Event: ev, Original: batch.At(i), DryRun: !r.Effects}})
			if len(recs) == replayBatch {
				if err := flush(); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, eventlog.ErrStop) {
		return res, err
	}
	if res.Events+len(recs) > 0 {
		// What is due by the end of the stretch comes of it, too.
		recs = append(recs, record.Record{Kind: record.KindCommand, Command: &record.Command{
			ID: res.ID, Verb: "replay", By: r.By, Note: r.Note, DryRun: !r.Effects, End: end}})
	}
	return res, flush()
}

func (b backend) Runs(ctx context.Context, q api.RunQuery, yield func(any) error) error {
	fits := func(v *worker.RunView) bool { return runFits(&q, v) }
	changes := make(chan worker.RunView, 1024)
	if q.Follow {
		stop := b.d.worker.Watch(func(v worker.RunView) {
			select {
			case changes <- v:
			default: // a client that is too slow misses changes, and no run waits for it
			}
		})
		defer stop()
	}
	if q.Limit == 0 {
		q.Limit = defaultRuns
	}
	views := b.d.worker.Runs(worker.Filter{Status: q.State, Fits: fits, Limit: q.Limit})
	var partial error
	if len(views) < q.Limit {
		var err error
		if views, err = (older{b.d.log, b.d.worker.Find, time.Now}).add(ctx, &q, views); errors.Is(err, api.ErrPartial) {
			partial = err
		} else if err != nil {
			return err
		}
	}
	for _, v := range slices.Backward(views) {
		if err := yield(v); err != nil {
			return err
		}
	}
	for q.Follow {
		select {
		case v := <-changes:
			if fits(&v) {
				if err := yield(v); err != nil {
					return err
				}
			}
		case <-ctx.Done():
			return nil
		}
	}
	return partial
}

// defaultRuns is how many runs a list has that says nothing of it.
const defaultRuns = 100

func (b backend) Run(ctx context.Context, id string) (any, error) {
	v, err := b.find(ctx, id)
	if err != nil {
		return nil, err
	}
	return v, nil
}

func (b backend) find(ctx context.Context, id string) (worker.RunView, error) {
	if _, _, err := run.ParseID(id); err != nil {
		return worker.RunView{}, fmt.Errorf("%w: %w", api.ErrInvalid, err)
	}
	v, err := b.d.worker.Find(ctx, id)
	if errors.Is(err, worker.ErrUnknownRun) {
		return v, fmt.Errorf("run %s: %w", id, api.ErrNotFound)
	}
	return v, err
}

// maxDeadLetters is how many a list has at most.
const maxDeadLetters = 10_000

func (b backend) DeadLetters(_ context.Context, yield func(any) error) error {
	views := b.d.worker.DeadLetters(worker.Filter{Limit: maxDeadLetters + 1})
	all := len(views) <= maxDeadLetters
	for _, v := range slices.Backward(views[:min(len(views), maxDeadLetters)]) {
		if err := yield(v); err != nil {
			return err
		}
	}
	if !all {
		return fmt.Errorf("%w: there are more, which are older; the list has the newest", api.ErrPartial)
	}
	return nil
}

// Command writes a person's word about a run that waits for one. It is obeyed
// when the engine has passed it on, in order with all else.
func (b backend) Command(ctx context.Context, verb, id string, by api.CommandRequest) error {
	v, err := b.find(ctx, id)
	if err != nil {
		return err
	}
	if v.DryRun {
		return fmt.Errorf("%w: run %s is a dry run: there is nothing to put right", api.ErrInvalid, id)
	}
	if v.Status != "failed" && v.Status != "in_doubt" {
		return fmt.Errorf("%w: run %s is %s; only one that failed or is in doubt can be %sed", api.ErrInvalid, id, v.Status, strings.TrimSuffix(verb, "e"))
	}
	return b.d.appendEvents(ctx, []record.Record{{Kind: record.KindCommand, Command: &record.Command{
		ID: uuid.Must(uuid.NewV7()).String(), Verb: verb, Run: id, By: by.By, Note: by.Note}}})
}

func (b backend) Reload(ctx context.Context) (api.Status, error) {
	before := b.d.rules.version()
	if err := b.d.reload("asked by the API"); err != nil {
		return api.Status{}, err
	}
	st := b.Status()
	if st.RuleSet != before {
		if c := b.d.decider.changed(ctx, st.RuleSet); c != nil {
			st.Resets, st.Kept = c.resets, map[string]int{}
			for _, k := range c.kept {
				st.Kept[k.Rule] = k.Held
			}
		}
	}
	return st, nil
}
