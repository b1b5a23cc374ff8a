package rule

import (
	"errors"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

var errDuration = errors.New(`not a duration as in "30s", "5m", "1h30m" or "7d"`)

var durationUnits = map[string]time.Duration{
	"ns": time.Nanosecond, "us": time.Microsecond, "µs": time.Microsecond, "ms": time.Millisecond,
	"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour,
}

// ParseDuration reads a duration as people write it, which is Go's form with
// days (24 h) and weeks beside: "60s", "1h30m", "30d". It is never negative.
func ParseDuration(s string) (time.Duration, error) {
	rest := strings.TrimSpace(s)
	if rest == "0" {
		return 0, nil
	}
	if rest == "" {
		return 0, errDuration
	}
	total := time.Duration(0)
	for rest != "" {
		i := strings.IndexFunc(rest, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
		if i <= 0 {
			return 0, errDuration
		}
		number := rest[:i]
		rest = rest[i:]
		j := strings.IndexFunc(rest, func(r rune) bool { return r >= '0' && r <= '9' })
		if j < 0 {
			j = len(rest)
		}
		unit, ok := durationUnits[rest[:j]]
		if !ok {
			return 0, errDuration
		}
		d, ok := times(number, unit)
		if total += d; !ok || total > longestDuration {
			return 0, errDuration
		}
		rest = rest[j:]
	}
	return total, nil
}

// longestDuration is 146 years: sums of times and durations do not overflow.
const longestDuration = math.MaxInt64 / 2

// times is a number in decimal of a unit, exactly, but for fractions of a
// nanosecond. With binary fractions 33.791s would be one less.
func times(number string, unit time.Duration) (time.Duration, bool) {
	whole, fraction, point := strings.Cut(number, ".")
	if whole+fraction == "" || point && strings.Contains(fraction, ".") {
		return 0, false
	}
	n := uint64(0)
	if whole != "" {
		var err error
		if n, err = strconv.ParseUint(whole, 10, 64); err != nil {
			return 0, false
		}
	}
	high, d := bits.Mul64(n, uint64(unit))
	if high != 0 || d > longestDuration {
		return 0, false
	}
	// What stands beyond the 18th place is less than a nanosecond of any unit.
	if fraction = fraction[:min(len(fraction), 18)]; fraction != "" {
		f, err := strconv.ParseUint(fraction, 10, 64)
		if err != nil {
			return 0, false
		}
		scale := uint64(1)
		for range fraction {
			scale *= 10
		}
		high, low := bits.Mul64(f, uint64(unit))
		part, _ := bits.Div64(high, low, scale)
		d += part
	}
	return time.Duration(d), true
}

// shortDuration writes a duration as a person does: 5m, and not 5m0s.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
