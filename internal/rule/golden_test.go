package rule_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"signalbox/internal/rule"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestDiagnostics compares what is said about each file of testdata/check with
// its golden file. Read the diff after -update.
func TestDiagnostics(t *testing.T) {
	files, err := filepath.Glob("testdata/check/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			src, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			b := bundle("")
			b.Rules = []rule.File{{Name: filepath.Base(path), Data: src}}
			set, _, diags := rule.Load(b, options())
			if (set == nil) != rule.HasErrors(diags) {
				t.Errorf("set is nil: %v, errors: %v", set == nil, rule.HasErrors(diags))
			}
			var out strings.Builder
			for _, d := range diags {
				out.WriteString(d.Format(src))
			}
			golden(t, strings.TrimSuffix(path, ".yaml")+".golden", out.String())
		})
	}
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}
