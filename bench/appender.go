package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/uuid"

	"signalbox/event"
	"signalbox/internal/eventlog"
	"signalbox/internal/record"
)

// appender writes single events to a log of its own, without sources, engine
// and workers: what the log alone can do by the most that goes into a batch.
// Callers do not wait for each; the log's queue bounds them.
func appender(ctx context.Context, b *bench) ([]row, error) {
	var rows []row
	for _, size := range []int{1, 16, 64, 256, 1024, 4096} {
		v, bytes, err := b.append(ctx, size, b.seconds(2))
		if err != nil {
			return rows, err
		}
		rows = append(rows, row{what: fmt.Sprintf("batches of at most %d", size), figure: fmt.Sprintf("%s, %d bytes of disk each", rate(v, "events"), bytes)})
	}
	return rows, nil
}

func (b *bench) append(ctx context.Context, size int, d time.Duration) (perSec float64, bytes int, err error) {
	cfg := eventlog.DefaultConfig(filepath.Join(b.dir, fmt.Sprintf("appender-%d", size)))
	defer os.RemoveAll(cfg.Dir)
	cfg.BatchRecords, cfg.ScrubBytes = size, 0
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return 0, 0, err
	}
	l, err := eventlog.Open(ctx, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return 0, 0, err
	}
	defer l.Close(context.WithoutCancel(ctx))
	all := make([]record.Record, 16<<10) // all different: batches are compressed
	for i := range all {
		all[i] = typical(i)
	}
	at, part := 0, min(size, 16) // as many as one call brings
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error
	n := 0
	begun := time.Now()
	for time.Since(begun) < d {
		wg.Add(1)
		recs := all[at : at+part]
		at = (at + part) % len(all)
		n += part
		err := l.Append(ctx, record.Events, recs, func(_ []record.Position, err error) {
			if err != nil {
				mu.Lock()
				failed = err
				mu.Unlock()
			}
			wg.Done()
		})
		if err != nil {
			return 0, 0, err
		}
	}
	wg.Wait()
	took := time.Since(begun)
	st, err := l.State(ctx)
	if err == nil {
		err = failed
	}
	return perSecond(n, took), int(st.Bytes) / max(n, 1), err
}

// typical is a syslog event as the built-in mappings make it.
func typical(i int) record.Record {
	now := time.Now()
	id := uuid.Must(uuid.NewV7())
	port := fmt.Sprintf("GigabitEthernet%d/0/%d", i%8+1, i%48+1)
	return record.Record{Kind: record.KindEvent, Event: &event.Event{
		ID: event.ID(id.String()), Source: "campus", Peer: fmt.Sprintf("192.0.2.%d:514", i%250), Type: "interface_down",
		Device: fmt.Sprintf("sw-%d", i%500), Interface: port, Time: now, Received: now,
		TraceParent: fmt.Sprintf("00-%x-%x-00", id[:], id[8:]), Mapping: "cisco_ios.link@1",
		Data: fmt.Appendf(nil, `{"layer":"link","oper_status":"down","message":"Interface %s, changed state to down"}`, port),
		Raw:  fmt.Appendf(nil, "<187>%d: Nov 24 12:00:00.123 UTC: %%LINK-3-UPDOWN: Interface %s, changed state to down", i, port)}}
}
