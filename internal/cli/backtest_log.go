package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"signalbox/internal/api"
	"signalbox/internal/backtest"
	"signalbox/internal/daemon"
	"signalbox/internal/eventlog"
	"signalbox/internal/record"
)

// batches is where a backtest's events come from.
type batches interface {
	// name says so to people.
	name() string
	// stretch is from when to when there are events; a zero begin is not known.
	stretch(ctx context.Context) (begin, end time.Time, err error)
	// active is the rule set in force.
	active(ctx context.Context) ([]byte, error)
	// read gives the batches from since on, to until or the end.
	read(ctx context.Context, since, until time.Time, fn func(*record.Batch) error) error
	// notes are what a reader of the report should know, after read.
	notes() []string
	close()
}

// storeLog is for the log's own messages: only what went wrong, or is waited
// for.
func (a *app) storeLog() *slog.Logger {
	return slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// folderLog reads a data folder on which no server runs.
type folderLog struct {
	r   *eventlog.Reader
	dir string
	st  eventlog.State
}

func (l *folderLog) name() string { return "data folder " + l.dir }

func (l *folderLog) stretch(ctx context.Context) (begin, end time.Time, err error) {
	l.st, err = l.r.State(ctx)
	return l.st.FirstTime, l.st.LastTime, err
}

func (l *folderLog) active(ctx context.Context) ([]byte, error) {
	return daemon.ActiveBundle(ctx, l.r, l.dir)
}

func (l *folderLog) read(ctx context.Context, since, until time.Time, fn func(*record.Batch) error) error {
	if l.st.Last < l.st.First {
		return nil
	}
	return decoded(ctx, fn, func(ctx context.Context, give func(eventlog.Raw) error) error {
		return l.r.RangeRaw(ctx, since, record.Position{Seq: l.st.Last}, []record.Subject{record.Events}, func(raw eventlog.Raw) error {
			if !until.IsZero() && raw.Time.After(until) {
				return eventlog.ErrStop
			}
			return give(raw)
		})
	})
}

func (l *folderLog) notes() []string { return nil }
func (l *folderLog) close()          { _ = l.r.Close() }

// serverLog reads through the API of the server that has the log.
type serverLog struct{ c *client }

func (l *serverLog) name() string { return "the log of the server at " + l.c.base }

func (l *serverLog) stretch(ctx context.Context) (begin, end time.Time, err error) {
	var st api.Status
	if err := l.c.get(ctx, "/api/v1/status", nil, &st); err != nil {
		return begin, end, err
	}
	if st.Log.Error != "" && st.Log.LastTime.IsZero() {
		return begin, end, fmt.Errorf("the server's log: %s", clean(st.Log.Error))
	}
	return st.Log.FirstTime, st.Log.LastTime, nil
}

func (l *serverLog) active(ctx context.Context) ([]byte, error) {
	resp, err := l.c.do(ctx, http.MethodGet, "/api/v1/log/rules", nil, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(io.LimitReader(resp.Body, 256<<20))
}

func (l *serverLog) read(ctx context.Context, since, until time.Time, fn func(*record.Batch) error) error {
	q := url.Values{}
	for name, t := range map[string]time.Time{"since": since, "until": until} {
		if !t.IsZero() {
			q.Set(name, t.Format(time.RFC3339Nano))
		}
	}
	return decoded(ctx, fn, func(ctx context.Context, give func(eventlog.Raw) error) error {
		resp, err := l.c.do(ctx, http.MethodGet, "/api/v1/log/batches", q, nil)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		return api.ReadBatches(resp.Body, func(b api.LogBatch) error { return give(eventlog.Raw(b)) })
	})
}

func (l *serverLog) notes() []string { return nil }
func (l *serverLog) close()          { l.c.http.CloseIdleConnections() }

// inFlight is how many batches may be decoded and not yet decided, each about
// 1 MB.
const inFlight = 8

// decoded reads batches with read, decodes them beside, and calls fn with each
// in its order, in the caller's goroutine.
func decoded(ctx context.Context, fn func(*record.Batch) error, read func(context.Context, func(eventlog.Raw) error) error) error {
	type job struct {
		raw  eventlog.Raw
		b    *record.Batch
		err  error
		done chan struct{}
	}
	work, order := make(chan *job, inFlight), make(chan *job, inFlight)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(order)
		defer close(work)
		return read(ctx, func(raw eventlog.Raw) error {
			j := &job{raw: raw, done: make(chan struct{})}
			for _, c := range []chan *job{work, order} {
				select {
				case c <- j:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			return nil
		})
	})
	for range min(2, runtime.GOMAXPROCS(0)) {
		g.Go(func() error {
			for j := range work {
				j.b, j.err = j.raw.Batch()
				close(j.done)
			}
			return nil
		})
	}
	g.Go(func() error {
		for j := range order {
			<-j.done
			if j.err != nil {
				return j.err
			}
			if err := fn(j.b); err != nil {
				return err
			}
		}
		return nil
	})
	return g.Wait()
}

// fileLog reads a file.
type fileLog struct {
	path  string
	in    io.ReadCloser
	f     *backtest.File
	ref   time.Time
	trial *daemon.Trial
	a     *app
}

func openFile(path string, a *app, o backtest.FileOptions, trial *daemon.Trial) (batches, error) {
	l := &fileLog{path: path, trial: trial, a: a, ref: time.Now()}
	if path == "-" {
		l.in = io.NopCloser(a.in)
	} else {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		l.in = file
		if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
			l.ref = info.ModTime()
		}
	}
	o.Reference = l.ref
	var err error
	if l.f, err = backtest.NewFile(l.in, o); err != nil {
		l.close()
		return nil, fmt.Errorf("--from %s: %w", path, err)
	}
	return l, nil
}

func (l *fileLog) name() string {
	if l.path == "-" {
		return "standard input"
	}
	return "file " + filepath.Base(l.path)
}

func (l *fileLog) stretch(context.Context) (begin, end time.Time, err error) {
	return time.Time{}, l.ref, nil
}

// active is that of the log that belongs to the configuration.
func (l *fileLog) active(ctx context.Context) ([]byte, error) {
	src, err := l.a.logSource(ctx, l.trial)
	if err != nil {
		return nil, err
	}
	defer src.close()
	return src.active(ctx)
}

func (l *fileLog) read(ctx context.Context, since, until time.Time, fn func(*record.Batch) error) error {
	for ctx.Err() == nil {
		b, err := l.f.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("--from %s: %w", l.path, err)
		}
		if b.Time.Before(since) || !until.IsZero() && b.Time.After(until) {
			continue
		}
		if err := fn(b); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (l *fileLog) notes() []string { return l.f.Counts().Notes() }
func (l *fileLog) close()          { _ = l.in.Close() }
