package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"signalbox/internal/api"
	"signalbox/internal/eventlog"
	"signalbox/internal/record"
	"signalbox/internal/worker"
)

const (
	// olderFor is for how long the log is searched for runs that a list has
	// room for: memory has only those since the start.
	olderFor = time.Second
	// olderStretch is how many sequences are searched at once at most. The first
	// are few: what is asked for is mostly at the log's end.
	olderStretch = 1024
)

// older finds runs that ended before this server started.
type older struct {
	log  *eventlog.Log
	find func(ctx context.Context, id string) (worker.RunView, error)
	now  func() time.Time
}

// add gives views, which memory has, newest first, and runs of the log until there
// are as many as q asks for, in the same order. The error is an api.ErrPartial
// where olderFor was over before the log's beginning was reached.
func (o older) add(ctx context.Context, q *api.RunQuery, views []worker.RunView) ([]worker.RunView, error) {
	st, err := o.log.State(ctx)
	if err != nil {
		return views, err
	}
	known := map[string]bool{}
	for i := range views {
		known[views[i].ID] = true
	}
	var partial error
	until := o.now().Add(olderFor)
	over := func() bool {
		if partial == nil && o.now().After(until) {
			partial = fmt.Errorf("%w: the log was searched for %s, from its end; older runs may be missing", api.ErrPartial, olderFor)
		}
		return partial != nil
	}
	stretch := uint64(firstWindow)
	for end := st.Last; end >= st.First && end > 0 && len(views) < q.Limit && !over(); stretch = min(4*stretch, olderStretch) {
		first := max(st.First, end-min(end-1, stretch-1), 1)
		ids, err := o.decidedIn(ctx, q, first, end)
		if err != nil {
			return views, err
		}
		for _, id := range slices.Backward(ids) {
			if known[id] || len(views) >= q.Limit || over() {
				continue
			}
			v, err := o.find(ctx, id)
			if errors.Is(err, worker.ErrUnknownRun) {
				continue
			}
			if err != nil {
				return views, err
			}
			v.Steps, v.Event, v.Events = nil, nil, nil
			if runFits(q, &v) {
				known[id] = true
				views = append(views, v)
			}
		}
		end = first - 1
	}
	slices.SortStableFunc(views, func(x, y worker.RunView) int {
		a, _ := record.ParsePosition(x.Decided)
		b, _ := record.ParsePosition(y.Decided)
		return cmp.Or(cmp.Compare(b.Seq, a.Seq), cmp.Compare(b.Index, a.Index))
	})
	return views, partial
}

// decidedIn lists the runs that were decided in a stretch of the log, in order.
func (o older) decidedIn(ctx context.Context, q *api.RunQuery, first, last uint64) ([]string, error) {
	var ids []string
	err := o.log.Range(ctx, before(first), record.Position{Seq: last}, []record.Subject{record.Decisions}, func(batch *record.Batch) error {
		for i := range batch.Records {
			d := batch.Records[i].Decision
			if d == nil || q.Replay && !d.Replay {
				continue
			}
			for j := range d.Runs {
				if r := &d.Runs[j]; q.Rule == "" || r.Rule == q.Rule {
					ids = append(ids, strings.Clone(r.Run))
				}
			}
		}
		return nil
	})
	if errors.Is(err, eventlog.ErrStop) {
		err = nil
	}
	return ids, err
}

func runFits(q *api.RunQuery, v *worker.RunView) bool {
	return (q.Rule == "" || v.Rule == q.Rule) && (q.Device == "" || strings.EqualFold(v.Device, q.Device)) &&
		(q.State == "" || v.Status == q.State) && (!q.Replay || v.Replay)
}
