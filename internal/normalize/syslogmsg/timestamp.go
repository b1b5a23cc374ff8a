package syslogmsg

import (
	"strings"
	"time"
)

// stamp is a time as a message writes it. offset is seconds east of UTC;
// offset2 is the other reading of a zone name with two (CST, IST), or the same.
type stamp struct {
	year, month, day  int
	hour, minute, sec int
	nano              int
	offset, offset2   int
	hasYear, hasZone  bool
	yearLead          bool // "2026 Nov 24"
}

// scanTime reads a time at the start of s and says how long it is; 0 where
// there is none. It knows
//
//	2026-11-24T10:00:00.123456+01:00    2026-11-24 10:00:00,123    2026-Nov-24 10:00:00
//	2026/11/24 10:00:00                 2026 Nov 24 10:00:00.123 CET
//	Nov 24 10:00:00.123 UTC             Nov 24 2026 10:00:00       Nov 24 10:00:00 2026
//	Tue Nov 24 10:00:00                 nov/24 10:00:00            1795514400.123456789
func scanTime(s string) (st stamp, n int) {
	if len(s) < 12 {
		return st, 0
	}
	if isDigit(s[0]) {
		if isDigit(s[1]) && isDigit(s[2]) && isDigit(s[3]) {
			if isDigit(s[4]) {
				return scanEpoch(s)
			}
			return scanYearFirst(s)
		}
		return st, 0
	}
	return scanMonthFirst(s)
}

func scanMonthFirst(s string) (st stamp, n int) {
	i := 0
	if weekday(s) {
		i = 4
	}
	if st.month = month(s[i:]); st.month == 0 {
		return st, 0
	}
	i += 3
	if s[i] != ' ' && s[i] != '/' {
		return st, 0
	}
	if i = st.scanDay(s, i+1); i == 0 || i >= len(s) || s[i] != ' ' {
		return st, 0
	}
	i = spaces(s, i)
	if y, ok := year(s[i:]); ok && i+4 < len(s) && s[i+4] == ' ' {
		st.year, st.hasYear = y, true
		i = spaces(s, i+4)
	}
	if i = st.scanClock(s, i); i == 0 {
		return st, 0
	}
	// "Nov 24 10:00:00 2026 sw1": behind a space only, or it is a number.
	if !st.hasYear && i+5 <= len(s) && s[i] == ' ' {
		if y, ok := year(s[i+1:]); ok && (i+5 == len(s) || s[i+5] == ' ' || s[i+5] == ':' && i+6 < len(s) && s[i+6] == ' ') {
			st.year, st.hasYear = y, true
			i += 5
		}
	}
	return st, st.scanZone(s, i)
}

func scanYearFirst(s string) (st stamp, n int) {
	y, ok := year(s)
	if !ok && (s[4] != '-' || s[10] != 'T') {
		return st, 0 // a number; but RFC 3339 has any year
	}
	st.year, st.hasYear = y, true
	i := 5
	switch s[4] {
	case ' ':
		i = spaces(s, 4)
		if len(s)-i < 12 {
			return st, 0
		}
		if st.month = month(s[i:]); st.month == 0 || s[i+3] != ' ' {
			return st, 0
		}
		st.yearLead = true
		i = st.scanDay(s, i+4)
	case '-', '/':
		if st.month = month(s[5:]); st.month > 0 {
			i = 8
		} else if st.month, i = number(s, 5, 2); i == 0 || st.month < 1 || st.month > 12 {
			return st, 0
		}
		if i >= len(s) || s[i] != s[4] {
			return st, 0
		}
		i = st.scanDay(s, i+1)
	default:
		return st, 0
	}
	if i == 0 || i >= len(s) || s[i] != ' ' && s[i] != 'T' {
		return st, 0
	}
	if i = st.scanClock(s, spaces(s, i+1)); i == 0 {
		return st, 0
	}
	return st, st.scanZone(s, i)
}

// scanEpoch reads seconds since 1970 with a fraction, as Meraki writes them.
func scanEpoch(s string) (st stamp, n int) {
	for n < len(s) && n < 11 && isDigit(s[n]) {
		n++
	}
	if n != 10 || s[n] != '.' {
		return st, 0
	}
	var sec int64
	for _, c := range []byte(s[:10]) {
		sec = sec*10 + int64(c-'0')
	}
	st.nano, n = fraction(s, n)
	if n < len(s) && s[n] != ' ' {
		return st, 0
	}
	t := time.Unix(sec, 0).UTC()
	st.year, st.month, st.day = t.Year(), int(t.Month()), t.Day()
	st.hour, st.minute, st.sec = t.Clock()
	st.hasYear, st.hasZone = true, true
	return st, n
}

// scanDay reads a day at i, with a space before it or none.
func (st *stamp) scanDay(s string, i int) int {
	i = spaces(s, i)
	st.day, i = number(s, i, 2)
	if st.day < 1 || st.day > int(monthDays[st.month]) {
		return 0
	}
	return i
}

var monthDays = [13]uint8{0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}

// scanClock reads hh:mm:ss and its fraction at i.
func (st *stamp) scanClock(s string, i int) int {
	if st.hour, i = number(s, i, 2); i == 0 || i >= len(s) || s[i] != ':' || st.hour > 23 {
		return 0
	}
	if st.minute, i = number(s, i+1, 2); i == 0 || i >= len(s) || s[i] != ':' || st.minute > 59 {
		return 0
	}
	if st.sec, i = number(s, i+1, 2); i == 0 || st.sec > 60 {
		return 0
	}
	if i+1 < len(s) && (s[i] == '.' || s[i] == ',') && isDigit(s[i+1]) {
		st.nano, i = fraction(s, i)
		// Huawei's "01:00:33.270.1" has a counter behind the milliseconds.
		if i+1 < len(s) && s[i] == '.' && isDigit(s[i+1]) {
			_, i = fraction(s, i)
		}
	}
	return i
}

// scanZone reads what may follow a time, "Z", "+01:00", " +01", " CET", and
// returns where it ends.
func (st *stamp) scanZone(s string, i int) int {
	j := i
	if j < len(s) && s[j] == ' ' {
		j++
	}
	if j >= len(s) {
		return i
	}
	switch c := s[j]; {
	case c == 'Z' && j == i && (j+1 == len(s) || s[j+1] == ' ' || s[j+1] == ':'):
		st.hasZone = true
		return j + 1
	case c == '+' || c == '-':
		h, k := number(s, j+1, 2)
		if k != j+3 || h > 23 {
			return i
		}
		m := 0
		if k < len(s) && s[k] == ':' {
			if v, l := number(s, k+1, 2); l == k+3 {
				m, k = v, l
			}
		} else if v, l := number(s, k, 2); l == k+2 {
			m, k = v, l
		}
		if m > 59 || k < len(s) && s[k] != ' ' && s[k] != ':' {
			return i
		}
		st.offset = (h*60 + m) * 60
		if c == '-' {
			st.offset = -st.offset
		}
		st.offset2, st.hasZone = st.offset, true
		return k
	case isUpper(c) || isLower(c):
		return st.scanZoneName(s, i, j)
	}
	return i
}

// scanZoneName reads a zone's name at j; i is where the time ended.
func (st *stamp) scanZoneName(s string, i, j int) int {
	k := j
	for k < len(s) && k-j < 6 && (isUpper(s[k]) || isLower(s[k])) {
		k++
	}
	if k-j < 3 || k-j > 5 {
		// "ET: %LINK"; without the tag behind it two letters may be a host.
		if z, ok := zone(s[j:k]); ok && strings.HasPrefix(s[k:], ": %") {
			st.offset, st.offset2, st.hasZone = z.seconds, z.other, true
			return k
		}
		return i
	}
	// "UTC+07:30" is a name that IOS can be given.
	if k < len(s) && (s[k] == '+' || s[k] == '-') && s[j:k] == "UTC" {
		if end := st.scanZone(s, k); end > k {
			return end
		}
	}
	if k < len(s) && s[k] != ' ' && s[k] != ':' {
		return i
	}
	colon := strings.HasPrefix(s[k:], ":")
	name := s[j:k]
	if isLower(name[0]) {
		if !colon {
			return i // "cron" and the like
		}
		name = strings.ToUpper(name)
	}
	if z, ok := zone(name); ok {
		st.offset, st.offset2, st.hasZone = z.seconds, z.other, true
		return k
	}
	// A name that we do not know, where only a zone can be: "MYT: %LINK".
	if strings.HasPrefix(s[k:], ": %") && isUpper(s[j]) && isUpper(s[k-1]) {
		return k
	}
	return i
}

// setTime makes a time of st.
func (p *parser) setTime(st *stamp) {
	p.m.Timestamp = st.resolve(p.ref)
	p.m.HasYear, p.m.HasZone = st.hasYear, st.hasZone
	p.yearLead = st.yearLead
	p.sawTime = true
	p.stamp = *st
}

// resolve finds the instant that st means to somebody who got it at ref. A
// year that is not stated is the one that brings it nearest to ref: a message
// of 31 December that comes in January is of last year, and one of 1 January
// that comes in December (a clock that is ahead, a zone further east) of next.
func (st *stamp) resolve(ref time.Time) time.Time {
	loc := time.UTC
	if !st.hasZone {
		loc = ref.Location()
	}
	at := func(year, offset int) time.Time {
		t := time.Date(year, time.Month(st.month), st.day, st.hour, st.minute, st.sec, st.nano, loc)
		if st.hasZone {
			t = t.Add(-time.Duration(offset) * time.Second)
		}
		return t.UTC()
	}
	year := st.year
	if !st.hasYear {
		year = ref.UTC().Year()
	}
	t := at(year, st.offset)
	if st.offset2 != st.offset {
		t = nearer(ref, t, at(year, st.offset2))
	}
	if st.hasYear {
		return t
	}
	if st.month == 2 && st.day == 29 {
		return st.leapDay(ref, year, at)
	}
	const half = 182 * 24 * time.Hour
	switch d := t.Sub(ref); {
	case d > half:
		t = nearer(ref, t, at(year-1, st.offset))
	case d < -half:
		t = nearer(ref, t, at(year+1, st.offset))
	}
	return t
}

// leapDay finds the 29 February nearest to ref, for there may be none this year.
func (st *stamp) leapDay(ref time.Time, year int, at func(year, offset int) time.Time) time.Time {
	var best time.Time
	for y := year - 8; y <= year+8; y++ {
		if y%4 == 0 && (y%100 != 0 || y%400 == 0) {
			if t := at(y, st.offset); best.IsZero() {
				best = t
			} else {
				best = nearer(ref, best, t)
			}
		}
	}
	return best
}

func nearer(ref, a, b time.Time) time.Time {
	if b.Sub(ref).Abs() < a.Sub(ref).Abs() {
		return b
	}
	return a
}

// number reads up to max digits at i; the position is 0 where there is none.
func number(s string, i, max int) (v, end int) {
	j := i
	for j < len(s) && j-i < max && isDigit(s[j]) {
		v = v*10 + int(s[j]-'0')
		j++
	}
	if j == i {
		return 0, 0
	}
	return v, j
}

// fraction reads the digits behind the point at i as nanoseconds.
func fraction(s string, i int) (nano, end int) {
	scale := 100_000_000
	for i++; i < len(s) && isDigit(s[i]); i++ {
		nano += int(s[i]-'0') * scale
		scale /= 10
	}
	return nano, i
}

// spaces returns the position of the first byte from i on that is no space.
func spaces(s string, i int) int {
	for i < len(s) && s[i] == ' ' {
		i++
	}
	return i
}

// year reads four digits between 1970 and 2099.
func year(s string) (int, bool) {
	if len(s) < 4 || !isDigit(s[0]) || !isDigit(s[1]) || !isDigit(s[2]) || !isDigit(s[3]) {
		return 0, false
	}
	y := int(s[0]-'0')*1000 + int(s[1]-'0')*100 + int(s[2]-'0')*10 + int(s[3]-'0')
	return y, y >= 1970 && y <= 2099
}

// month reads the three letters of a month in any case; 0 for none.
func month(s string) int {
	if len(s) < 3 {
		return 0
	}
	switch uint32(s[0]|0x20)<<16 | uint32(s[1]|0x20)<<8 | uint32(s[2]|0x20) {
	case 'j'<<16 | 'a'<<8 | 'n':
		return 1
	case 'f'<<16 | 'e'<<8 | 'b':
		return 2
	case 'm'<<16 | 'a'<<8 | 'r':
		return 3
	case 'a'<<16 | 'p'<<8 | 'r':
		return 4
	case 'm'<<16 | 'a'<<8 | 'y':
		return 5
	case 'j'<<16 | 'u'<<8 | 'n':
		return 6
	case 'j'<<16 | 'u'<<8 | 'l':
		return 7
	case 'a'<<16 | 'u'<<8 | 'g':
		return 8
	case 's'<<16 | 'e'<<8 | 'p':
		return 9
	case 'o'<<16 | 'c'<<8 | 't':
		return 10
	case 'n'<<16 | 'o'<<8 | 'v':
		return 11
	case 'd'<<16 | 'e'<<8 | 'c':
		return 12
	}
	return 0
}

// weekday says whether s begins with "Tue ".
func weekday(s string) bool {
	if s[3] != ' ' {
		return false
	}
	switch s[:3] {
	case "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun":
		return true
	}
	return false
}
