package normalize

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// PosError is one mistake in a mapping file.
type PosError struct {
	File      string
	Line, Col int // from 1
	Msg       string
}

func (e *PosError) Error() string { return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Col, e.Msg) }

// reader takes one YAML file apart and gathers its mistakes, so that one look
// is enough to mend it.
type reader struct {
	file string
	errs []error
}

func (r *reader) fail(n *yaml.Node, format string, args ...any) {
	r.failAt(n, -1, format, args...)
}

// failAt points at a byte of a scalar's text. Escapes before it in a quoted
// scalar can move the place by a few columns. -1 is the node itself.
func (r *reader) failAt(n *yaml.Node, offset int, format string, args ...any) {
	line, col := 1, 1
	if n != nil {
		line, col = n.Line, n.Column
		if offset >= 0 && n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) == 0 {
			col += offset
			if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
				col++
			}
		}
	}
	r.errs = append(r.errs, &PosError{r.file, line, col, fmt.Sprintf(format, args...)})
}

// parse reads the document; nil where it is no YAML.
func (r *reader) parse(src []byte) *yaml.Node {
	var doc yaml.Node
	if err := yaml.Load(src, &doc); err != nil {
		line, col, msg := 1, 1, err.Error()
		var lerr *yaml.LoadError
		if errors.As(err, &lerr) && lerr.Mark.Line > 0 {
			line, col, msg = lerr.Mark.Line, max(1, lerr.Mark.Column), lerr.Message
			if lerr.ContextMsg != "" {
				msg = lerr.ContextMsg + ": " + msg
			}
		}
		r.errs = append(r.errs, &PosError{r.file, line, col, strings.TrimPrefix(msg, "yaml: ")})
		return nil
	}
	if doc.Kind == yaml.DocumentNode && len(doc.Content) == 1 {
		return doc.Content[0]
	}
	return &doc
}

// entries walks a map in the file's order; keys that are not in known are
// mistakes.
func (r *reader) entries(n *yaml.Node, what string, known []string, each func(key, val *yaml.Node)) {
	n = resolve(n)
	if n.Kind != yaml.MappingNode {
		r.fail(n, "%s: expected a map, as in `key: value`", what)
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], resolve(n.Content[i+1])
		if known != nil && !slices.Contains(known, key.Value) {
			r.fail(key, "%s has no key %q%s", what, key.Value, suggest(key.Value, known))
			continue
		}
		each(key, val)
	}
}

func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

// text reads a scalar as text, whatever YAML takes it for.
func (r *reader) text(n *yaml.Node, what string) string {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		r.fail(n, "%s: expected text", what)
		return ""
	}
	return n.Value
}

// list reads a list of texts, or one.
func (r *reader) list(n *yaml.Node, what string) (nodes []*yaml.Node) {
	if n.Kind != yaml.SequenceNode {
		if r.text(n, what) == "" {
			return nil
		}
		return []*yaml.Node{n}
	}
	for _, c := range n.Content {
		c = resolve(c)
		if r.text(c, what) != "" {
			nodes = append(nodes, c)
		}
	}
	return nodes
}

func values(nodes []*yaml.Node) []string {
	out := make([]string, len(nodes))
	for i, n := range nodes {
		out[i] = n.Value
	}
	return out
}
