package normalize

// Counts is how many mappings are loaded, and how many examples they carry.
func (n *Normalizer) Counts() (mappings, examples int) {
	for _, m := range n.mappings {
		examples += len(m.examples)
	}
	return len(n.mappings), examples
}
