package backtest

import "time"

// maxBuckets bounds a timeline: where there would be more, neighbours join. So
// a day is counted by the minute and a year by the hour or so, and what is
// remembered does not grow with the log.
const maxBuckets = 1500

// widths of a timeline's buckets; each is a multiple of the one before.
var widths = []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour}

// timeline counts in buckets of one width, which all its series share.
type timeline struct {
	start time.Time // of the first bucket; zero until something was counted
	width time.Duration
	all   []*series
}

// series is the counts of one thing. It may be shorter than the timeline.
type series struct{ counts []uint32 }

func newTimeline() *timeline { return &timeline{width: widths[0]} }

// join makes s a series of the timeline.
func (t *timeline) join(s *series) { t.all = append(t.all, s) }

// add counts n at a time. What is before the first bucket counts in it.
func (t *timeline) add(s *series, at time.Time, n uint32) {
	if t.start.IsZero() {
		t.start = at.UTC().Truncate(t.width)
	}
	i := max(0, int(at.Sub(t.start)/t.width))
	for i >= maxBuckets {
		t.widen()
		i = max(0, int(at.Sub(t.start)/t.width))
	}
	for len(s.counts) <= i {
		s.counts = append(s.counts, 0)
	}
	s.counts[i] += n
}

// widen joins buckets to those of the next width.
func (t *timeline) widen() {
	next := 2 * t.width
	for _, w := range widths {
		if w > t.width {
			next = w
			break
		}
	}
	start := t.start.Truncate(next)
	skip := int(t.start.Sub(start) / t.width)
	per := int(next / t.width)
	for _, s := range t.all {
		s.counts = joined(s.counts, skip, per)
	}
	t.start, t.width = start, next
}

// joined sums per neighbours, after skip that are not there.
func joined(counts []uint32, skip, per int) []uint32 {
	if len(counts) == 0 {
		return nil
	}
	out := make([]uint32, (skip+len(counts)+per-1)/per)
	for i, n := range counts {
		out[(skip+i)/per] += n
	}
	return out
}

// peak finds the busiest minute of what comes in the order of time. Of two that
// are equally busy the earlier one is it.
type peak struct {
	minute, best int64 // Unix time / 60
	n, most      uint64
}

func (p *peak) add(at time.Time) {
	m := at.Unix() / 60
	if p.n == 0 || m > p.minute {
		p.minute, p.n = m, 0
	}
	if p.n++; p.n > p.most {
		p.best, p.most = p.minute, p.n
	}
}

// result is nil where nothing came.
func (p *peak) result() *Minute {
	if p.most == 0 {
		return nil
	}
	return &Minute{Start: time.Unix(p.best*60, 0).UTC(), Runs: p.most}
}
