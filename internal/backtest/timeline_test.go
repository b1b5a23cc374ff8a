package backtest

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Whatever the times, nothing is lost when buckets join, and there are never
// too many.
func TestTimelineKeepsItsSums(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "begin"), 0)
		line := newTimeline()
		all := []*series{{}, {}, {}}
		for _, s := range all {
			line.join(s)
		}
		want := make([]uint64, len(all))
		for range rapid.IntRange(1, 60).Draw(t, "n") {
			at = at.Add(time.Duration(rapid.Int64Range(0, int64(40*24*time.Hour)).Draw(t, "later")))
			i := rapid.IntRange(0, len(all)-1).Draw(t, "series")
			line.add(all[i], at, 1)
			want[i]++
			if last := line.start.Add(time.Duration(len(all[i].counts)) * line.width); !last.After(at) {
				t.Fatalf("%s is not before the end of its bucket, %s", at, last)
			}
		}
		for i, s := range all {
			if total(s.counts) != want[i] || len(s.counts) > maxBuckets {
				t.Fatalf("series %d has %d in %d buckets, want %d", i, total(s.counts), len(s.counts), want[i])
			}
		}
	})
}

func TestTimelineJoins(t *testing.T) {
	line, s := newTimeline(), &series{}
	line.join(s)
	at := time.Date(2026, 11, 3, 2, 3, 0, 0, time.UTC)
	line.add(s, at, 1)
	line.add(s, at.Add(time.Minute), 2)
	line.add(s, at.Add(2*time.Minute), 4)
	line.widen()
	if line.width != 5*time.Minute || !line.start.Equal(at.Truncate(5*time.Minute)) || !slices.Equal(s.counts, []uint32{3, 4}) {
		t.Errorf("from %s by %s: %v", line.start, line.width, s.counts)
	}
}

func TestPeak(t *testing.T) {
	var p peak
	for _, sec := range []int64{0, 59, 60, 61, 119, 180, 181, 182, 100, 600} { // 100 is a timer's, told late
		p.add(time.Unix(sec, 0))
	}
	if m := p.result(); m.Runs != 4 || m.Start.Unix() != 180 {
		t.Errorf("busiest minute is %v", m)
	}
	if (&peak{}).result() != nil {
		t.Error("nothing has a busiest minute")
	}
}

func TestNice(t *testing.T) {
	for n, want := range map[uint32]uint32{1: 1, 2: 2, 7: 8, 9: 10, 11: 20, 28: 30, 31: 40, 99: 100, 4_000_000_000: 4_000_000_000} {
		if got := nice(n); got != want {
			t.Errorf("nice(%d) = %d, want %d", n, got, want)
		}
	}
}

func TestChartStaysInItsBox(t *testing.T) {
	r := &Report{Timeline: Timeline{Start: time.Unix(0, 0).UTC(), Width: Span(time.Minute)}}
	for i := range 1500 {
		r.Timeline.Events = append(r.Timeline.Events, uint32(i))
	}
	for range 12 {
		r.Rules.PerRule = append(r.Rules.PerRule, RuleResult{Rule: "r", Runs: 1500, Timeline: slices.Repeat([]uint32{1}, 1500)})
	}
	c := r.chart()
	if len(c.Bars) > maxBars || len(c.Bars) < maxBars/2 || len(c.Ticks) == 0 || len(c.Ticks) > 12 || len(c.Legend) != colours+1 {
		t.Errorf("%d bars, %d ticks, %d keys", len(c.Bars), len(c.Ticks), len(c.Legend))
	}
	if (&Report{}).chart() != nil {
		t.Error("of nothing there is a chart")
	}
}
