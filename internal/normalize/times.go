package normalize

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

var errTime = errors.New("expected seconds or milliseconds since 1970, or a time as RFC 3339 has it (2026-11-24T10:00:00Z)")

// parseTime reads a time of a payload: a number, or text.
func parseTime(g got) (time.Time, error) {
	if len(g.json) > 0 && g.json[0] != '"' {
		return parseUnix(string(g.json))
	}
	return parseText(g.plain())
}

// layouts are what tools write that nearly write RFC 3339. Without a zone it
// is UTC.
var layouts = []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999Z07:00",
	"2006-01-02 15:04:05.999999999", "2006-01-02 15:04:05 MST", "2006-01-02T15:04:05.999999999-0700"}

func parseText(s string) (time.Time, error) {
	s = strings.TrimSpace(s)
	if s == "" || len(s) > 64 {
		return time.Time{}, errTime
	}
	for _, l := range layouts {
		if t, err := time.Parse(l, s); err == nil {
			return t.UTC(), nil
		}
	}
	return parseUnix(s)
}

// parseUnix tells the unit by the size: seconds until the year 5138,
// milliseconds, microseconds or nanoseconds beyond.
func parseUnix(s string) (time.Time, error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		if n < 0 {
			return time.Time{}, errTime
		}
		switch {
		case n < 1e11:
			return time.Unix(n, 0).UTC(), nil
		case n < 1e14:
			return time.UnixMilli(n).UTC(), nil
		case n < 1e17:
			return time.UnixMicro(n).UTC(), nil
		}
		return time.Unix(0, n).UTC(), nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f < 0 || f >= 1e14 || math.IsNaN(f) {
		return time.Time{}, errTime
	}
	if f >= 1e11 {
		f /= 1000
	}
	sec, frac := math.Modf(f)
	return time.Unix(int64(sec), int64(math.Round(frac*1e6))*1000).UTC(), nil
}
