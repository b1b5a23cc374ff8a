package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"signalbox/internal/schema"
)

const typesPage = "docs/event-types.md"

// TestEventTypes compares docs/event-types.md with the catalogue; with -update
// it writes the page.
func TestEventTypes(t *testing.T) {
	c, err := schema.Load()
	if err != nil {
		t.Fatal(err)
	}
	want := typesDocument(c.Types())
	if *update {
		if err := os.WriteFile(filepath.Join(root, typesPage), []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if read(t, typesPage) != want {
		t.Errorf("%s is not what the catalogue says: go test ./test/docs -run TestEventTypes -update", typesPage)
	}
}

const typesHead = `# Event types

This page is made from the schemas in [packs/types](../packs/types/README.md). ` + "`signalbox types`" + `
lists them, with those of your own; ` + "`signalbox types NAME --json`" + ` gives the JSON Schema.

Every event also has: ` + "`id`, `type`, `device`, `interface`, `time` (when it happened, by the\nsender's clock), `received` (by ours), `source` and `peer`" + `. What follows is ` + "`event.data`" + `.

*Key*: the fields that, beside device, type and interface, make two events the same one for
dedup. *Ends*: the types whose dedup window an event of this type ends, so that the next one of
those is news.

`

func typesDocument(types []schema.Type) string {
	var b strings.Builder
	b.WriteString(typesHead)
	b.WriteString("| type | what |\n|---|---|\n")
	for _, t := range types {
		first, _, _ := strings.Cut(t.Doc, ". ")
		fmt.Fprintf(&b, "| [`%s`](#%s) | %s |\n", t.Name, t.Name, cell(first))
	}
	for _, t := range types {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", t.Name, t.Doc)
		if len(t.Key) > 0 {
			fmt.Fprintf(&b, "\nKey: `%s`.\n", strings.Join(t.Key, "`, `"))
		}
		if len(t.Clears) > 0 {
			fmt.Fprintf(&b, "\nEnds: `%s`.\n", strings.Join(t.Clears, "`, `"))
		}
		if len(t.Fields) == 0 {
			continue
		}
		b.WriteString("\n| field | type | what |\n|---|---|---|\n")
		for _, f := range t.Fields {
			kind := f.Type
			if len(f.Enum) > 0 {
				kind = "`" + strings.Join(f.Enum, "`, `") + "`"
			}
			if f.Unit != "" {
				kind += ", " + f.Unit
			}
			if f.Required {
				kind += ", required"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", f.Name, cell(kind), cell(f.Doc))
		}
	}
	return b.String()
}

func cell(s string) string { return strings.ReplaceAll(strings.TrimSuffix(s, "."), "|", `\|`) }
