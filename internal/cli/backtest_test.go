package cli

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"signalbox/event"
	"signalbox/internal/eventlog"
	"signalbox/internal/record"
)

// rawBatch is the n-th batch of a log.
func rawBatch(n int) eventlog.Raw {
	b := &record.Batch{Subject: record.Events, Number: uint64(n), Records: []record.Record{
		{Kind: record.KindEvent, Event: &event.Event{ID: event.ID(fmt.Sprint(n)), Type: "interface_down"}}}}
	return eventlog.Raw{Seq: uint64(n), Time: time.Unix(int64(n), 0), Data: record.Encode(b)}
}

// Batches are decoded beside each other and come in their order all the same.
func TestDecodedKeepsTheOrder(t *testing.T) {
	const n = 500
	next := 1
	err := decoded(t.Context(), func(b *record.Batch) error {
		if b.Seq != uint64(next) || string(b.Records[0].Event.ID) != fmt.Sprint(next) {
			return fmt.Errorf("batch %d, want %d", b.Seq, next)
		}
		next++
		return nil
	}, func(_ context.Context, give func(eventlog.Raw) error) error {
		for i := range n {
			if err := give(rawBatch(i + 1)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || next != n+1 {
		t.Errorf("%d batches, %v", next-1, err)
	}
}

// Whatever fails ends it all, with its own error.
func TestDecodedFails(t *testing.T) {
	mine := errors.New("mine")
	endless := func(_ context.Context, give func(eventlog.Raw) error) error {
		for i := 1; ; i++ {
			if err := give(rawBatch(i)); err != nil {
				return err
			}
		}
	}
	for _, tt := range []struct {
		name string
		fn   func(*record.Batch) error
		read func(context.Context, func(eventlog.Raw) error) error
		want error
	}{
		{"who takes them", func(b *record.Batch) error {
			if b.Seq == 20 {
				return mine
			}
			return nil
		}, endless, mine},
		{"who reads them", func(*record.Batch) error { return nil }, func(_ context.Context, give func(eventlog.Raw) error) error {
			return errors.Join(give(rawBatch(1)), mine)
		}, mine},
		{"a batch", func(*record.Batch) error { return nil }, func(_ context.Context, give func(eventlog.Raw) error) error {
			return give(eventlog.Raw{Seq: 1, Data: []byte("none")})
		}, record.ErrBadBatch},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := decoded(t.Context(), tt.fn, tt.read); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := decoded(ctx, func(b *record.Batch) error {
		if b.Seq == 5 {
			cancel()
		}
		return nil
	}, endless)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("stopped by its user: %v", err)
	}
}

func TestBar(t *testing.T) {
	for share, want := range map[float64]string{-1: "", 0: "[........................]   0%", 0.5: "[############............]  50%", 1: "[########################] 100%"} {
		if got := bar(share); got != want {
			t.Errorf("bar(%v) = %q, want %q", share, got, want)
		}
	}
}

func TestTimesCountBackFromTheEnd(t *testing.T) {
	end := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct{ since, until, wantSince, wantUntil string }{
		{"", "", "", ""},
		{"1h", "", "2026-11-24T11:00:00Z", ""},
		{"1h", "2h", "2026-11-24T09:00:00Z", "2026-11-24T10:00:00Z"},
		{"1d", "2026-11-20T00:00:00Z", "2026-11-19T00:00:00Z", "2026-11-20T00:00:00Z"},
	} {
		f := backtestFlags{since: tt.since, until: tt.until}
		since, until, err := f.times(end)
		show := func(t time.Time) string {
			if t.IsZero() {
				return ""
			}
			return t.UTC().Format(time.RFC3339)
		}
		if err != nil || show(since) != tt.wantSince || show(until) != tt.wantUntil {
			t.Errorf("--since %q --until %q: %s to %s, %v", tt.since, tt.until, show(since), show(until), err)
		}
	}
}
