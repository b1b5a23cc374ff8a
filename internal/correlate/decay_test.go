package correlate

import (
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The table is what it says: each constant is the root of the one before.
func TestDecayTable(t *testing.T) {
	one := new(big.Float).SetPrec(256).SetMantExp(big.NewFloat(1), 64)
	x := new(big.Float).SetPrec(256).SetFloat64(0.5)
	for i, have := range decayTable {
		x.Sqrt(x)
		want, _ := new(big.Float).SetPrec(256).Mul(x, one).Uint64()
		if have != want {
			t.Errorf("constant %d is %#x, want %#x", i, have, want)
		}
	}
}

func TestDecay(t *testing.T) {
	tests := []struct {
		p     float64
		after time.Duration
		want  float64
	}{
		{1000, 0, 1000},
		{1000, -time.Second, 1000},
		{1000, 15 * time.Minute, 500},
		{1000, 30 * time.Minute, 250},
		{1000, 7*time.Minute + 30*time.Second, 707.1067},
		{3000, time.Minute, 2864.5247},
		{1000, 24 * time.Hour, 0},
		{0, time.Hour, 0},
		{1000, 1<<63 - 1, 0},
	}
	for _, tt := range tests {
		got := float64(decay(points(int(tt.p)), tt.after, 15*time.Minute)) / (1 << pointBits)
		if got > tt.want+0.001 || got < tt.want-0.001 {
			t.Errorf("of %v after %v %v is left, want %v", tt.p, tt.after, got, tt.want)
		}
	}
}

func TestUntilBelow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		half := time.Duration(rapid.Int64Range(1, int64(30*24*time.Hour)).Draw(t, "half-life"))
		limit := rapid.Uint64Range(1<<pointBits, 1<<50).Draw(t, "limit")
		p := rapid.Uint64Range(0, maxPenalty).Draw(t, "penalty")
		after := untilBelow(p, limit, half)
		if got := decay(p, after, half); got >= limit {
			t.Fatalf("after %v %d is left, not below %d", after, got, limit)
		}
		if after > 0 && decay(p, after-1, half) < limit {
			t.Fatalf("it was below before %v", after)
		}
	})
}

// A key at the ceiling is reusable after max and no sooner than a thousandth
// before it.
func TestPenaltyCeiling(t *testing.T) {
	for _, tt := range []struct{ half, max time.Duration }{
		{15 * time.Minute, time.Hour}, {15 * time.Minute, 20 * time.Minute}, {time.Second, time.Second}, {time.Hour, time.Minute},
	} {
		top := penaltyCeiling(points(750), tt.max, tt.half)
		after := untilBelow(top, points(750), tt.half)
		if after > tt.max || after < tt.max-tt.max/1000 {
			t.Errorf("half-life %v, max %v: from the ceiling %d it takes %v", tt.half, tt.max, top>>pointBits, after)
		}
	}
}
