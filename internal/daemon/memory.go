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
// them; without a limit they add up to hundreds of megabytes under load.
const baseMemory = 160 << 20

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
		sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
			metrics.Read(sample)
			live := int64(sample[0].Value.Uint64())
			debug.SetMemoryLimit(max(baseMemory, live+live/4+40<<20))
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
