package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"signalbox/internal/api"
	"signalbox/internal/eventlog"
	"signalbox/internal/ledger"
	"signalbox/internal/record"
	"signalbox/internal/situation"
)

// bookkeeper keeps the books of the log.
type bookkeeper struct {
	log    *eventlog.Log
	state  stateDir
	logger *slog.Logger

	saving sync.Mutex // held while the files are written

	mu    sync.Mutex
	books *ledger.Books
	// situations is a fold over the same batches.
	situations *situation.Book
	watching   map[chan situation.Situation]bool
}

func newBookkeeper(l *eventlog.Log, state stateDir, logger *slog.Logger) *bookkeeper {
	b := &bookkeeper{log: l, state: state, logger: logger, books: &ledger.Books{},
		situations: &situation.Book{}, watching: map[chan situation.Situation]bool{}}
	_, problems := state.load("books", func(data []byte) error {
		_, body, err := unseal(data)
		if err != nil {
			return err
		}
		books, err := ledger.Restore(body)
		if err == nil {
			b.books = books
		}
		return err
	})
	if problems != nil {
		logger.Warn("the snapshot of the books cannot be used; the log is counted again", "err", problems)
	}
	b.loadSituations()
	return b
}

// from is the position after which the books are to be counted.
func (b *bookkeeper) from() record.Position {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.situations.Through.Less(b.books.Through) {
		return b.situations.Through
	}
	return b.books.Through
}

// count takes a batch; those that were counted before are passed over.
func (b *bookkeeper) count(batch *record.Batch) {
	b.mu.Lock()
	b.books.Apply(batch)
	b.tellSituations(b.situations.Apply(batch))
	b.mu.Unlock()
}

func (b *bookkeeper) snapshot() *ledger.Books {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.books.Clone()
}

func (b *bookkeeper) save() {
	b.saving.Lock()
	defer b.saving.Unlock()
	books := b.snapshot()
	data, err := books.Marshal()
	if err == nil {
		err = b.state.save("books", seal(books.Through, data))
	}
	if err != nil {
		b.logger.Warn("the snapshot of the books could not be written", "err", err)
	}
	b.saveSituations()
}

// ledger makes the report of the books. Counting is behind the log by
// moments, so what was logged when it was asked is waited for.
func (b *bookkeeper) ledger(ctx context.Context, started time.Time, intake []api.SourceStatus) (*api.Ledger, error) {
	st, err := b.log.State(ctx)
	if err != nil {
		return nil, err
	}
	wait, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for tick := time.NewTicker(5 * time.Millisecond); ; {
		books := b.snapshot()
		if books.Through.Seq >= st.Last || st.Last < st.First {
			tick.Stop()
			return report(books, started, intake), nil
		}
		select {
		case <-tick.C:
		case <-wait.Done():
			tick.Stop()
			l := report(books, started, intake)
			l.Problems = append(l.Problems, fmt.Sprintf("the books are at %s and the log ends at %d: they are being counted", books.Through, st.Last))
			return l, nil
		}
	}
}

func report(books *ledger.Books, started time.Time, intake []api.SourceStatus) *api.Ledger {
	l := &api.Ledger{Started: started, Intake: intake, Log: books, Open: books.Runs.Open(), Pending: books.Undecided(), Problems: []string{}}
	for _, s := range intake {
		if s.InFlight < 0 {
			l.Problems = append(l.Problems, fmt.Sprintf("source %s: %d more were settled than received", s.Name, -s.InFlight))
		}
	}
	// Where retention took the beginning, what was decided about it may be
	// counted without it.
	if books.Partial { // what was decided about events that have left is counted without them
		l.Pending, l.Open = max(l.Pending, 0), max(l.Open, 0)
	}
	if !books.Partial && l.Pending < 0 {
		l.Problems = append(l.Problems, fmt.Sprintf("%d more events were decided than logged", -l.Pending))
	}
	if !books.Partial && l.Open < 0 {
		l.Problems = append(l.Problems, fmt.Sprintf("%d more runs ended than started", -l.Open))
	}
	l.Balanced = len(l.Problems) == 0
	return l
}

// verify reads the whole log.
func (b *bookkeeper) verify(ctx context.Context, started time.Time, intake []api.SourceStatus) (*api.Ledger, error) {
	begin := time.Now()
	st, err := b.log.State(ctx)
	if err != nil {
		return nil, err
	}
	a := ledger.NewAudit()
	if st.Last >= st.First {
		err = b.log.Range(ctx, record.Position{}, record.Position{Seq: st.Last}, nil, func(batch *record.Batch) error {
			a.Apply(batch)
			return nil
		})
	}
	books := a.Books.Clone()
	l := report(books, started, intake)
	if err != nil {
		l.Problems = append(l.Problems, err.Error())
	}
	l.Problems = append(l.Problems, a.Problems...)
	if a.More > 0 {
		l.Problems = append(l.Problems, fmt.Sprintf("and %d more", a.More))
	}
	l.Balanced = len(l.Problems) == 0
	l.Verified, l.Took = true, time.Since(begin).Round(time.Millisecond).String()
	return l, nil
}
