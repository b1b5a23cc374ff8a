package main

import (
	"fmt"
	"strings"
	"time"
)

// row is a line of a table.
type row struct {
	what   string
	figure string
	cpu    string // processor time of the server for one unit
	beside string // what it is beside what it is compared with
	goal   string
	met    string // yes, no, or nothing where there is no goal
}

// want sets the goal of a row.
func (r row) want(goal string, met bool) row {
	r.goal, r.met = goal, "no"
	if met {
		r.met = "yes"
	}
	return r
}

func table(rows []row) string {
	if len(rows) == 0 {
		return ""
	}
	cells := [][]string{{"what", "figure", "server CPU", "beside", "goal", "met"}}
	for _, r := range rows {
		cells = append(cells, []string{r.what, r.figure, r.cpu, r.beside, r.goal, r.met})
	}
	width := make([]int, len(cells[0]))
	for _, line := range cells {
		for i, c := range line {
			width[i] = max(width[i], len([]rune(c)))
		}
	}
	var b strings.Builder
	for n, line := range cells {
		for i, c := range line {
			fmt.Fprintf(&b, "| %s%s ", c, strings.Repeat(" ", width[i]-len([]rune(c))))
		}
		b.WriteString("|\n")
		if n == 0 {
			for _, w := range width {
				b.WriteString("|" + strings.Repeat("-", w+2))
			}
			b.WriteString("|\n")
		}
	}
	return b.String()
}

// count writes a number with its thousands apart.
func count[T int | int64 | uint64 | float64](v T) string {
	s := fmt.Sprintf("%.0f", float64(v))
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func perSecond(n int, took time.Duration) float64 { return float64(n) / took.Seconds() }

func rate(v float64, unit string) string { return count(v) + " " + unit + "/s" }

// each is processor time per unit.
func each(cpu time.Duration, n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f µs", float64(cpu.Nanoseconds())/1e3/float64(n))
}

func times(ratio float64, of string) string { return fmt.Sprintf("%.2f × %s", ratio, of) }

func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1e3) }

func mb(bytes uint64) string { return fmt.Sprintf("%.0f MB", float64(bytes)/1e6) }
