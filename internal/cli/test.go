package cli

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/spf13/cobra"

	"signalbox/internal/daemon"
	"signalbox/internal/rule"
	"signalbox/internal/ruletest"
)

// testFlags are the flags of `signalbox test`.
type testFlags struct {
	config, run, junit string
	coverage, verbose  bool
}

func (a *app) testCmd() *cobra.Command {
	var f testFlags
	cmd := &cobra.Command{
		Use:   "test [PATH...]",
		Short: "Run the tests of rules: made-up events, and what must come of them",
		Long: `Runs the tests that rule files carry (tests:) and those of files of their own
(*.test.yaml): events at made-up times go through the rules as they would live, and
what the rules decide is compared with what the test expects. Nothing is done and no
server is needed. PATH is a folder, a file of rules, or a file of tests; without one
it is this folder. Exits 1 if a test fails.`,
		Example: `  signalbox test
  signalbox test rules/bgp.yaml --run 'flap|outage'
  signalbox test --junit report.xml --coverage`,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{"."}
			}
			only, err := regexp.Compile(f.run)
			if err != nil {
				return &usageError{fmt.Errorf("--run: %w", err)}
			}
			plans, err := gatherTests(args, f.config)
			if err != nil {
				return a.mistakes(err)
			}
			return a.runTests(plans, only, f)
		},
	}
	cmd.Flags().StringVar(&f.config, "config", "", "configuration with inventory, mappings and types (default the nearest signalbox.yaml)")
	cmd.Flags().StringVar(&f.run, "run", "", "only tests whose name matches this pattern")
	cmd.Flags().StringVar(&f.junit, "junit", "", "write JUnit XML to this file")
	cmd.Flags().BoolVar(&f.coverage, "coverage", false, "show which rules and branches no test reaches")
	cmd.Flags().BoolVarP(&f.verbose, "verbose", "v", false, "list the tests that pass, too")
	return cmd
}

// testPlan is tests that run on one set of rules.
type testPlan struct {
	loaded *daemon.Loaded
	env    ruletest.Env
	tests  []*ruletest.Test
}

// mistakesOf makes diagnostics ready to be printed.
func mistakesOf(diags []rule.Diagnostic) error {
	var m daemon.Mistakes
	for _, d := range diags {
		src, err := os.ReadFile(d.Pos.File)
		if err != nil {
			src = nil
		}
		m = append(m, d.Format(src))
	}
	if len(m) == 0 {
		return nil
	}
	return m
}

func (a *app) runTests(plans []*testPlan, only *regexp.Regexp, f testFlags) error {
	var cov *ruletest.Coverage
	if f.coverage {
		cov = ruletest.NewCoverage()
	}
	suites, ran, failed := map[string]*ruletest.Suite{}, 0, 0
	var order []string
	for _, p := range plans {
		p.env.Coverage = cov
		cov.Use(p.loaded.Set)
		for _, t := range p.tests {
			if !only.MatchString(t.Name) {
				continue
			}
			s := suites[t.Pos.File]
			if s == nil {
				s = &ruletest.Suite{File: t.Pos.File}
				suites[t.Pos.File] = s
				order = append(order, t.Pos.File)
			}
			began := time.Now()
			res := p.env.Run(t)
			s.Took += time.Since(began)
			s.Results = append(s.Results, res)
			ran++
			if !res.OK() {
				failed++
			}
			if err := a.printResult(res, f.verbose); err != nil {
				return err
			}
		}
	}
	if f.junit != "" {
		if err := writeJUnit(f.junit, order, suites); err != nil {
			return err
		}
	}
	if f.coverage {
		if err := a.printCoverage(cov); err != nil {
			return err
		}
	}
	return a.testSummary(ran, failed, len(order), f)
}

func (a *app) testSummary(ran, failed, files int, f testFlags) error {
	switch {
	case a.json:
		if err := a.printJSON(map[string]int{"tests": ran, "failed": failed}); err != nil {
			return err
		}
	case ran == 0 && f.run != "":
		a.printf("no test matches %q\n", clean(f.run))
	case ran == 0:
		a.printf("there are no tests here; docs/testing-rules.md says how to write one\n")
	case failed > 0:
		a.printf("%d of %d tests failed\n", failed, ran)
	default:
		a.printf("%d tests in %d files: all well\n", ran, files)
	}
	if failed > 0 || ran == 0 && f.run != "" {
		return errSilent
	}
	return nil
}

// testLine is one test in JSON.
type testLine struct {
	Test     string        `json:"test"`
	File     string        `json:"file"`
	Line     int           `json:"line"`
	OK       bool          `json:"ok"`
	Failures []failureLine `json:"failures,omitempty"`
	Timeline string        `json:"timeline,omitempty"`
}

type failureLine struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Message string `json:"message"`
}

func (a *app) printResult(r *ruletest.Result, verbose bool) error {
	t := r.Test
	if a.json {
		l := testLine{Test: t.Name, File: t.Pos.File, Line: t.Pos.Line, OK: r.OK(), Timeline: r.Timeline}
		for _, f := range r.Failures {
			l.Failures = append(l.Failures, failureLine{f.Pos.File, f.Pos.Line, f.Message})
		}
		return a.printJSON(l)
	}
	switch {
	case !r.OK():
		a.printf("FAIL  %s (%s:%d)\n", clean(t.Name), clean(t.Pos.File), t.Pos.Line)
		for line := range bytes.Lines([]byte(r.Text())) {
			a.printf("  %s", line)
		}
		a.printf("\n")
	case verbose:
		a.printf("ok    %s (%s:%d)\n", clean(t.Name), clean(t.Pos.File), t.Pos.Line)
	}
	return nil
}

func (a *app) printCoverage(cov *ruletest.Coverage) error {
	rules, tested, branches, reached := 0, 0, 0, 0
	for _, c := range cov.Report() {
		if a.json {
			if err := a.printJSON(c); err != nil {
				return err
			}
			continue
		}
		rules++
		if c.Tested {
			tested++
		} else {
			a.printf("%s:%d: no test starts a run of %s\n", clean(c.File), c.Line, clean(c.Rule))
		}
		for _, b := range c.Branches {
			branches++
			if b.Reached {
				reached++
			} else if c.Tested {
				a.printf("%s:%d: %s: no test reaches %s\n", clean(b.File), b.Line, clean(c.Rule), clean(b.What))
			}
		}
	}
	if !a.json {
		a.printf("coverage: %d of %d rules, %d of %d branches\n", tested, rules, reached, branches)
	}
	return nil
}

func writeJUnit(path string, order []string, suites map[string]*ruletest.Suite) error {
	var list []ruletest.Suite
	for _, file := range order {
		list = append(list, *suites[file])
	}
	var b bytes.Buffer
	if err := ruletest.WriteJUnit(&b, list); err != nil {
		return fmt.Errorf("--junit: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("--junit: %w", err)
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}
