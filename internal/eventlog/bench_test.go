package eventlog_test

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"signalbox/event"
	"signalbox/internal/record"
)

// typical is a syslog event as the built-in mappings make it: 444 bytes or so
// in the log.
func typical(i int) record.Record {
	now := time.Now()
	return record.Record{Kind: record.KindEvent, Event: &event.Event{
		ID: event.ID(fmt.Sprintf("01930f2a-7d53-7c1e-8f1a-%012x", i)), Source: "campus", Peer: "192.0.2.7:514",
		Type: "interface_down", Device: fmt.Sprintf("sw-%d", i%500), Interface: "GigabitEthernet1/0/12", Time: now, Received: now,
		TraceParent: fmt.Sprintf("00-4bf92f3577b34da6%016x-00f067aa0ba902b7-01", i), Mapping: "cisco_ios@1",
		Data: json.RawMessage(`{"admin_status":"up","reason":"link","severity":3,"facility":"local7"}`),
		Raw:  []byte(fmt.Sprintf("<187>%d: Nov 24 12:00:00.123 UTC: %%LINK-3-UPDOWN: Interface GigabitEthernet1/0/12, changed state to down", i))}}
}

// BenchmarkAppend is durable records a second, by callers that wait and by the
// most that goes into a batch.
func BenchmarkAppend(b *testing.B) {
	for _, batch := range []int{256, 1024} {
		for _, callers := range []int{1, 64, 1024} {
			b.Run(fmt.Sprintf("batch=%d/callers=%d", batch, callers), func(b *testing.B) {
				cfg := config(b.TempDir())
				cfg.MaxBytes, cfg.BatchRecords = 4<<30, batch
				l := open(b, cfg)
				var next atomic.Int64
				var wg sync.WaitGroup
				b.ResetTimer()
				for range callers {
					wg.Go(func() {
						done := make(chan error, 1)
						r := []record.Record{typical(1)}
						for next.Add(1) <= int64(b.N) {
							err := l.Append(context.Background(), record.Events, r, func(_ []record.Position, err error) { done <- err })
							if err == nil {
								err = <-done
							}
							if err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
			})
		}
	}
}

// BenchmarkAppendStream is what a source that does not wait for each event
// gets: the queue bounds it.
func BenchmarkAppendStream(b *testing.B) {
	for _, batch := range []int{256, 1024} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			cfg := config(b.TempDir())
			cfg.MaxBytes, cfg.BatchRecords = 4<<30, batch
			l := open(b, cfg)
			var wg sync.WaitGroup
			recs := make([]record.Record, 64)
			for i := range recs {
				recs[i] = typical(i)
			}
			b.ResetTimer()
			for n := 0; n < b.N; n += len(recs) {
				wg.Add(1)
				if err := l.Append(context.Background(), record.Events, recs, func([]record.Position, error) { wg.Done() }); err != nil {
					b.Fatal(err)
				}
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// BenchmarkRead is records a second of a reader that catches up.
func BenchmarkRead(b *testing.B) {
	cfg := config(b.TempDir())
	cfg.MaxBytes = 4 << 30
	l := open(b, cfg)
	const n = 200_000
	var wg sync.WaitGroup
	for i := 0; i < n; i += 64 {
		recs := make([]record.Record, 64)
		for j := range recs {
			recs[j] = typical(i + j)
		}
		wg.Add(1)
		if err := l.Append(context.Background(), record.Events, recs, func([]record.Position, error) { wg.Done() }); err != nil {
			b.Fatal(err)
		}
	}
	wg.Wait()
	st, err := l.State(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	read := 0
	for b.Loop() {
		err := l.Range(b.Context(), record.Position{}, record.Position{Seq: st.Last}, nil, func(batch *record.Batch) error {
			read += len(batch.Records)
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(read)/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkTail is how long it takes from Append to a follower, at a rate.
func BenchmarkTail(b *testing.B) {
	for _, rate := range []int{100, 5000} {
		b.Run(fmt.Sprintf("%d a second", rate), func(b *testing.B) {
			l := open(b, config(b.TempDir()))
			took := make([]time.Duration, 0, 1<<16)
			ctx, cancel := context.WithCancel(b.Context())
			ended := make(chan error, 1)
			var got atomic.Int64
			go func() {
				ended <- l.Read(ctx, record.Position{}, []record.Subject{record.Events}, func(batch *record.Batch) error {
					for _, r := range batch.Records {
						took = append(took, time.Since(r.Event.Received))
					}
					got.Add(int64(len(batch.Records)))
					return nil
				})
			}()
			n := rate * 2
			tick := time.NewTicker(time.Second / time.Duration(rate))
			b.ResetTimer()
			for i := range n {
				<-tick.C
				if err := l.Append(ctx, record.Events, []record.Record{typical(i)}, func([]record.Position, error) {}); err != nil {
					b.Fatal(err)
				}
			}
			for got.Load() < int64(n) {
				<-tick.C
			}
			cancel()
			if err := <-ended; err != nil {
				b.Fatal(err)
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "µs-p50")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "µs-p99")
		})
	}
}

// BenchmarkFollowers is what a log at 20,000 events a second with four readers
// costs: share of one core, and memory taken from the system.
func BenchmarkFollowers(b *testing.B) {
	for _, followers := range []int{0, 4} {
		b.Run(fmt.Sprintf("followers=%d", followers), func(b *testing.B) {
			l := open(b, config(b.TempDir()))
			ctx, cancel := context.WithCancel(b.Context())
			var readers sync.WaitGroup
			var got atomic.Int64
			for range followers {
				readers.Go(func() {
					if err := l.Read(ctx, record.Position{}, nil, func(batch *record.Batch) error {
						got.Add(int64(len(batch.Records)))
						return nil
					}); err != nil {
						b.Error(err)
					}
				})
			}
			recs := make([]record.Record, 20)
			for i := range recs {
				recs[i] = typical(i)
			}
			const n = 60_000
			tick := time.NewTicker(time.Millisecond)
			var before, after syscall.Rusage
			syscall.Getrusage(syscall.RUSAGE_SELF, &before)
			b.ResetTimer()
			began := time.Now()
			for i := 0; i < n; i += len(recs) {
				<-tick.C
				if err := l.Append(ctx, record.Events, recs, func([]record.Position, error) {}); err != nil {
					b.Fatal(err)
				}
			}
			took := time.Since(began)
			for got.Load() < n*int64(followers) {
				<-tick.C
			}
			syscall.Getrusage(syscall.RUSAGE_SELF, &after)
			cancel()
			readers.Wait()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			cpu := time.Duration(after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano())
			b.ReportMetric(100*cpu.Seconds()/took.Seconds(), "%core")
			b.ReportMetric(n/took.Seconds(), "events/s")
			b.ReportMetric(float64(m.Sys-m.HeapReleased)/(1<<20), "MB")
		})
	}
}
