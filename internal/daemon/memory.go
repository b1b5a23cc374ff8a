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

// busyMemory is the same while many records are logged: under the tighter limit
// all is collected again and again, which costs a quarter of what can be taken
// in. What is refused earns nobody this room.
const (
	busyMemory  = 304 << 20
	busyRecords = 200 // a tick
	busyTicks   = 50  // that it lasts after the last such tick
)

// idleMemory is the same when nothing has been collected for quietTicks.
const (
	idleMemory = 72 << 20
	quietTicks = 50
)

const memoryTick = 100 * time.Millisecond

// gcPercent trades memory that the limit allows anyway for half the collector's
// work under load.
const gcPercent = 300

// limitMemory sets the collector's limit to a margin above what is really in
// use, and follows it as it grows: a fixed limit below the live heap would only
// burn processor time. logged counts the records that were logged. GOMEMLIMIT and
// GOGC in the environment are left as they are. loading says that rules are being
// compiled: much is in use then that was not at the last collection.
func limitMemory(ctx context.Context, logged func() uint64, loading func() bool) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	debug.SetMemoryLimit(baseMemory)
	go func() {
		t := time.NewTicker(memoryTick)
		defer t.Stop()
		sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/cycles/total:gc-cycles"}}
		cycles, quiet := uint64(0), 0
		records, busy := logged(), 0
		was := int64(baseMemory)
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
			n := logged()
			if busy = max(busy-1, 0); n-records >= busyRecords {
				busy = busyTicks
			}
			records = n
			limit := max(baseMemory, live+live/4+40<<20)
			if busy > 0 {
				limit = max(busyMemory, live+live/2+64<<20)
			}
			if loading() {
				limit = max(busyMemory, 2*live+128<<20)
			} else if quiet >= quietTicks {
				// Nothing much happens: what the last burst needed goes back.
				limit = max(idleMemory, live+live/8+16<<20)
			}
			if limit < was-was/20 || limit > was+was/20 { // to set it stops all threads for a moment
				debug.SetMemoryLimit(limit)
				was = limit
			}
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
