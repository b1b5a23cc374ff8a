package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var yamlFence = regexp.MustCompile("(?ms)^```yaml\n(rules:\n.*?)^```")

const docsInventory = `
devices:
  - {name: acc-berlin-01, address: 192.0.2.11, role: access}
`

// TestDocumentedTests runs the tests that docs/testing-rules.md shows.
func TestDocumentedTests(t *testing.T) {
	page, err := os.ReadFile("../../docs/testing-rules.md")
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, m := range yamlFence.FindAllStringSubmatch(string(page), -1) {
		dir := t.TempDir()
		for name, text := range map[string]string{"signalbox.yaml": "rules: [rules.yaml]\ninventory: [devices.yaml]\n",
			"rules.yaml": m[1], "devices.yaml": docsInventory} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var out, errw strings.Builder
		if code := Main([]string{"test", dir}, strings.NewReader(""), &out, &errw); code != 0 {
			t.Errorf("%d: %s%s", code, out.String(), errw.String())
		}
		ran += strings.Count(out.String(), "all well")
	}
	if ran == 0 {
		t.Error("the page shows no tests")
	}
}
