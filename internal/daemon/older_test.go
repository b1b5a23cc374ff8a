package daemon

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"signalbox/internal/api"
	"signalbox/internal/record"
	"signalbox/internal/worker"
)

// The newest runs are found first, so that they are there when the time is over;
// and then the list says that it is not all.
func TestOlderRuns(t *testing.T) {
	l := newLogged(t)
	const n = 2 * firstWindow
	views := map[string]worker.RunView{}
	for i := range n {
		device := fmt.Sprintf("sw%d", i)
		l.event(device, "interface_down", "")
		id := fmt.Sprintf("r%d", i)
		l.decide(device, 1, 0, &record.Decision{At: l.at[device], Verdict: record.Decided, Runs: []record.RunStart{{Run: id, Rule: "down"}}})
		views[id] = worker.RunView{ID: id, Rule: "down", Device: device, Status: "succeeded", Decided: l.at[device].String()}
	}
	list := func(q api.RunQuery, patience int) (ids []string, err error) {
		now := time.Now()
		o := older{log: l.log, now: func() time.Time { return now }, find: func(_ context.Context, id string) (worker.RunView, error) {
			if patience--; patience == 0 {
				now = now.Add(olderFor + 1)
			}
			return views[id], nil
		}}
		got, err := o.add(t.Context(), &q, []worker.RunView{views[fmt.Sprint("r", n-1)]})
		for i := range got {
			ids = append(ids, got[i].ID)
		}
		return ids, err
	}
	r := func(back int) string { return fmt.Sprint("r", n-back) }
	tests := []struct {
		name     string
		q        api.RunQuery
		patience int // so many runs are looked at
		want     []string
		partial  bool
	}{
		{"the newest", api.RunQuery{Limit: 3}, n, []string{r(1), r(2), r(3)}, false},
		{"one of long ago", api.RunQuery{Limit: 2, Device: "SW0"}, 2 * n, []string{r(1), "r0"}, false},
		{"of a rule that ran never", api.RunQuery{Limit: 2, Rule: "other"}, n, []string{r(1)}, false},
		{"as many as time allows", api.RunQuery{Limit: n}, 2, []string{r(1), r(2), r(3)}, true},
		{"one of long ago, and no time", api.RunQuery{Limit: 2, Device: "sw0"}, 2, []string{r(1)}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := list(tt.q, tt.patience)
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
			if errors.Is(err, api.ErrPartial) != tt.partial || err != nil && !tt.partial {
				t.Error(err)
			}
		})
	}
}
