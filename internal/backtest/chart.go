package backtest

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Sizes of the chart, in its own units; the page scales it.
const (
	chartWidth  = 1120
	chartHeight = 300
	chartLeft   = 52
	chartRight  = 8
	chartTop    = 12
	chartBottom = 30
	maxBars     = 180
	colours     = 7 // rules with a colour of their own
)

// chart is the timeline as a drawing: runs of the candidate upwards, by rule,
// and runs of what it is compared with downwards.
type chart struct {
	Width, Height int
	Zero          string // height of the line of no runs
	Left, Right   string
	Bars          []chartBar
	Grid          []chartLine
	Ticks         []chartTick
	Legend        []chartKey
	Mirror        bool
	Each          string // how long a bar is
}

type chartBar struct {
	X, W  string
	Parts []chartPart
	Hit   chartPart // what the pointer finds, whole height
	Tip   string
}

type chartPart struct {
	Y, H   string
	Colour int
	Other  bool
}

type chartLine struct{ Y, Text string }
type chartTick struct{ X, Text string }
type chartKey struct {
	Colour int
	Rule   string
	Runs   uint64
}

// bars is the timeline in few enough pieces to be drawn.
type bars struct {
	start  time.Time
	width  time.Duration
	n      int
	events []uint32
	rules  [][]uint32 // as many as have a colour, and the sum of all others first
	other  []uint32
}

// chart is nil where there is nothing to draw.
func (r *Report) chart() *chart {
	b := r.bars()
	if b.n == 0 {
		return nil
	}
	c := &chart{Width: chartWidth, Height: chartHeight, Left: num(chartLeft), Right: num(chartWidth - chartRight), Mirror: r.Against != nil, Each: width(b.width)}
	up, down := uint32(1), uint32(0)
	for i := range b.n {
		sum := uint32(0)
		for _, s := range b.rules {
			sum += at(s, i)
		}
		up, down = max(up, sum), max(down, at(b.other, i))
	}
	up = nice(up)
	if down > 0 {
		down = nice(down)
	}
	room := float64(chartHeight - chartTop - chartBottom)
	unit := room / float64(up+down)
	zero := chartTop + unit*float64(up)
	c.Zero = num(zero)
	c.grid(up, down, zero, unit)
	step := float64(chartWidth-chartLeft-chartRight) / float64(b.n)
	for i := range b.n {
		c.bar(r, &b, i, step, zero, unit)
	}
	c.ticks(&b, step)
	for i, s := range b.rules {
		if sum := total(s); sum > 0 {
			name := "all other rules"
			if i > 0 {
				name = r.Rules.PerRule[i-1].Rule
			}
			c.Legend = append(c.Legend, chartKey{Colour: i, Rule: name, Runs: sum})
		}
	}
	if len(c.Legend) > 1 && c.Legend[0].Colour == 0 { // the others last
		c.Legend = append(c.Legend[1:], c.Legend[0])
	}
	return c
}

// bars joins buckets until there are no more than maxBars.
func (r *Report) bars() bars {
	n := len(r.Timeline.Events)
	all := [][]uint32{r.Timeline.Events}
	for i := range r.Rules.PerRule {
		n = max(n, len(r.Rules.PerRule[i].Timeline))
	}
	b := bars{start: r.Timeline.Start, width: time.Duration(r.Timeline.Width), n: n, rules: make([][]uint32, colours+1)}
	per := 1
	for (n+per-1)/per > maxBars {
		per++
	}
	b.n, b.width = (n+per-1)/per, b.width*time.Duration(per)
	b.events = joined(all[0], 0, per)
	for i := range r.Rules.PerRule {
		s := joined(r.Rules.PerRule[i].Timeline, 0, per)
		if len(s) == 0 {
			continue
		}
		if i < colours {
			b.rules[i+1] = s
			continue
		}
		b.rules[0] = sum(b.rules[0], s)
	}
	if r.Against != nil {
		for i := range r.Against.PerRule {
			b.other = sum(b.other, joined(r.Against.PerRule[i].Timeline, 0, per))
		}
	}
	return b
}

func sum(into, s []uint32) []uint32 {
	for len(into) < len(s) {
		into = append(into, 0)
	}
	for i, n := range s {
		into[i] += n
	}
	return into
}

func at(s []uint32, i int) uint32 {
	if i < len(s) {
		return s[i]
	}
	return 0
}

func total(s []uint32) (n uint64) {
	for _, x := range s {
		n += uint64(x)
	}
	return n
}

func (c *chart) grid(up, down uint32, zero, unit float64) {
	line := func(n uint32, y float64) {
		c.Grid = append(c.Grid, chartLine{Y: num(y), Text: Number(uint64(n))})
	}
	line(up, zero-unit*float64(up))
	if up%2 == 0 && unit*float64(up) > 60 {
		line(up/2, zero-unit*float64(up)/2)
	}
	line(0, zero)
	if down > 0 && unit*float64(down) > 12 {
		line(down, zero+unit*float64(down))
	}
}

// bar draws the i-th piece, and writes what the pointer shows of it.
func (c *chart) bar(r *Report, b *bars, i int, step, zero, unit float64) {
	gap := min(1.5, step/5)
	x := chartLeft + step*float64(i)
	bar := chartBar{X: num(x + gap/2), W: num(step - gap), Hit: chartPart{Y: num(chartTop), H: num(chartHeight - chartTop - chartBottom)}}
	start := b.start.Add(time.Duration(i) * b.width)
	tip := []string{start.Format("Mon 2006-01-02 15:04") + " UTC, " + width(b.width)}
	y, runs := zero, uint64(0)
	for _, k := range []int{1, 2, 3, 4, 5, 6, 7, 0} {
		n := at(b.rules[k], i)
		if n == 0 {
			continue
		}
		h := unit * float64(n)
		y -= h
		bar.Parts = append(bar.Parts, chartPart{Y: num(y), H: num(h), Colour: k})
		name := "all other rules"
		if k > 0 {
			name = r.Rules.PerRule[k-1].Rule
		}
		runs += uint64(n)
		tip = append(tip, Number(uint64(n))+"  "+name)
	}
	if n := at(b.other, i); n > 0 {
		bar.Parts = append(bar.Parts, chartPart{Y: num(zero), H: num(unit * float64(n)), Other: true})
	}
	if r.Against != nil {
		tip = append(tip, fmt.Sprintf("%s in all; %s with %s", plural(runs, "run"), Number(uint64(at(b.other, i))), r.Against.Name))
	} else {
		tip = append(tip, plural(runs, "run")+" in all")
	}
	tip = append(tip, plural(uint64(at(b.events, i)), "event"))
	bar.Tip = strings.Join(tip, "\n")
	c.Bars = append(c.Bars, bar)
}

// steps between the labels of the time axis.
var steps = []time.Duration{time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour, 48 * time.Hour, 7 * 24 * time.Hour,
	14 * 24 * time.Hour, 28 * 24 * time.Hour, 91 * 24 * time.Hour, 364 * 24 * time.Hour}

func (c *chart) ticks(b *bars, step float64) {
	span := b.width * time.Duration(b.n)
	every := steps[len(steps)-1]
	for _, s := range steps {
		if span/s <= 9 {
			every = s
			break
		}
	}
	for t := b.start.Truncate(every); !t.After(b.start.Add(span)); t = t.Add(every) {
		if t.Before(b.start) {
			continue
		}
		x := chartLeft + step*float64(t.Sub(b.start))/float64(b.width)
		if x > chartWidth-chartRight-24 {
			break
		}
		text := t.Format("15:04")
		if every >= 24*time.Hour || t.Equal(t.Truncate(24*time.Hour)) {
			text = t.Format("Jan 2")
		}
		if every > 300*24*time.Hour {
			text = t.Format("2006")
		}
		c.Ticks = append(c.Ticks, chartTick{X: num(x), Text: text})
	}
}

// nice is the next number that reads well on an axis.
func nice(n uint32) uint32 {
	for f := uint32(1); f <= 1_000_000_000; f *= 10 {
		for _, m := range []uint32{1, 2, 3, 4, 5, 6, 8} {
			if m*f >= n {
				return m * f
			}
		}
	}
	return n
}

// num writes a coordinate.
func num(f float64) string { return strconv.FormatFloat(f, 'f', -1, 32) }

// width says how long a bar is.
func width(d time.Duration) string {
	switch {
	case d%(24*time.Hour) == 0:
		return plural(uint64(d/(24*time.Hour)), "day")
	case d%time.Hour == 0:
		return plural(uint64(d/time.Hour), "hour")
	}
	return plural(uint64(d/time.Minute), "minute")
}

// spark is a small timeline: the path of a bar each, in a box of 120 by 20.
func spark(counts []uint32, n int) string {
	const w, h, pieces = 120, 20, 60
	n = max(n, len(counts))
	if len(counts) == 0 {
		return ""
	}
	per := max(1, (n+pieces-1)/pieces)
	few := joined(counts, 0, per)
	most := uint32(1)
	for _, c := range few {
		most = max(most, c)
	}
	step := float64(w) / float64((n+per-1)/per)
	var b strings.Builder
	for i, c := range few {
		if c > 0 {
			fmt.Fprintf(&b, "M%s %dv-%s", num(float64(int(10*(step*(float64(i)+0.5))))/10), h, num(float64(int(10*max(1.5, h*float64(c)/float64(most))))/10))
		}
	}
	return b.String()
}
