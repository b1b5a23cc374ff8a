package intake

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"signalbox/event"
)

func TestIDsAreUUIDsInOrder(t *testing.T) {
	const writers, each = 8, 2000
	begin := time.Now()
	got := make([][]string, writers)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for range each / 50 {
				n := newNames(50)
				for range 50 {
					var ev event.Event
					n.give(&ev)
					got[w] = append(got[w], string(ev.ID))
				}
			}
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	for _, ids := range got {
		if !slices.IsSorted(ids) {
			t.Error("the ids of one goroutine are not in order")
		}
		for _, id := range ids {
			u, err := uuid.Parse(id)
			if err != nil || u.Version() != 7 || u.Variant() != uuid.RFC4122 || u.String() != id {
				t.Fatalf("%q: %v, version %d, variant %s", id, err, u.Version(), u.Variant())
			}
			sec, ns := u.Time().UnixTime()
			if d := time.Unix(sec, ns).Sub(begin); d < -time.Second || d > time.Minute {
				t.Fatalf("%s is of %s after the beginning", id, d)
			}
			if seen[id] {
				t.Fatalf("%s was given twice", id)
			}
			seen[id] = true
		}
	}
}

func TestATraceLeadsToItsEvent(t *testing.T) {
	var ev event.Event
	newNames(1).give(&ev)
	u := uuid.MustParse(string(ev.ID))
	want := "00-" + ev.TraceParent[3:35] + "-" + ev.TraceParent[36:52] + "-00"
	if hex := ev.TraceParent[3:35]; ev.TraceParent != want || uuid.MustParse(hex) != u || ev.TraceParent[36:52] != hex[16:] {
		t.Errorf("trace %q of event %s", ev.TraceParent, ev.ID)
	}
	own := event.Event{TraceParent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
	if newNames(1).give(&own); own.TraceParent != "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" {
		t.Errorf("the sender's trace became %q", own.TraceParent)
	}
}
