package daemon

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"signalbox/internal/record"
)

// chainLog is a log of decisions, each about one position.
type chainLog struct {
	mu      sync.Mutex
	batches []*record.Batch
	read    int // batches that were read
}

func (l *chainLog) add() *record.Batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := uint64(len(l.batches) + 1)
	b := &record.Batch{Seq: 2 * n, Subject: record.Decisions, From: record.Position{Seq: n - 1}, Through: record.Position{Seq: n}}
	l.batches = append(l.batches, b)
	return b
}

func (l *chainLog) Range(_ context.Context, from, to record.Position, _ []record.Subject, fn func(*record.Batch) error) error {
	l.mu.Lock()
	all := slices.Clone(l.batches)
	l.mu.Unlock()
	for _, b := range all {
		if b.Seq >= from.Seq && b.Seq <= to.Seq {
			l.read++
			if err := fn(b); err != nil {
				return err
			}
		}
	}
	return nil
}

var errAll = errors.New("all came")

// follow runs a following that ends with batch last, and gives the sequences
// that were applied.
func follow(t *testing.T, f *following, last uint64, slow <-chan struct{}) (wait func() []uint64) {
	t.Helper()
	var got []uint64
	f.apply = func(b *record.Batch) error {
		if slow != nil {
			<-slow
		}
		got = append(got, b.Seq)
		if b.Seq == last {
			return errAll
		}
		return nil
	}
	ended := make(chan error, 1)
	go func() { ended <- f.run(t.Context()) }()
	return func() []uint64 {
		if err := <-ended; !errors.Is(err, errAll) {
			t.Errorf("it ended with %v", err)
		}
		return got
	}
}

func sequences(n int) (want []uint64) {
	for i := range n {
		want = append(want, uint64(2*(i+1)))
	}
	return want
}

func TestDecisionsComeOnceAndInOrder(t *testing.T) {
	for name, tt := range map[string]struct {
		before int // in the log when it begins
		handed func(i int) bool
		hold   bool // the worker takes nothing until all were handed over
	}{
		"all by the relay":            {handed: func(int) bool { return true }},
		"some before the start":       {before: 10, handed: func(int) bool { return true }},
		"of those some handed too":    {before: 10, handed: func(i int) bool { return i >= 5 }},
		"a worker that is far behind": {handed: func(int) bool { return true }, hold: true},
	} {
		t.Run(name, func(t *testing.T) {
			const n = 100
			l := &chainLog{}
			f := &following{relay: newRelay(), log: l}
			for i := range tt.before {
				if b := l.add(); tt.handed(i) && i >= 5 && tt.before > 0 {
					f.relay.hand(b)
				}
			}
			slow := make(chan struct{})
			if !tt.hold {
				close(slow)
			}
			wait := follow(t, f, 2*n, slow)
			for i := tt.before; i < n; i++ {
				if b := l.add(); tt.handed(i) {
					f.relay.hand(b)
				}
			}
			if tt.hold {
				close(slow)
			}
			if got := wait(); !slices.Equal(got, sequences(n)) {
				t.Errorf("applied %v", got)
			}
		})
	}
}

// A batch that does not begin where the one before ended is no reason to go on:
// what is between them is read from the log.
func TestAGapIsReadFromTheLog(t *testing.T) {
	l := &chainLog{}
	f := &following{relay: newRelay(), log: l}
	for i := range 20 {
		if b := l.add(); i >= 10 && i%3 == 0 || i == 19 {
			f.relay.near <- b
		}
	}
	f.at, f.through = record.Position{Seq: 10, Index: 9}, record.Position{Seq: 5}
	l.batches = l.batches[:10] // the rest comes after the first look
	rest := &chainLog{}
	for range 20 {
		rest.add()
	}
	f.log = &late{first: l, then: rest}
	got := follow(t, f, 40, nil)()
	if want := sequences(20)[5:]; !slices.Equal(got, want) {
		t.Errorf("applied %v, want %v", got, want)
	}
}

type late struct {
	first, then *chainLog
	n           int
}

func (l *late) Range(ctx context.Context, from, to record.Position, s []record.Subject, fn func(*record.Batch) error) error {
	if l.n++; l.n == 1 {
		return l.first.Range(ctx, from, to, s, fn)
	}
	return l.then.Range(ctx, from, to, s, fn)
}

// Where a stretch has no length its batch begins and ends as the next does: only
// the relay knows that it was left out.
func TestAGapOfNoLengthIsReadToo(t *testing.T) {
	l := &chainLog{}
	f := &following{relay: newRelay(), log: &late{first: &chainLog{}, then: l}}
	f.relay.more = make(chan struct{}) // is not looked at
	first := l.add()
	for range relayBatches {
		f.relay.near <- first
	}
	beginning := l.add()
	beginning.Through = beginning.From
	f.relay.hand(beginning)
	end := l.add()
	end.From = beginning.From
	for range relayBatches {
		<-f.relay.near
	}
	f.relay.hand(first)
	f.relay.hand(end)
	if got := follow(t, f, 6, nil)(); !slices.Equal(got, sequences(3)) {
		t.Errorf("applied %v", got)
	}
}
