package importer

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// untranslated is what has no equivalent, at a byte offset of its text.
type untranslated struct {
	at        int
	msg, hint string
}

func (e *untranslated) Error() string { return e.msg }

// celWriter writes conditions as CEL. shape says where events keep what the
// rulebook reads.
type celWriter struct {
	shape *shape
	vars  map[string]any // of --vars
	parts []string       // names of the events of all, any
	solo  bool           // there is one of them, which is event
}

// Precedence of CEL, so that parentheses stand only where they must.
const (
	orLevel = iota
	andLevel
	relLevel
	addLevel
	mulLevel
	unaryLevel
	primary
)

// write gives the CEL of n as an operand of the given level.
func (w *celWriter) write(n *node, level int) (string, error) {
	s, own, err := w.expr(n)
	if err != nil {
		return "", err
	}
	if own < level {
		return "(" + s + ")", nil
	}
	return s, nil
}

var levels = map[string]int{"and": andLevel, "or": orLevel, "==": relLevel, "!=": relLevel, "<": relLevel, ">": relLevel,
	"<=": relLevel, ">=": relLevel, "+": addLevel, "-": addLevel, "*": mulLevel, "/": mulLevel}

func (w *celWriter) expr(n *node) (string, int, error) {
	switch n.op {
	case "":
		s, err := w.leaf(n)
		return s, primary, err
	case "and", "or":
		return w.logic(n)
	case "not":
		s, err := w.truth(n.args[0], unaryLevel)
		return "!" + s, unaryLevel, err
	case "in", "not in":
		return w.contains(n, n.args[0], n.args[1])
	case "contains", "not contains":
		return w.contains(n, n.args[1], n.args[0])
	case "is defined":
		return w.defined(n)
	case "is match", "is search", "is regex":
		if len(n.args) != 2 || n.args[1].text == nil {
			return "", 0, &untranslated{n.at, n.op + ": expected one pattern in quotes", ""}
		}
		s, err := w.write(n.args[0], primary)
		if err != nil {
			return "", 0, err
		}
		m, err := w.matches(n, s, strings.TrimPrefix(n.op, "is "), *n.args[1].text, n.args[1].at)
		return m, primary, err
	case "is select", "is selectattr":
		return w.selects(n)
	}
	level := levels[n.op]
	a, err := w.write(n.args[0], level)
	if err != nil {
		return "", 0, err
	}
	b, err := w.write(n.args[1], level+1)
	return a + " " + n.op + " " + b, level, err
}

func (w *celWriter) logic(n *node) (string, int, error) {
	level, op := levels[n.op], " && "
	if n.op == "or" {
		op = " || "
	}
	a, err := w.truth(n.args[0], level)
	if err != nil {
		return "", 0, err
	}
	b, err := w.truth(n.args[1], level+1)
	if n.op == "and" && a == "true" && err == nil { // meta is defined: it always is
		return b, level + 1, nil
	}
	return a + op + b, level, err
}

// truth is write for what must be true or false: a field alone is compared.
func (w *celWriter) truth(n *node, level int) (string, error) {
	if n.op == "" && n.path != nil {
		return w.write(&node{op: "==", at: n.at, args: []*node{n, {word: "true"}}}, level)
	}
	return w.write(n, level)
}

func (w *celWriter) contains(n, item, list *node) (string, int, error) {
	a, err := w.write(item, addLevel)
	if err != nil {
		return "", 0, err
	}
	b, err := w.write(list, addLevel)
	if strings.HasPrefix(n.op, "not") {
		return "!(" + a + " in " + b + ")", unaryLevel, err
	}
	return a + " in " + b, relLevel, err
}

func (w *celWriter) defined(n *node) (string, int, error) {
	of := n.args[0]
	if of.path == nil {
		return "", 0, &untranslated{of.at, "is defined: expected a field of an event", ""}
	}
	base, rest, err := w.resolve(of)
	if err != nil {
		return "", 0, err
	}
	if len(rest) == 0 {
		if !strings.Contains(base, ".") {
			return "true", primary, nil
		}
		return "has(" + base + ")", primary, nil
	}
	var b strings.Builder
	b.WriteString(base)
	for _, r := range rest {
		b.WriteString(optional(r))
	}
	return b.String() + ".hasValue()", primary, nil
}

// matches writes a search in a text. Patterns are Python's; those that RE2 does
// not know are refused.
func (w *celWriter) matches(n *node, subject, kind, pattern string, at int) (string, error) {
	flags := ""
	for name, v := range n.opts {
		on := v.word == "true"
		switch {
		case name == "ignorecase" && on:
			flags += "i"
		case name == "multiline" && on:
			flags += "m"
		case name != "ignorecase" && name != "multiline":
			return "", &untranslated{v.at, fmt.Sprintf("%s has no option %q", kind, name), ""}
		}
	}
	full := pattern
	if kind == "match" {
		full = "^(?:" + pattern + ")"
	}
	if flags != "" {
		letters := strings.Split(flags, "")
		slices.Sort(letters)
		full = "(?" + strings.Join(letters, "") + ")" + full
	}
	if _, err := regexp.Compile(full); err != nil {
		return "", &untranslated{at, fmt.Sprintf("the pattern %q is no RE2, which CEL uses", pattern), "rewrite it without look-around and back-references: https://github.com/google/re2/wiki/Syntax"}
	}
	return subject + ".matches(" + celText(full) + ")", nil
}

func (w *celWriter) selects(n *node) (string, int, error) {
	list, err := w.write(n.args[0], primary)
	if err != nil {
		return "", 0, err
	}
	args := n.args[1:]
	item := "e"
	if n.op == "is selectattr" {
		if len(args) != 3 || args[0].text == nil {
			return "", 0, &untranslated{n.at, "selectattr: expected a key, an operator and a value", ""}
		}
		for _, part := range strings.Split(*args[0].text, ".") {
			item += field(part)
		}
		args = args[1:]
	}
	if len(args) != 2 || args[0].text == nil {
		return "", 0, &untranslated{n.at, "select: expected an operator in quotes and a value", ""}
	}
	var test string
	switch op := *args[0].text; op {
	case "==", "!=", "<", ">", "<=", ">=":
		v, err := w.write(args[1], addLevel)
		if err != nil {
			return "", 0, err
		}
		test = item + " " + op + " " + v
	case "in", "not in", "contains", "not contains":
		v, err := w.write(args[1], addLevel)
		if err != nil {
			return "", 0, err
		}
		test = item + " in " + v
		if strings.HasSuffix(op, "contains") {
			test = v + " in " + item
		}
		if strings.HasPrefix(op, "not") {
			test = "!(" + test + ")"
		}
	case "match", "search", "regex":
		if args[1].text == nil {
			return "", 0, &untranslated{args[1].at, op + ": expected a pattern in quotes", ""}
		}
		if test, err = w.matches(n, item, op, *args[1].text, args[1].at); err != nil {
			return "", 0, err
		}
	default:
		return "", 0, &untranslated{args[0].at, fmt.Sprintf("select has no operator %q", op), ""}
	}
	return list + ".exists(e, " + test + ")", primary, nil
}

func (w *celWriter) leaf(n *node) (string, error) {
	switch {
	case n.text != nil:
		return celText(*n.text), nil
	case n.number != "":
		return n.number, nil
	case n.word != "":
		return n.word, nil
	case n.isList:
		parts := make([]string, len(n.list))
		for i, e := range n.list {
			var err error
			if parts[i], err = w.write(e, orLevel); err != nil {
				return "", err
			}
		}
		return "[" + strings.Join(parts, ", ") + "]", nil
	}
	if n.path[0] == "vars" {
		return w.variable(n)
	}
	base, rest, err := w.resolve(n)
	if err != nil {
		return "", err
	}
	for _, r := range rest {
		base += field(r)
	}
	return base, nil
}

// variable puts the value of a variable in its place.
func (w *celWriter) variable(n *node) (string, error) {
	name := strings.Join(n.path[1:], ".")
	var v any = w.vars
	for _, p := range n.path[1:] {
		m, ok := v.(map[string]any)
		if v, ok = m[p], ok && m[p] != nil; !ok {
			return "", &untranslated{n.at, "vars." + name + ": there are no variables here", "give its file with --vars, then its value is put in; or write the value yourself"}
		}
	}
	b, err := json.Marshal(v)
	if err != nil {
		return "", &untranslated{n.at, "vars." + name + ": " + err.Error(), ""}
	}
	if s, ok := v.(string); ok {
		return celText(s), nil
	}
	return string(b), nil
}

// resolve finds where a path of the rulebook is in an event of ours: an
// expression, and the fields below it.
func (w *celWriter) resolve(n *node) (base string, rest []string, err error) {
	switch n.path[0] {
	case "event":
		return w.shape.resolve("event", n.path[1:], n.at)
	case "events":
		if len(n.path) < 2 {
			return "", nil, &untranslated{n.at, "events: all of them at once", "name one, as in events.m_0"}
		}
		name := n.path[1]
		if name == "m" {
			name = "m_0"
		}
		if !slices.Contains(w.parts, name) {
			return "", nil, &untranslated{n.at, fmt.Sprintf("events.%s: no condition is called so", n.path[1]), ""}
		}
		if w.solo {
			name = "event"
		}
		return w.shape.resolve(name, n.path[2:], n.at)
	case "fact", "facts":
		return "", nil, &untranslated{n.at, strings.Join(n.path, ".") + ": there are no facts", "what a fact keeps is a window of a rule (dedup, situation), or belongs into the inventory"}
	case "vars":
		return "", nil, &untranslated{n.at, strings.Join(n.path, ".") + ": vars cannot be asked so", ""}
	}
	return "", nil, &untranslated{n.at, fmt.Sprintf("%s: no such name", n.path[0]), fmt.Sprintf("a text stands in quotes: %q", n.path[0])}
}

var plainField = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// celWords cannot be fields after a dot.
var celWords = strings.Fields("in true false null as break const continue else for function if import let loop package namespace return var void while")

// field writes .name, or ["name"] where CEL needs it; #3 is an index.
func field(name string) string {
	if i, ok := strings.CutPrefix(name, "#"); ok {
		return "[" + i + "]"
	}
	if plainField.MatchString(name) && !slices.Contains(celWords, name) {
		return "." + name
	}
	return "[" + celText(name) + "]"
}

func optional(name string) string {
	if i, ok := strings.CutPrefix(name, "#"); ok {
		return "[?" + i + "]"
	}
	if plainField.MatchString(name) && !slices.Contains(celWords, name) {
		return ".?" + name
	}
	return "[?" + celText(name) + "]"
}

// celText writes a text literal of CEL.
func celText(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i, r := range s {
		switch {
		case r == '$' && strings.HasPrefix(s[i:], "${"):
			b.WriteString(`\u0024`) // it is no template
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
