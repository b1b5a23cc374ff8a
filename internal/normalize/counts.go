package normalize

import (
	"maps"
	"slices"
)

// Counts is how many mappings are loaded, and how many examples they carry.
func (n *Normalizer) Counts() (mappings, examples int) {
	for _, m := range n.mappings {
		examples += len(m.examples)
	}
	return len(n.mappings), examples
}

// Types lists the event types that messages of a form may become, sorted. any
// says that there is no telling: a payload names its type itself, and so does a
// message whose mapping takes the type out of it.
func (n *Normalizer) Types(form Form) (types []string, any bool) {
	seen := map[string]bool{}
	switch form {
	case Syslog:
		seen["syslog_message"] = true
	case SNMP:
		seen["snmp_trap"] = true
	default:
		return nil, true
	}
	for _, m := range n.mappings {
		if m.form != form {
			continue
		}
		outcomes := m.typ.outcomes()
		if len(outcomes) == 0 {
			return nil, true
		}
		for _, t := range outcomes {
			seen[t] = true
		}
	}
	return slices.Sorted(maps.Keys(seen)), false
}
