package eventlog_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"signalbox/internal/eventlog"
	"signalbox/internal/record"
)

type rawRanger interface {
	State(ctx context.Context) (eventlog.State, error)
	RangeRaw(ctx context.Context, t time.Time, to record.Position, subjects []record.Subject, fn func(eventlog.Raw) error) error
}

func rawIDs(t *testing.T, l rawRanger, since time.Time) (ids []string, err error) {
	t.Helper()
	st, err := l.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err = l.RangeRaw(ctx, since, record.Position{Seq: st.Last}, []record.Subject{record.Events}, func(r eventlog.Raw) error {
		b, err := r.Batch()
		if err != nil {
			return err
		}
		if b.Seq == 0 || b.Time.IsZero() || b.Subject != record.Events {
			t.Errorf("batch %d of %s is of %q", b.Seq, b.Time, b.Subject)
		}
		for _, rec := range b.Records {
			ids = append(ids, string(rec.Event.ID))
		}
		return nil
	})
	return ids, err
}

func TestRawIsWhatWasWritten(t *testing.T) {
	l := open(t, config(t.TempDir()))
	mustAdd(t, l, record.Events, ev("1"), ev("2"))
	mustAdd(t, l, record.Journal, record.Record{Kind: record.KindRunEnd, RunEnd: &record.RunEnd{Run: "r", Outcome: record.Succeeded}})
	mustAdd(t, l, record.Events, ev("3"))
	if ids, err := rawIDs(t, l, time.Time{}); err != nil || fmt.Sprint(ids) != "[1 2 3]" {
		t.Errorf("read %v, %v", ids, err)
	}
	if ids, err := rawIDs(t, l, time.Now().Add(time.Hour)); err != nil || len(ids) != 0 {
		t.Errorf("of the future %v, %v", ids, err)
	}
}

// A reader changes nothing, and keeps a server from starting while it reads.
func TestReader(t *testing.T) {
	cfg := config(t.TempDir())
	l, err := eventlog.Open(t.Context(), cfg, quiet(t))
	if err != nil {
		t.Fatal(err)
	}
	mustAdd(t, l, record.Events, ev("1"), ev("2"))
	if _, err := eventlog.OpenReader(t.Context(), cfg, quiet(t)); !errors.Is(err, eventlog.ErrLocked) {
		t.Fatalf("beside the server: %v, want ErrLocked", err)
	}
	closeLog(t, l)
	before, err := os.ReadFile(filepath.Join(cfg.Dir, "checkpoint.json"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := eventlog.OpenReader(t.Context(), cfg, quiet(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := eventlog.Open(t.Context(), cfg, quiet(t)); !errors.Is(err, eventlog.ErrLocked) {
		t.Errorf("a server beside the reader: %v, want ErrLocked", err)
	}
	ids, err := rawIDs(t, r, time.Time{})
	if err != nil || fmt.Sprint(ids) != "[1 2]" {
		t.Errorf("read %v, %v", ids, err)
	}
	if b, err := r.Last(t.Context(), record.Events); err != nil || len(b.Records) != 2 {
		t.Errorf("the last batch: %v, %v", b, err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if after, err := os.ReadFile(filepath.Join(cfg.Dir, "checkpoint.json")); err != nil || string(after) != string(before) {
		t.Errorf("the checkpoint was changed (%v)", err)
	}
	l = open(t, cfg)
	mustAdd(t, l, record.Events, ev("3"))
	if ids, err := rawIDs(t, l, time.Time{}); err != nil || fmt.Sprint(ids) != "[1 2 3]" {
		t.Errorf("after it %v, %v", ids, err)
	}
}

func TestReaderMakesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	if _, err := eventlog.OpenReader(t.Context(), config(dir), quiet(t)); err == nil {
		t.Error("opened what is not there")
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("it made the folder: %v", err)
	}
}

// What is missing or changed is found, and not read over.
func TestReaderSeesDamage(t *testing.T) {
	dir, _ := oldLog(t, true)
	cut := blocks(t, dir)
	if err := os.Remove(cut[1]); err != nil {
		t.Fatal(err)
	}
	r, err := eventlog.OpenReader(t.Context(), small(dir), quiet(t))
	if err == nil {
		_, err = rawIDs(t, r, time.Time{})
		if cerr := r.Close(); cerr != nil {
			t.Error(cerr)
		}
	}
	if !errors.Is(err, eventlog.ErrCorrupt) {
		t.Errorf("a block is missing: %v, want ErrCorrupt", err)
	}
}
