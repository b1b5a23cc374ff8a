package importer

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"
)

// pair is one key of a mapping whose order counts.
type pair struct {
	key   string
	value any // string, bool, int64, float64, nil, []any, []pair, or raw
}

// raw is YAML that is written as it is.
type raw string

// yaml is text in the making.
type yamlWriter struct{ b strings.Builder }

func (w *yamlWriter) line(indent int, format string, args ...any) {
	fmt.Fprintf(&w.b, "%s%s\n", strings.Repeat("  ", indent), fmt.Sprintf(format, args...))
}

// comment writes a text as comments of about 90 characters.
func (w *yamlWriter) comment(indent int, text string) {
	words := strings.Fields(printable(text))
	at, line := 0, ""
	for _, word := range words {
		if at > 0 && len(line)+len(word)+1 > 88 {
			w.line(indent, "#%s", line)
			line, at = "", 0
		}
		line += " " + word
		at++
	}
	if line != "" {
		w.line(indent, "#%s", line)
	}
}

// pairs writes a mapping in block style, its lists and inner mappings in flow
// style where they are short.
func (w *yamlWriter) pairs(indent int, list []pair) {
	for _, p := range list {
		w.pair(indent, "", p)
	}
}

func (w *yamlWriter) pair(indent int, lead string, p pair) {
	if list, ok := p.value.(block); ok {
		w.line(indent, "%s%s:", lead, yamlText(p.key))
		for _, e := range list {
			w.line(indent+1, "- %s", flowText(e))
		}
		return
	}
	if inner, ok := p.value.([]pair); ok && len(inner) > 0 {
		flow := flowText(p.value)
		if len(flow)+2*indent+len(p.key) > 100 || hasBlock(inner) {
			w.line(indent, "%s%s:", lead, yamlText(p.key))
			w.pairs(indent+1+len(lead)/2, inner)
			return
		}
	}
	w.line(indent, "%s%s: %s", lead, yamlText(p.key), flowText(p.value))
}

func hasBlock(list []pair) bool {
	for _, p := range list {
		if _, ok := p.value.(block); ok {
			return true
		}
	}
	return false
}

func flowText(v any) string {
	switch v := v.(type) {
	case raw:
		return string(v)
	case string:
		return yamlText(v)
	case []pair:
		parts := make([]string, len(v))
		for i, p := range v {
			parts[i] = yamlText(p.key) + ": " + flowText(p.value)
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = flowText(e)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case []string:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = yamlText(e)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case nil:
		return "null"
	}
	return fmt.Sprint(v)
}

var (
	plainYAML = regexp.MustCompile(`^[A-Za-z_/][A-Za-z0-9_./-]*( [A-Za-z0-9_./-]+)*$`)
	spanYAML  = regexp.MustCompile(`^[0-9]+(ms|s|m|h|d)$`)
)

// yamlText writes a text so that YAML reads it as one.
func yamlText(s string) string {
	switch strings.ToLower(s) {
	case "true", "false", "yes", "no", "on", "off", "null", "y", "n":
		if s != "on" { // as a key it is what it says in YAML 1.2
			return quoted(s)
		}
	}
	if plainYAML.MatchString(s) || spanYAML.MatchString(s) {
		return s
	}
	if strings.Contains(s, `"`) && printable(s) == s {
		return "'" + strings.ReplaceAll(s, "'", "''") + "'" // expressions are easier to read so
	}
	return quoted(s)
}

func quoted(s string) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if enc.Encode(strings.ToValidUTF8(s, "·")) != nil {
		return `""`
	}
	var out strings.Builder
	for _, r := range strings.TrimSuffix(b.String(), "\n") {
		if r >= 0x7f && r < 0xa0 || r == 0xfeff || r == 0xfffe || r == 0xffff {
			fmt.Fprintf(&out, `\u%04x`, r)
			continue
		}
		out.WriteRune(r)
	}
	return out.String()
}

// printable keeps what a comment says on its line.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case r < 0x20, r >= 0x7f && r < 0xa0, r == 0x2028, r == 0x2029, r == 0xfeff, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
			return '·'
		}
		return r
	}, strings.ToValidUTF8(s, "·"))
}

// flowOf writes what the rulebook has on one line, for comments.
func flowOf(n *yaml.Node) string {
	switch {
	case n == nil:
		return ""
	case n.Kind == yaml.MappingNode:
		var parts []string
		for i := 0; i+1 < len(n.Content); i += 2 {
			parts = append(parts, flowOf(deref(n.Content[i]))+": "+flowOf(deref(n.Content[i+1])))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case n.Kind == yaml.SequenceNode:
		var parts []string
		for _, e := range n.Content {
			parts = append(parts, flowOf(deref(e)))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case n.ShortTag() == "!!str":
		return yamlText(n.Value)
	}
	return n.Value
}
