package backtest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// JSON writes a report as indented JSON.
func (r *Report) JSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

const stamp = "2006-01-02 15:04:05 MST"

// Text writes a report for people to read in a terminal. clean makes text from
// the network safe for it.
func (r *Report) Text(w io.Writer, clean func(string) string) error {
	t := texter{w: bufio.NewWriter(w), clean: clean}
	t.head(r)
	if r.Diff != nil {
		t.diff(r)
	}
	t.rules(&r.Rules)
	t.limits(&r.Rules)
	t.devices(&r.Rules)
	t.unmatched(&r.Rules)
	t.notes(r)
	return t.w.Flush()
}

type texter struct {
	w     *bufio.Writer
	clean func(string) string
}

func (t *texter) f(format string, args ...any) { fmt.Fprintf(t.w, format, args...) }

func (t *texter) head(r *Report) {
	t.f("Backtest of %s (rule set %s)\n", t.clean(r.Rules.Name), r.Rules.Version)
	t.f("  log      %s\n", t.clean(r.Made.Log))
	t.f("  stretch  %s to %s (%s)\n", r.Since.Format(stamp), r.Until.Format(stamp), long(r.Until.Sub(r.Since)))
	t.f("  events   %s", Number(r.Log.Events))
	if r.Log.Rejected > 0 {
		t.f(", and %s rejected ones", Number(r.Log.Rejected))
	}
	if r.Log.WarmUp > 0 {
		t.f("; %s before it for the windows", Number(r.Log.WarmUp))
	}
	x := &r.Rules
	t.f("\n  outcome  decided %s, duplicate %s, suppressed %s, unmatched %s\n",
		Number(x.Decided), Number(x.Duplicate), Number(x.Suppressed), Number(x.Unmatched))
	t.f("\nWould have run: %s on %s", plural(x.Runs, "run"), plural(uint64(x.Devices), "device"))
	if x.Busiest != nil {
		t.f("; busiest minute %s with %s", x.Busiest.Start.Format(minuteStamp), Number(x.Busiest.Runs))
	}
	t.f("\n")
	if x.Refused > 0 {
		t.f("Limits would have refused: %s\n", plural(x.Refused, "run"))
	}
	if s := x.Situations; s.Opened > 0 {
		t.f("Situations: %s opened, %s updated, %s resolved\n", Number(s.Opened), Number(s.Updated), Number(s.Resolved))
	}
}

const minuteStamp = "2006-01-02 15:04"

// Sentence says in one line what a difference is.
func (r *Report) Sentence() string {
	d := r.Diff
	if d == nil {
		return ""
	}
	if d.More == 0 && d.Fewer == 0 {
		return fmt.Sprintf("No difference to %s: the same %s.", r.Against.Name, plural(d.Same, "run"))
	}
	var parts []string
	if d.More > 0 {
		parts = append(parts, fmt.Sprintf("start %s more", plural(d.More, "run")))
	}
	if d.Fewer > 0 {
		parts = append(parts, fmt.Sprintf("no longer start %s", plural(d.Fewer, "run")))
	}
	return fmt.Sprintf("Compared with %s this would %s, on %s; %s the same.",
		r.Against.Name, strings.Join(parts, " and "), plural(uint64(d.Devices), "device"), areOrIs(d.Same))
}

func areOrIs(n uint64) string {
	if n == 1 {
		return "1 run is"
	}
	return Number(n) + " runs are"
}

func (t *texter) diff(r *Report) {
	t.f("\n%s\n", t.clean(r.Sentence()))
	for i := range r.Diff.PerRule {
		d := &r.Diff.PerRule[i]
		if d.More == nil && d.Fewer == nil {
			continue
		}
		t.f("\n  %s (%s): %s before, %s after\n", t.clean(d.Rule), d.Change, Number(d.Before), Number(d.After))
		t.direction("+", "more", d.More)
		t.direction("-", "fewer", d.Fewer)
	}
}

// direction shows at most DefaultTop devices; JSON and HTML have more.
func (t *texter) direction(sign, word string, d *Direction) {
	if d == nil {
		return
	}
	t.f("    %s %s %s, on %s; the first of each:\n", sign, Number(d.Runs), word, plural(uint64(d.Total), "device"))
	for i, x := range d.Devices {
		if i == DefaultTop {
			break
		}
		t.f("      %-20s %6s  %s\n", t.name(x.Device), Number(x.Runs), t.sample(x.First))
	}
	if n := d.Total - min(len(d.Devices), DefaultTop); n > 0 {
		t.f("      and %s more\n", plural(uint64(n), "device"))
	}
}

func (t *texter) name(device string) string {
	if device == "" {
		return "(no device)"
	}
	return t.clean(device)
}

func (t *texter) sample(s *Sample) string {
	if s == nil {
		return ""
	}
	out := s.Time.Format(stamp) + " " + s.Type
	if s.Timer {
		out = s.Time.Format(stamp) + " (time was up) " + s.Type
	}
	if s.Interface != "" {
		out += " " + s.Interface
	}
	if s.Events > 1 {
		out += fmt.Sprintf(" (%d events)", s.Events)
	}
	if s.Message != "" {
		out += "  " + cut(s.Message, 110)
	}
	return t.clean(out)
}

func (t *texter) rules(x *Result) {
	t.f("\nRules\n  %-28s %9s %9s %9s %9s %9s %8s  %s\n", "rule", "runs", "findings", "held", "suppr.", "dedup", "devices", "busiest minute")
	for i := range x.PerRule {
		r := &x.PerRule[i]
		busiest := "-"
		if r.Busiest != nil {
			busiest = fmt.Sprintf("%s (%s)", r.Busiest.Start.Format(minuteStamp), Number(r.Busiest.Runs))
		}
		t.f("  %-28s %9s %9s %9s %9s %9s %8s  %s\n", t.clean(r.Rule), Number(r.Runs), Number(r.Findings), Number(r.Held),
			Number(r.Suppressed), Number(r.Duplicate), Number(uint64(r.Devices)), busiest)
		for _, note := range r.notes() {
			t.f("  %-28s   %s\n", "", t.clean(note))
		}
	}
}

// notes are what the columns of a table do not say.
func (r *RuleResult) notes() []string {
	var out []string
	add := func(n uint64, what, format string, args ...any) {
		if n > 0 {
			out = append(out, fmt.Sprintf(format, append([]any{plural(n, what)}, args...)...))
		}
	}
	if r.Mode != "" && r.Mode != "active" {
		out = append(out, "mode "+r.Mode)
	}
	add(r.Shadow, "run", "%s but for its mode")
	add(r.Refused, "run", "%s refused by a limit")
	add(r.Updated, "run", "%s for a situation that was open")
	add(r.Resolved, "run", "%s for one that was resolved")
	add(r.Joined, "event", "%s counted towards a finding")
	add(r.Absorbed, "event", "%s left to what another rule found")
	add(r.Released, "held event", "%s released")
	add(r.Dampened, "event", "%s dampened")
	add(r.Upstream, "event", "%s behind a device or link that was down")
	add(r.Loop, "event", "%s stopped as a loop")
	add(r.Late, "event", "%s came too late")
	add(r.Full, "event", "%s not taken: too many keys")
	add(r.Errors, "event", "%s for which the condition had no answer; the first: %s", r.Error)
	return out
}

func (t *texter) limits(x *Result) {
	if len(x.Limits) == 0 {
		return
	}
	t.f("\nLimits\n  %-28s %-36s %9s %9s  %s\n", "rule", "limit", "refused", "keys", "the first refused")
	for i, l := range x.Limits {
		if i == DefaultTop && l.Refused == 0 {
			t.f("  and %s more that would have refused nothing\n", plural(uint64(len(x.Limits)-i), "limit"))
			break
		}
		first := ""
		if l.First != nil {
			first = "  " + l.First.String()
		}
		t.f("  %-28s %-36s %9s %9s%s\n", t.clean(l.whose()), t.clean(l.Limit), Number(l.Refused), Number(uint64(l.Keys)), t.clean(first))
	}
}

// whose says which rule's limit it is.
func (l *LimitResult) whose() string {
	if l.Rule == "" {
		return "(all rules)"
	}
	return l.Rule
}

// String tells a refusal in one line.
func (f *Refusal) String() string {
	out := f.Time.Format(stamp) + " " + f.Rule
	if f.Key != "" {
		out += ", " + f.Key
	}
	return out
}

func (t *texter) devices(x *Result) {
	if len(x.TopDevices) == 0 {
		return
	}
	t.f("\nDevices (%s in all)\n", Number(uint64(x.Devices)))
	for _, d := range x.TopDevices {
		t.f("  %-28s %9s\n", t.name(d.Device), Number(d.Runs))
	}
}

func (t *texter) unmatched(x *Result) {
	if x.Unmatched == 0 {
		return
	}
	t.f("\nEvents that no rule took, by type\n")
	left := uint64(0)
	for i, c := range x.Types {
		switch {
		case c.Unmatched == 0:
		case i < DefaultTop:
			t.f("  %-28s %9s of %s\n", t.clean(c.Type), Number(c.Unmatched), Number(c.Events))
		default:
			left++
		}
	}
	if left > 0 {
		t.f("  and %s more\n", plural(left, "type"))
	}
}

func (t *texter) notes(r *Report) {
	notes := r.notes()
	if len(notes) == 0 {
		return
	}
	t.f("\nNotes\n")
	for _, n := range notes {
		t.f("  - %s\n", t.clean(n))
	}
}

// notes are what a reader should know of how the report came about.
func (r *Report) notes() []string {
	var out []string
	if m := r.Made.Remap; m != nil {
		out = append(out, m.String())
	}
	out = append(out, r.Made.Notes...)
	if n := r.Rules.Uncounted; n > 0 {
		out = append(out, Number(n)+" runs touched devices beyond the first "+Number(MaxPairs)+" pairs of rule and device, which are not listed")
	}
	return out
}

// Number writes n with commas between thousands.
func Number(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func plural(n uint64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return Number(n) + " " + what + "s"
}

// long writes a duration with its two largest units.
func long(d time.Duration) string {
	day := 24 * time.Hour
	switch d = d.Round(time.Second); {
	case d >= day:
		return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	}
	return d.String()
}
