package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"signalbox/internal/backtest"
)

// progress shows on standard error how far a backtest is: a line that is
// written over where that is a terminal.
type progress struct {
	w           io.Writer // nil: shows nothing
	tty         bool
	begin, last time.Time // of the log
	started     time.Time
	shown       time.Time
	every       time.Duration
	calls       uint
	wrote       int
}

// progress makes one. begin and end are what is to be read, as far as they are
// known.
func (a *app) progress(always bool, begin, end time.Time) *progress {
	p := &progress{begin: begin, last: end, started: time.Now(), every: 200 * time.Millisecond}
	if p.tty = isTerminal(a.err); !p.tty {
		p.every = 2 * time.Second
	}
	if p.tty || always {
		p.w = a.err
	}
	return p
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}

// tick is called for every batch. It costs next to nothing.
func (p *progress) tick(taken func() (uint64, time.Time)) {
	if p.w == nil {
		return
	}
	if p.calls++; p.calls%16 != 0 {
		return
	}
	now := time.Now()
	if now.Sub(p.shown) < p.every {
		return
	}
	p.shown = now
	n, at := taken()
	p.line(bar(p.share(at)) + fmt.Sprintf("  %s  %s events  %s/s", at.UTC().Format("2006-01-02 15:04"), backtest.Number(n), p.rate(n)))
	if !p.tty {
		fmt.Fprintln(p.w)
	}
}

// end says how fast it was.
func (p *progress) end(taken func() (uint64, time.Time)) {
	if p.w == nil {
		return
	}
	n, _ := taken()
	p.line(fmt.Sprintf("%s events in %.1fs, %s/s", backtest.Number(n), time.Since(p.started).Seconds(), p.rate(n)))
	fmt.Fprintln(p.w)
}

func (p *progress) rate(n uint64) string {
	sec := time.Since(p.started).Seconds()
	if sec <= 0 {
		return "-"
	}
	return backtest.Number(uint64(float64(n) / sec))
}

// share is how far at is, from 0 to 1; negative where that cannot be known.
func (p *progress) share(at time.Time) float64 {
	if p.begin.IsZero() || p.last.IsZero() || !p.last.After(p.begin) {
		return -1
	}
	return min(1, max(0, float64(at.Sub(p.begin))/float64(p.last.Sub(p.begin))))
}

func bar(share float64) string {
	const width = 24
	if share < 0 {
		return ""
	}
	n := int(share * width)
	return fmt.Sprintf("[%s%s] %3.0f%%", strings.Repeat("#", n), strings.Repeat(".", width-n), share*100)
}

// line writes over the line before.
func (p *progress) line(s string) {
	s = strings.TrimLeft(s, " ")
	if !p.tty {
		fmt.Fprint(p.w, s)
		return
	}
	fmt.Fprintf(p.w, "\r%s%s", s, strings.Repeat(" ", max(0, p.wrote-len(s))))
	p.wrote = len(s)
}

// jsonCleaner makes JSON safe for a terminal on its way.
type jsonCleaner struct{ w io.Writer }

// Write passes whole documents on: json.Encoder writes one at a time.
func (c jsonCleaner) Write(b []byte) (int, error) {
	_, err := io.Copy(c.w, bytes.NewReader(cleanJSON(b)))
	return len(b), err
}
