package normalize

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"signalbox/internal/normalize/payload"
)

// bodyPlan is what is done with a body before any mapping is tried: the lists
// that it may be split by, in the order of the mappings, and the secrets that
// are taken out of it.
type bodyPlan struct {
	lists  [][]pathStep
	redact [][]pathStep
}

// bodyPlans gathers them by the name that a source gives. Secrets go whichever
// mapping takes the message in the end, and if none does.
func bodyPlans(ms []*mapping) map[string]bodyPlan {
	out := map[string]bodyPlan{}
	for _, m := range ms {
		if m.each == nil && m.redact == nil {
			continue
		}
		group, _, _ := strings.Cut(m.name, ".")
		p := out[group]
		if m.each != nil && !slices.ContainsFunc(p.lists, func(l []pathStep) bool { return slices.Equal(l, m.each) }) {
			p.lists = append(p.lists, m.each)
		}
		p.redact = append(p.redact, m.redact...)
		out[group] = p
	}
	return out
}

// SplitPayload takes a body apart where a mapping of the name that the source
// gives says `each:`: into one body for each element of the first such list
// that is there, with that element alone in it, so that each can be mapped by
// itself, now and again later. nil means that raw is one event. raw is one JSON
// object, checked. An error is a *payload.Error.
func (n *Normalizer) SplitPayload(mapping string, raw []byte) ([][]byte, error) {
	for _, list := range n.bodies[mapping].lists {
		if payload.HasList(raw, list) {
			return payload.SplitList(raw, list)
		}
	}
	return nil, nil
}

// redacted is raw without the secrets that the mappings of the name say stand
// in it; raw itself where there are none.
func (n *Normalizer) redacted(mapping string, raw []byte) []byte {
	for _, path := range n.bodies[mapping].redact {
		raw = payload.Redact(raw, path)
	}
	return raw
}

// each reads `each:` and `redact:`, to which all other values may refer.
func (r *reader) each(m *mapping, keys map[string]*yaml.Node) {
	for _, k := range []string{"each", "redact"} {
		if n := keys[k]; n != nil && m.form != Payload {
			r.fail(n, "%s: is for payload mappings", k)
			return
		}
	}
	if n := keys["each"]; n != nil {
		m.eachSrc = r.text(n, "each")
		path, err := compileBodyPath(m.eachSrc)
		switch {
		case err != nil:
			r.fail(n, "each: %v", err)
		case len(path) == 0:
			r.fail(n, "each: name the list, as in $.alerts; a body that is a list is split by itself")
		default:
			m.each = path
			m.slots.each = append(slices.Clip(path), pathStep{Index: 0})
		}
	}
	if n := keys["redact"]; n != nil {
		for _, src := range r.list(n, "redact") {
			r.secretPath(m, src)
		}
	}
}

// secretPath reads one entry of `redact:`. Within the list of `each:` it is for
// every element, whether the message was split or not.
func (r *reader) secretPath(m *mapping, n *yaml.Node) {
	src := n.Value
	var start []pathStep
	if isEach(src) {
		if m.each == nil {
			r.fail(n, "redact: %q: the mapping does not say with `each:` which list it goes through", src)
			return
		}
		start = append(slices.Clip(m.each), pathStep{Index: payload.EveryElement})
		src = "$" + strings.TrimPrefix(src, eachPart)
	}
	path, err := compileBodyPath(src)
	if err == nil && len(path) > 0 {
		m.redact = append(m.redact, append(start, path...))
		return
	}
	r.fail(n, "redact: name the secret, as in $.sharedSecret, not %q", n.Value)
}

func compileBodyPath(src string) ([]pathStep, error) {
	if !strings.HasPrefix(src, "$") {
		return nil, fmt.Errorf("%q is no path: write $.name.name or $.name[0]", src)
	}
	return compilePath(src)
}
