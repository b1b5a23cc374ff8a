package ruletest

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
)

// Suite is the results of one file.
type Suite struct {
	File    string
	Results []*Result
	Took    time.Duration
}

type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Name     string       `xml:"name,attr"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Errors   int          `xml:"errors,attr"`
	Time     string       `xml:"time,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Time     string      `xml:"time,attr"`
	File     string      `xml:"file,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Name      string        `xml:"name,attr"`
	Classname string        `xml:"classname,attr"`
	File      string        `xml:"file,attr"`
	Line      int           `xml:"line,attr"`
	Time      string        `xml:"time,attr"`
	Failure   *junitFailure `xml:"failure"`
}

type junitFailure struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",cdata"`
}

// WriteJUnit writes results as JUnit XML: one testsuite a file, one testcase a
// test, with file and line, as CI systems read it.
func WriteJUnit(w io.Writer, suites []Suite) error {
	doc := junitSuites{Name: "signalbox"}
	var total time.Duration
	for _, s := range suites {
		js := junitSuite{Name: s.File, File: s.File, Tests: len(s.Results), Time: seconds(s.Took)}
		each := s.Took / time.Duration(max(len(s.Results), 1))
		for _, r := range s.Results {
			c := junitCase{Name: clean(r.Test.Name), Classname: clean(classname(r.Test)), File: r.Test.Pos.File, Line: r.Test.Pos.Line, Time: seconds(each)}
			if !r.OK() {
				js.Failures++
				c.Failure = &junitFailure{Type: "expectation", Message: clean(first(r)), Text: clean(r.Text())}
			}
			js.Cases = append(js.Cases, c)
		}
		doc.Tests += js.Tests
		doc.Failures += js.Failures
		total += s.Took
		doc.Suites = append(doc.Suites, js)
	}
	doc.Time = seconds(total)
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(doc); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func classname(t *Test) string {
	base := strings.TrimSuffix(strings.TrimSuffix(t.Pos.File, ".yml"), ".yaml")
	if t.Rule != "" {
		return base + "." + t.Rule
	}
	return base
}

func first(r *Result) string {
	if len(r.Failures) == 1 {
		return r.Failures[0].Message
	}
	return fmt.Sprintf("%s, and %d more", r.Failures[0].Message, len(r.Failures)-1)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.6f", d.Seconds()) }

// clean takes out what XML 1.0 does not allow even as a reference.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 && r != '\n' && r != '\t' || r == 0xFFFE || r == 0xFFFF {
			return '·'
		}
		return r
	}, strings.ToValidUTF8(s, "·"))
}

// Text tells what is wrong with a test that failed: each failure with its
// place, and then all that happened.
func (r *Result) Text() string {
	var b strings.Builder
	for _, f := range r.Failures {
		fmt.Fprintf(&b, "%s:%d: %s\n", f.Pos.File, f.Pos.Line, printable(f.Message))
	}
	b.WriteByte('\n')
	b.WriteString(r.Timeline)
	return b.String()
}
