package payload

import (
	"bytes"
	"strings"

	jsonscan "signalbox/internal/schema/scan"
)

// Step is one step of a path into a JSON document: a member by its name or,
// where Name is "", an element by its index.
type Step struct {
	Name  string
	Index int // from 0; EveryElement for all of them
}

// EveryElement is the index that stands for all elements of an array.
const EveryElement = -1

// Dotted makes a path of a member's name as configurations write it:
// "event.sharedSecret".
func Dotted(field string) []Step {
	var out []Step
	for name := range strings.SplitSeq(field, ".") {
		out = append(out, Step{Name: name})
	}
	return out
}

// Redacted is what stands in place of a secret.
const Redacted = `"[redacted]"`

// Redact returns doc with every value at the path replaced by Redacted: with
// every one, since a name may be there twice. It returns doc itself where there
// is none, and never writes to doc. Of a doc that is no JSON object, and so no
// event, it blanks what follows the path's last name wherever that stands: a
// secret does not get by in a damaged body.
func Redact(doc []byte, path []Step) []byte {
	if len(path) == 0 {
		return doc
	}
	var found []stretch
	if firstByte(doc) == '{' && jsonscan.Check(doc, maxDepth) == nil {
		found = valuesAt(doc, doc, path, nil)
	} else if name := lastName(path); name != "" {
		found = valuesNamed(doc, name)
	}
	return replaced(doc, found)
}

// maxDepth is deeper than any body that becomes an event.
const maxDepth = 1000

// stretch is a part of a document: bytes from start to before end.
type stretch struct{ start, end int }

// stretchOf is where part, a slice of doc, lies in it. Slices that are cut from
// one another keep the end of their capacity, so that their difference is the
// distance.
func stretchOf(doc, part []byte) stretch {
	start := cap(doc) - cap(part)
	return stretch{start, start + len(part)}
}

func valuesAt(doc, v []byte, path []Step, found []stretch) []stretch {
	if len(path) == 0 {
		if !jsonscan.IsNull(v) {
			found = append(found, stretchOf(doc, v))
		}
		return found
	}
	if step := path[0]; step.Name != "" {
		for name, val := range jsonscan.Members(v) {
			if jsonscan.NameIs(name, step.Name) {
				found = valuesAt(doc, val, path[1:], found)
			}
		}
	} else {
		i := 0
		for val := range jsonscan.Elements(v) {
			if i == step.Index || step.Index == EveryElement {
				found = valuesAt(doc, val, path[1:], found)
			}
			i++
		}
	}
	return found
}

func lastName(path []Step) string {
	for i := len(path) - 1; i >= 0; i-- {
		if path[i].Name != "" {
			return path[i].Name
		}
	}
	return ""
}

// valuesNamed finds what stands after "name": in a text that only resembles
// JSON: a string up to its quote, or up to the end where it has none; anything
// else up to where a value ends.
func valuesNamed(doc []byte, name string) (found []stretch) {
	quoted := jsonscan.AppendString(nil, name)
	for at := 0; ; {
		i := bytes.Index(doc[at:], quoted)
		if i < 0 {
			return found
		}
		at += i + len(quoted)
		start := skipBlank(doc, at)
		if start >= len(doc) || doc[start] != ':' {
			continue
		}
		start = skipBlank(doc, start+1)
		if start >= len(doc) {
			return found
		}
		end := len(doc)
		if doc[start] == '"' {
			if e := stringEnd(doc, start+1); e >= 0 {
				end = e + 1
			}
		} else if n := bytes.IndexAny(doc[start:], ",}] \t\r\n"); n >= 0 {
			end = start + n
		}
		found = append(found, stretch{start, end})
		at = end
	}
}

func skipBlank(doc []byte, i int) int {
	for i < len(doc) && (doc[i] == ' ' || doc[i] == '\t' || doc[i] == '\r' || doc[i] == '\n') {
		i++
	}
	return i
}

func replaced(doc []byte, found []stretch) []byte {
	if len(found) == 0 {
		return doc
	}
	out := make([]byte, 0, len(doc)+len(found)*len(Redacted))
	at := 0
	for _, f := range found {
		out = append(append(out, doc[at:f.start]...), Redacted...)
		at = f.end
	}
	return append(out, doc[at:]...)
}
