package daemon

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"time"
)

// baseMemory is what the collector keeps the process below when little is in
// use. JetStream keeps the buffers of blocks for seconds after it has written
// them; without a limit they add up to hundreds of megabytes under load. Under a
// tight one it is collected again and again, which costs a quarter of what can be
// taken in.
const baseMemory = 288 << 20

// idleMemory is the same when nothing has been collected for quietTicks.
const (
	idleMemory = 72 << 20
	quietTicks = 10
)

// gcPercent trades memory that the limit allows anyway for half the collector's
// work under load.
const gcPercent = 300

// limitMemory sets the collector's limit to a margin above what is really in
// use, and follows it as it grows: a fixed limit below the live heap would only
// burn processor time. GOMEMLIMIT and GOGC in the environment are left as they are.
func limitMemory(ctx context.Context) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	debug.SetMemoryLimit(baseMemory)
	go func() {
		t := time.NewTicker(500 * time.Millisecond)
		defer t.Stop()
		sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/cycles/total:gc-cycles"}}
		cycles, quiet := uint64(0), 0
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
			metrics.Read(sample)
			live, now := int64(sample[0].Value.Uint64()), sample[1].Value.Uint64()
			if quiet++; now != cycles {
				cycles, quiet = now, 0
			}
			limit := max(baseMemory, live+live/2+64<<20)
			if quiet >= quietTicks {
				// Nothing much happens: what the last burst needed goes back.
				limit = max(idleMemory, live+live/8+16<<20)
			}
			debug.SetMemoryLimit(limit)
		}
	}()
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
