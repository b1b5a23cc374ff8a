// Package docs checks that the documentation says what the code does: every key
// of the configuration with its default, every metric, every event type, every
// example and every link.
package docs

import (
	"encoding/json"
	"flag"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"signalbox/internal/cli"
	"signalbox/internal/daemon"
	"signalbox/internal/metrics"
)

const root = "../.."

var update = flag.Bool("update", false, "write docs/event-types.md anew")

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func pages(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/adr/*.md", "examples/*/*.md", "packs/*/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			rel, err := filepath.Rel(root, f)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, rel)
		}
	}
	if len(out) < 10 {
		t.Fatalf("only %d pages found", len(out))
	}
	return out
}

var envName = regexp.MustCompile(`\$\{env\.([A-Z0-9_]+)\}`)

// TestExamples checks every example folder as `signalbox check` does.
func TestExamples(t *testing.T) {
	found, err := filepath.Glob(filepath.Join(root, "examples/*/signalbox.yaml"))
	if err != nil || len(found) < 3 {
		t.Fatalf("examples: %v, %v", found, err)
	}
	for _, path := range found {
		t.Run(filepath.Base(filepath.Dir(path)), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range envName.FindAllStringSubmatch(string(text), -1) {
				value := "0123456789abcdef"
				if strings.HasSuffix(m[1], "URL") {
					value = "amqp://guest:guest@127.0.0.1:5672/"
				}
				t.Setenv(m[1], value)
			}
			report, err := daemon.Check(path)
			if err != nil {
				t.Fatal(err)
			}
			if report.Rules == 0 || report.Sources == 0 {
				t.Errorf("%d rules, %d sources", report.Rules, report.Sources)
			}
			for _, w := range report.Warnings {
				if !strings.Contains(w, "http.tls") { // the keys are the user's to make
					t.Error(w)
				}
			}
		})
	}
}

// TestExamplesPassTheirTests runs what examples have for `signalbox test`.
func TestExamplesPassTheirTests(t *testing.T) {
	found, err := filepath.Glob(filepath.Join(root, "examples/*/tests"))
	if err != nil || len(found) == 0 {
		t.Fatalf("examples with tests: %v, %v", found, err)
	}
	for _, path := range found {
		t.Run(filepath.Base(filepath.Dir(path)), func(t *testing.T) {
			t.Setenv("TICKETS_TOKEN", "0123456789abcdef")
			var out, errs strings.Builder
			if code := cli.Main([]string{"test", path, "--coverage"}, strings.NewReader(""), &out, &errs); code != 0 {
				t.Fatalf("exit code %d\n%s%s", code, &out, &errs)
			}
			if m := covered.FindStringSubmatch(out.String()); m == nil || m[1] != m[2] || m[3] != m[4] {
				t.Errorf("not every rule and branch is reached:\n%s", &out)
			}
		})
	}
}

var covered = regexp.MustCompile(`coverage: (\d+) of (\d+) rules, (\d+) of (\d+) branches`)

var (
	link    = regexp.MustCompile(`\]\(([^)#\s]*)(?:#([^)]*))?\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	noSlug  = regexp.MustCompile(`[^a-z0-9 _-]`)
)

// anchors are the places in a page that links can name.
func anchors(text string) []string {
	var out []string
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		slug := noSlug.ReplaceAllString(strings.ToLower(m[1]), "")
		out = append(out, strings.ReplaceAll(slug, " ", "-"))
	}
	return out
}

// TestLinks follows every relative link of every page, to its heading.
func TestLinks(t *testing.T) {
	for _, page := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(read(t, page), -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			to := page
			if m[1] != "" {
				to = filepath.Join(filepath.Dir(page), m[1])
			}
			if _, err := os.Stat(filepath.Join(root, to)); err != nil {
				t.Errorf("%s: the link %s leads nowhere", page, m[1])
				continue
			}
			if m[2] != "" && !slices.Contains(anchors(read(t, to)), m[2]) {
				t.Errorf("%s: %s has no heading #%s", page, to, m[2])
			}
		}
	}
}

var metricName = regexp.MustCompile(`\bsignalbox_[a-z_]+\b`)

// metricNames are those that the code has, as they are scraped.
func metricNames(t *testing.T) []string {
	t.Helper()
	s := metrics.New()
	for _, status := range []string{"decided", "duplicate"} {
		s.Event("x", status)
	}
	s.Processed("x", time.Second)
	s.Received("x", 1)
	s.Refused("x", "x", 1)
	s.KernelDrops("x", 1)
	s.Unparsed("x", "x")
	s.SourceUp("x", true)
	s.Queue("x", 1)
	s.Batch("x", 1, 1, time.Second)
	s.Retry("x")
	s.Run("x", "failed")
	s.Reload(true)
	s.Finding("x", "count")
	s.Outcome("x", "held")
	s.Keys([]metrics.RuleKeys{{Rule: "x", Held: 1, Evicted: 1}})
	s.Tick()
	s.Timer(time.Second)
	s.Situations("open", 1)
	s.Resets(1)
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	var out []string
	for _, line := range strings.Split(w.Body.String(), "\n") {
		if name, ok := strings.CutPrefix(line, "# TYPE signalbox_"); ok {
			name, _, _ = strings.Cut(name, " ")
			out = append(out, "signalbox_"+name)
		}
	}
	if len(out) < 15 {
		t.Fatalf("only %d metrics: %v", len(out), out)
	}
	return out
}

// TestMetrics compares the metrics of the code with those that the
// documentation, the dashboard and the alerts name.
func TestMetrics(t *testing.T) {
	known := metricNames(t)
	operations := read(t, "docs/operations.md")
	for _, name := range known {
		if !strings.Contains(operations, "`"+name+"`") {
			t.Errorf("docs/operations.md does not tell of %s", name)
		}
	}
	const alerts, dashboard = "examples/grafana/alerts.yaml", "examples/grafana/dashboard.json"
	var rules struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, alerts)), &rules); err != nil || len(rules.Groups) == 0 {
		t.Errorf("%s: %d groups, %v", alerts, len(rules.Groups), err)
	}
	if !json.Valid([]byte(read(t, dashboard))) {
		t.Errorf("%s is not JSON", dashboard)
	}
	files := append(pages(t), alerts, dashboard)
	for _, page := range files {
		for _, name := range metricName.FindAllString(read(t, page), -1) {
			base := name
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				base = strings.TrimSuffix(base, suffix)
			}
			if name == "signalbox_handler" { // a Python module
				continue
			}
			if !slices.Contains(known, name) && !slices.Contains(known, base) {
				t.Errorf("%s names %s, which is not there", page, name)
			}
		}
	}
}
