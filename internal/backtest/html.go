package backtest

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"
)

//go:embed report.html.tmpl
var pageSource string

// shown is how many devices of a difference are seen before somebody asks for
// the rest.
const shown = 5

// page is made once: a mistake in it is one in this binary.
var page = template.Must(template.New("report").Funcs(template.FuncMap{
	"n": Number,
	"z": func(n uint64) string { // a table is read faster without its noughts
		if n == 0 {
			return "–"
		}
		return Number(n)
	},
	"count":  func(n int) string { return Number(uint64(n)) },
	"plural": func(n uint64, what string) string { return plural(n, what) },
	"when":   func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") },
	"minute": func(t time.Time) string { return t.UTC().Format(minuteStamp) },
	"name": func(device string) string {
		if device == "" {
			return "(no device)"
		}
		return device
	},
	"percent": func(part, whole uint64) string {
		if whole == 0 {
			return "0"
		}
		return fmt.Sprintf("%.1f", 100*float64(part)/float64(whole))
	},
	"whose": func(l LimitResult) string { return l.whose() },
	"more":  func(total, listed int) int { return total - listed },
	"head":  func(d []DeviceSample) []DeviceSample { return d[:min(len(d), shown)] },
	"tail":  func(d []DeviceSample) []DeviceSample { return d[min(len(d), shown):] },
}).Parse(pageSource))

// view is what the page is made of.
type view struct {
	*Report
	Headline  string
	Chart     *chart
	Sparks    map[string]string // by rule: the path of its small timeline
	Notes     []string
	RuleNote  map[string]string
	Colour    map[string]int // by rule: 0 is that of all others
	Span      string
	MaxRuns   uint64 // of a device
	MaxTypes  uint64 // unmatched of a type
	Unmatched []TypeCount
	Diffs     []RuleDiff
	Idle      []string // rules that would have run nothing
	Busy      []RuleResult
	Limits    []LimitResult // those that would have refused something
	Unused    int           // limits that would not
}

// HTML writes a report as one page that needs nothing else: no other file, no
// network, no build.
func (r *Report) HTML(w io.Writer) error {
	v := view{Report: r, Headline: r.headline(), Notes: r.notes(), Sparks: map[string]string{}, RuleNote: map[string]string{},
		Colour: map[string]int{}, Span: long(r.Until.Sub(r.Since))}
	for i := range r.Rules.PerRule {
		x := &r.Rules.PerRule[i]
		v.RuleNote[x.Rule] = strings.Join(x.notes(), "; ")
		if x.Runs == 0 && x.Findings == 0 && v.RuleNote[x.Rule] == "" && x.Held+x.Suppressed+x.Duplicate == 0 {
			v.Idle = append(v.Idle, x.Rule)
			continue
		}
		if x.Runs > 0 && i < colours {
			v.Colour[x.Rule] = i + 1
		}
		v.Sparks[x.Rule] = spark(x.Timeline, len(r.Timeline.Events))
		v.Busy = append(v.Busy, *x)
	}
	for _, l := range r.Rules.Limits {
		if l.Refused == 0 {
			v.Unused++
			continue
		}
		v.Limits = append(v.Limits, l)
	}
	for _, d := range r.Rules.TopDevices {
		v.MaxRuns = max(v.MaxRuns, d.Runs)
	}
	for _, c := range r.Rules.Types {
		if c.Unmatched > 0 && len(v.Unmatched) < 2*DefaultTop {
			v.MaxTypes = max(v.MaxTypes, c.Unmatched)
			v.Unmatched = append(v.Unmatched, c)
		}
	}
	if r.Diff != nil {
		for _, d := range r.Diff.PerRule {
			if d.More != nil || d.Fewer != nil {
				v.Diffs = append(v.Diffs, d)
			}
		}
	}
	v.Chart = r.chart()
	return page.Execute(w, v)
}

func (r *Report) headline() string {
	if s := r.Sentence(); s != "" {
		return s
	}
	return fmt.Sprintf("These rules would have started %s on %s.", plural(r.Rules.Runs, "run"), plural(uint64(r.Rules.Devices), "device"))
}
