package rule

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"

	"go.yaml.in/yaml/v4"
)

// doing is a hash of what a rule does with what it finds.
func doing(nodes map[string]*yaml.Node) string {
	h := sha256.New()
	for _, n := range []*yaml.Node{nodes["do"], nodes["situation"]} {
		if n != nil {
			writeMeaning(h, n, false)
		}
		fmt.Fprint(h, ";")
	}
	return hex.EncodeToString(h.Sum(nil))
}

// writeMeaning writes a node in one canonical form. top leaves out what of a
// rule changes nothing that it does.
func writeMeaning(w io.Writer, n *yaml.Node, top bool) {
	n = deref(n)
	switch n.Kind {
	case yaml.MappingNode:
		type pair struct{ k, v *yaml.Node }
		var pairs []pair
		for i := 0; i+1 < len(n.Content); i += 2 {
			k := deref(n.Content[i])
			if top && (k.Value == "description" || k.Value == "tests") {
				continue
			}
			pairs = append(pairs, pair{k, n.Content[i+1]})
		}
		slices.SortStableFunc(pairs, func(a, b pair) int { return cmp.Compare(a.k.Value, b.k.Value) })
		fmt.Fprintf(w, "{%d:", len(pairs))
		for _, p := range pairs {
			writeMeaning(w, p.k, false)
			writeMeaning(w, p.v, false)
		}
	case yaml.SequenceNode:
		fmt.Fprintf(w, "[%d:", len(n.Content))
		for _, item := range n.Content {
			writeMeaning(w, item, false)
		}
	default:
		fmt.Fprintf(w, "%s %d:%s", n.ShortTag(), len(n.Value), n.Value)
	}
}
