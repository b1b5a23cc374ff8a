package run

import (
	"math"
	"time"

	"github.com/cespare/xxhash/v2"

	"signalbox/internal/rule"
)

// MaxAfter bounds the wait that a peer can ask for (Retry-After): a peer that
// says "come back in a year" must not park a run for a year.
const MaxAfter = 24 * time.Hour

// Delay is the wait after the failed try number n (from 1): backoff × factor^(n-1),
// at most max. With jitter it is between half of that and all of it, by a hash
// of run, step and n: spread over runs, yet the same whenever it is computed.
// atLeast is what the peer asked for (Retry-After); it is obeyed even above
// max, up to MaxAfter.
func Delay(p rule.Retry, run, step string, n int, atLeast time.Duration) time.Duration {
	factor := p.Factor
	if factor < 1 || math.IsNaN(factor) {
		factor = 1
	}
	limit := p.Max
	if limit <= 0 {
		limit = MaxAfter
	}
	d := float64(p.Backoff) * math.Pow(factor, float64(max(n, 1)-1))
	// Compare as floats: the product may be beyond what a Duration holds.
	if d > float64(limit) || math.IsNaN(d) {
		d = float64(limit)
	}
	if p.Jitter {
		d *= 0.5 + 0.5*unit(run, step, n)
	}
	return max(time.Duration(d), min(atLeast, MaxAfter), 0)
}

// unit is a number in [0, 1) that depends on run, step and n alone.
func unit(run, step string, n int) float64 {
	var h xxhash.Digest
	h.Reset()
	_, _ = h.WriteString(run)
	_, _ = h.Write([]byte{0})
	_, _ = h.WriteString(step)
	_, _ = h.Write([]byte{0, byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)})
	return float64(h.Sum64()>>11) / (1 << 53)
}

// Next says whether a failed attempt is tried again, and when. st is the step's
// state before the failed attempt's end is applied; after is what the peer
// asked for.
func (st *Step) Next(p rule.Retry, run string, recoverable bool, after time.Duration, now time.Time) (time.Time, bool) {
	tries := st.Tries + 1
	if !recoverable || tries >= max(p.Attempts, 1) {
		return time.Time{}, false
	}
	return now.Add(Delay(p, run, st.Path, tries, after)), true
}
