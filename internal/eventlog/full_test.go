package eventlog_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"signalbox/internal/eventlog"
	"signalbox/internal/record"
)

// smallDisk mounts a tmpfs of so many MiB.
func smallDisk(t *testing.T, mib int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", mib)); err != nil {
		t.Skipf("cannot mount a small disk (root is needed): %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// eventually waits for a condition, with a deadline.
func eventually(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	within = max(within, 30*time.Second) // a busy machine is slow, not wrong
	deadline := time.Now().Add(within)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", within, what)
		}
		<-time.After(10 * time.Millisecond)
	}
}

// big is an event whose bytes do not compress.
func big(id string, size int) record.Record {
	r := ev(id)
	raw := make([]byte, size)
	x := uint64(len(id))*2654435761 + uint64(id[len(id)-1])
	for i := range raw {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		raw[i] = byte(x)
	}
	r.Event.Raw = raw
	return r
}

func TestDiskFull(t *testing.T) {
	for name, minFree := range map[string]int64{"really full, no guard": -1, "guarded": 16 << 20} {
		t.Run(name, func(t *testing.T) {
			dir := smallDisk(t, 64)
			cfg := config(filepath.Join(dir, "data"))
			cfg.MinFree = minFree
			l := open(t, cfg)
			acked := fillUp(t, l, filepath.Join(dir, "ballast"))

			if minFree > 0 {
				// The guard looks every quarter of a second.
				err := l.Health()
				for end := time.Now().Add(5 * time.Second); err == nil && time.Now().Before(end); err = l.Health() {
					<-time.After(10 * time.Millisecond)
				}
				if !errors.Is(err, eventlog.ErrUnavailable) || !strings.Contains(err.Error(), "disk") {
					t.Errorf("health = %v, want ErrUnavailable that names the disk", err)
				}
				at := mustAdd(t, l, record.Journal, record.Record{Kind: record.KindRunEnd, RunEnd: &record.RunEnd{Run: "r", Outcome: record.Succeeded}})
				if len(at) != 1 {
					t.Errorf("the journal was not written from the reserve: %v", at)
				}
			}
			if err := os.Remove(filepath.Join(dir, "ballast")); err != nil {
				t.Fatal(err)
			}
			eventually(t, 10*time.Second, "events are taken again", func() bool {
				_, err := add(l, record.Events, ev("after"))
				return err == nil
			})
			ids, _, err := readAll(t, l)
			if err != nil {
				t.Fatal(err)
			}
			there := make(map[string]bool)
			for _, id := range ids {
				there[id] = true
			}
			for id := range acked {
				if !there[id] {
					t.Errorf("%s was acknowledged and is lost", id)
				}
			}
			if err := l.Health(); err != nil {
				t.Errorf("health afterwards: %v", err)
			}
		})
	}
}

// fillUp puts ballast on the disk and appends until an event is refused.
func fillUp(t *testing.T, l *eventlog.Log, ballast string) map[string]bool {
	t.Helper()
	if err := os.WriteFile(ballast, make([]byte, 30<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	acked := make(map[string]bool)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 1000 {
				id := fmt.Sprintf("%d-%d", w, i)
				_, err := add(l, record.Events, big(id, 50_000))
				if err != nil {
					if !errors.Is(err, eventlog.ErrUnavailable) || !strings.Contains(err.Error(), "disk") {
						t.Errorf("refused with %v, want ErrUnavailable that names the disk", err)
					}
					return
				}
				mu.Lock()
				acked[id] = true
				mu.Unlock()
			}
			t.Error("1,000 events fitted on a small disk")
		})
	}
	wg.Wait()
	return acked
}
