package main

import (
	"context"
	"fmt"
	"maps"
	"os/exec"
	"regexp"
	"slices"
	"strings"
)

// benchLine is a line of go test -bench: name, and the figures by unit.
var benchLine = regexp.MustCompile(`(?m)^Benchmark(\S+?)(?:-\d+)?\s+\d+\s+(.*)$`)

// goBench runs benchmarks of a package and gives their figures by name and unit.
func goBench(ctx context.Context, pattern, time, pkg string) (map[string]map[string]float64, error) {
	out, err := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", pattern, "-benchtime", time, "signalbox/"+pkg).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("go test -bench %s %s: %w\n%s", pattern, pkg, err, out)
	}
	all := map[string]map[string]float64{}
	for _, m := range benchLine.FindAllStringSubmatch(string(out), -1) {
		units := map[string]float64{}
		f := strings.Fields(m[2])
		for i := 0; i+1 < len(f); i += 2 {
			var v float64
			_, _ = fmt.Sscan(f[i], &v)
			units[f[i+1]] = v
		}
		all[m[1]] = units
	}
	return all, nil
}

// ruleMatching is one event against all rules (internal/rule, BenchmarkMatch).
func ruleMatching(ctx context.Context, b *bench) ([]row, error) {
	res, err := goBench(ctx, "^BenchmarkMatch$", b.seconds(1).String(), "internal/rule")
	if err != nil {
		return nil, err
	}
	ns := func(n int) float64 { return res[fmt.Sprintf("Match/%d", n)]["ns/op"] }
	var rows []row
	for _, n := range []int{10, 1000, 10_000} {
		v := ns(n)
		if v == 0 {
			return rows, fmt.Errorf("no figure for %d rules: %v", n, res)
		}
		r := row{what: fmt.Sprintf("an event against %s rules", count(n)), figure: count(v) + " ns/event"}
		switch n {
		case 1000:
			evals := 1e9 / v * float64(n)
			r.figure += "; " + rate(evals, "rule evaluations") + " and core"
			r = r.want("≥ 1,000,000/s and core", evals >= 1e6)
		case 10_000:
			r.beside = times(v/ns(10), "10 rules")
			r = r.want("≤ 2 × 10 rules", v <= 2*ns(10))
		}
		rows = append(rows, r)
	}
	return b.conditions(ctx, rows)
}

// spaces undoes what go test does to names, where it can be told.
var spaces = strings.NewReplacer("_==_", " == ", "_!=_", " != ", "_&&_", " && ")

// conditions is what one condition costs that no index can answer.
func (b *bench) conditions(ctx context.Context, rows []row) ([]row, error) {
	res, err := goBench(ctx, "^BenchmarkCondition$", b.seconds(1).String(), "internal/rule")
	if err != nil {
		return rows, err
	}
	for _, name := range slices.Sorted(maps.Keys(res)) {
		text := spaces.Replace(strings.TrimPrefix(name, "Condition/"))
		v := 1e9 / res[name]["ns/op"]
		rows = append(rows, row{what: "without the index: " + strings.ReplaceAll(text, "|", "\\|"), figure: rate(v, "evaluations") + " and core"}.
			want("≥ 1,000,000/s and core", v >= 1e6))
	}
	return rows, nil
}
