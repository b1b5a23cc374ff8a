package correlate

import (
	"math"
	"testing"
	"time"
)

func num(v float64) *float64 { return &v }

func TestLimit(t *testing.T) {
	tests := []struct {
		name         string
		limit        Limit
		v            float64
		over, clears bool
	}{
		{"above", Limit{Above: num(90)}, 91, true, false},
		{"the limit itself is not over", Limit{Above: num(90)}, 90, false, true},
		{"below", Limit{Below: num(10)}, 9, true, false},
		{"the lower limit itself", Limit{Below: num(10)}, 10, false, true},
		{"between limit and clear", Limit{Above: num(90), Clear: num(75)}, 80, false, false},
		{"clear itself has not passed it", Limit{Above: num(90), Clear: num(75)}, 75, false, false},
		{"passed clear", Limit{Above: num(90), Clear: num(75)}, 74, false, true},
		{"below, between", Limit{Below: num(10), Clear: num(20)}, 20, false, false},
		{"below, passed clear", Limit{Below: num(10), Clear: num(20)}, 21, false, true},
		{"no number", Limit{Above: num(90)}, math.NaN(), false, true},
	}
	for _, tt := range tests {
		if over, clears := tt.limit.over(tt.v), tt.limit.clears(tt.v); over != tt.over || clears != tt.clears {
			t.Errorf("%s: over %v, clears %v; want %v, %v", tt.name, over, clears, tt.over, tt.clears)
		}
	}
}

func TestRate(t *testing.T) {
	const max32, max64 = 1 << 32, float64(math.MaxUint64)
	tests := []struct {
		name     string
		counter  bool
		from, to float64
		after    time.Duration
		want     float64
		ok       bool
	}{
		{"grows", false, 10, 40, 10 * time.Second, 3, true},
		{"falls", false, 40, 10, 10 * time.Second, -3, true},
		{"at the same time", false, 10, 40, 0, 0, false},
		{"back in time", false, 10, 40, -time.Second, 0, false},
		{"a counter grows", true, 1000, 3000, 2 * time.Second, 1000, true},
		{"stands still", true, 1000, 1000, 2 * time.Second, 0, true},
		{"wraps at 32 bits", true, max32 - 100, 100, 10 * time.Second, 20, true},
		{"wraps by half of the range", true, max32 - 1, max32/2 - 1, time.Second, max32 / 2, true},
		{"would wrap by more than half: a reset", true, max32 / 2, max32/2 - 1, time.Second, 0, false},
		{"is reset", true, 5000, 3, time.Second, 0, false},
		{"wraps at 64 bits", true, max64 - 4096, 4096, 8 * time.Second, 1024, true},
		{"a 64-bit counter is reset", true, 1 << 40, 17, time.Second, 0, false},
		{"grows past 32 bits", true, max32 - 10, max32 + 10, time.Second, 20, true},
		{"grows by more than half of 32 bits", true, 0, max32 - 1, time.Second, max32 - 1, true},
		{"is negative", true, -1, 5, time.Second, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := Limit{Rate: true, Counter: tt.counter}
			got, ok := l.rate(sample{tt.from, 0}, sample{tt.to, int64(tt.after)})
			if got != tt.want || ok != tt.ok {
				t.Errorf("%v per second (%v), want %v (%v)", got, ok, tt.want, tt.ok)
			}
		})
	}
}
