package normalize

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
)

// suggest names the likeliest of names for a misspelt one, as the end of an
// error: `: did you mean "interface"?`, or "" where none is near.
func suggest(word string, names []string) string {
	best, nearest := "", 1+len(word)/3
	for _, n := range names {
		if d := levenshtein.ComputeDistance(strings.ToLower(word), strings.ToLower(n)); d <= nearest && (best == "" || d < nearest) {
			best, nearest = n, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(": did you mean %q?", best)
}

func keysOf[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
