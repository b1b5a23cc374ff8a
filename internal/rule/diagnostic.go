package rule

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
)

// Severity says whether a diagnostic keeps the rules from being loaded.
type Severity string

const (
	Error   Severity = "error"   // the rules are not loaded
	Warning Severity = "warning" // they are, but look
)

// Diagnostic is one thing to say about a place in a file.
type Diagnostic struct {
	Pos      Pos
	Severity Severity
	Message  string
	Hint     string // what was expected or likely meant; "" for nothing to say
}

// String writes the diagnostic on one line: file:line:col: message (hint).
func (d Diagnostic) String() string {
	s := fmt.Sprintf("%s:%d:%d: ", d.Pos.File, d.Pos.Line, d.Pos.Col)
	if d.Severity == Warning {
		s += "warning: "
	}
	s += d.Message
	if d.Hint != "" {
		s += " (" + d.Hint + ")"
	}
	return s
}

// Format writes the diagnostic with the line it is about, its neighbours and a
// caret below the place. src is the whole file.
func (d Diagnostic) Format(src []byte) string {
	var b strings.Builder
	b.WriteString(d.String())
	b.WriteByte('\n')
	lines := strings.Split(string(src), "\n")
	if d.Pos.Line < 1 || d.Pos.Line > len(lines) {
		return b.String()
	}
	width := len(fmt.Sprint(d.Pos.Line + 1))
	for n := max(1, d.Pos.Line-1); n <= min(len(lines), d.Pos.Line+1); n++ {
		if n == len(lines) && lines[n-1] == "" {
			continue // what follows the last newline is no line
		}
		line := printable(lines[n-1])
		fmt.Fprintf(&b, "  %*d | %s\n", width, n, line)
		if n == d.Pos.Line {
			col := min(max(d.Pos.Col, 1), len([]rune(line))+1)
			fmt.Fprintf(&b, "  %*s | %s^\n", width, "", strings.Repeat(" ", col-1))
		}
	}
	return b.String()
}

// printable keeps a line from playing tricks with the terminal, and the caret
// where it belongs.
func printable(line string) string {
	line = strings.TrimSuffix(line, "\r")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r < 0x20, r >= 0x7f && r < 0xa0:
			return '·'
		}
		return r
	}, line)
}

// HasErrors says whether any of the diagnostics is an error.
func HasErrors(ds []Diagnostic) bool {
	return slices.ContainsFunc(ds, func(d Diagnostic) bool { return d.Severity == Error })
}

func sortDiagnostics(ds []Diagnostic) []Diagnostic {
	slices.SortStableFunc(ds, func(a, b Diagnostic) int {
		return cmp.Or(
			cmp.Compare(a.Pos.File, b.Pos.File),
			cmp.Compare(a.Pos.Line, b.Pos.Line),
			cmp.Compare(a.Pos.Col, b.Pos.Col),
			cmp.Compare(a.Message, b.Message),
		)
	})
	return slices.Compact(ds)
}

// nearest gives the known word that was likely meant, or "". Short words must
// be close: nearly everything is two letters from "in".
func nearest(word string, known []string) string {
	lower := strings.ToLower(word)
	best, at := "", max(1, min(len(word)/3, 3))+1
	for _, k := range known {
		other := strings.ToLower(k)
		d := levenshtein.ComputeDistance(lower, other)
		if d == 2 && letters(lower) == letters(other) {
			d = 1 // two letters changed places: one slip
		}
		if d < at {
			best, at = k, d
		}
	}
	return best
}

func letters(s string) string {
	r := []rune(s)
	slices.Sort(r)
	return string(r)
}

// didYouMean is the end of a message about a misspelt word, or "".
func didYouMean(word string, known []string) string {
	if n := nearest(word, known); n != "" {
		return fmt.Sprintf(", did you mean %q?", n)
	}
	return ""
}

// nearHint is a hint with the likely word, where there is one.
func nearHint(word string, known []string) string {
	if n := nearest(word, known); n != "" {
		return fmt.Sprintf("did you mean %q?", n)
	}
	return ""
}

// Likely is a hint about a misspelt word, for who reads files that stand beside
// rules: the likely one, or all there are where they are few.
func Likely(word string, known []string) string { return spellHint(word, known) }

// spellHint is a hint about a misspelt word: the likely one, or all there are
// where they are few.
func spellHint(word string, known []string) string {
	if n := nearest(word, known); n != "" {
		return fmt.Sprintf("did you mean %q?", n)
	}
	if len(known) > 0 && len(known) <= 16 {
		return "there are " + strings.Join(known, ", ")
	}
	return ""
}

func contains(list []string, s string) bool { return slices.Contains(list, s) }

func sorted(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}
