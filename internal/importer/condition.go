package importer

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// node is a piece of a condition of ansible-rulebook, as a tree.
type node struct {
	op   string  // "and", "==", "in", "is defined", …; "" for a leaf
	args []*node // of op
	at   int     // byte offset in the condition

	// Of a leaf.
	path   []string // event.payload.x: names and indices
	list   []*node  // [1, 2]
	isList bool
	text   *string
	number string // as written
	word   string // true, false, null
	opts   map[string]*node
}

// syntaxError is a mistake in a condition, at a byte offset.
type syntaxError struct {
	at  int
	msg string
}

func (e *syntaxError) Error() string { return e.msg }

// token is one word of a condition.
type token struct {
	kind byte // 'n' name, '0' number, 's' string, 'o' operator, 0 the end
	text string
	at   int
}

// maxCondition and maxNesting bound what one condition may be.
const (
	maxCondition = 16 << 10
	maxNesting   = 60
)

func lex(s string) ([]token, error) {
	if len(s) > maxCondition {
		return nil, &syntaxError{0, fmt.Sprintf("the condition has %d bytes; at most %d are read", len(s), maxCondition)}
	}
	var out []token
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
		case c == '"' || c == '\'':
			end := strings.IndexByte(s[i+1:], c)
			if end < 0 {
				return nil, &syntaxError{i, "a text without its closing quote"}
			}
			out = append(out, token{'s', s[i+1 : i+1+end], i})
			i += end + 2
		case c >= '0' && c <= '9':
			j := i
			for j < len(s) && (s[j] >= '0' && s[j] <= '9' || s[j] == '.' || s[j] == 'e' || s[j] == 'E' || (s[j] == '-' || s[j] == '+') && (s[j-1] == 'e' || s[j-1] == 'E')) {
				j++
			}
			if _, err := strconv.ParseFloat(s[i:j], 64); err != nil {
				return nil, &syntaxError{i, fmt.Sprintf("%q is no number", s[i:j])}
			}
			out = append(out, token{'0', s[i:j], i})
			i = j
		case isNameByte(c):
			j := i
			for j < len(s) && (isNameByte(s[j]) || s[j] >= '0' && s[j] <= '9') {
				j++
			}
			out = append(out, token{'n', s[i:j], i})
			i = j
		default:
			op := operatorAt(s[i:])
			if op == "" {
				r, _ := utf8.DecodeRuneInString(s[i:])
				return nil, &syntaxError{i, fmt.Sprintf("%q has no meaning here", r)}
			}
			out = append(out, token{'o', op, i})
			i += len(op)
		}
	}
	return append(out, token{0, "", len(s)}), nil
}

func isNameByte(c byte) bool { return c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z' }

func operatorAt(s string) string {
	for _, op := range []string{"<<", "==", "!=", ">=", "<=", ">", "<", "+", "-", "*", "/", "(", ")", "[", "]", ",", ".", "="} {
		if strings.HasPrefix(s, op) {
			return op
		}
	}
	return ""
}

// parseCondition reads a condition with the precedence that ansible-rulebook
// gives: "and" and "or" bind alike and from the left, and "not" tighter.
func parseCondition(s string) (*node, error) {
	tokens, err := lex(s)
	if err != nil {
		return nil, err
	}
	p := &conditionParser{tokens: tokens}
	n, err := p.assignment()
	if err != nil {
		return nil, err
	}
	if t := p.peek(); t.kind != 0 {
		return nil, &syntaxError{t.at, fmt.Sprintf("%q was not expected here", t.text)}
	}
	return n, nil
}

type conditionParser struct {
	tokens []token
	i      int
	depth  int
}

func (p *conditionParser) peek() token { return p.tokens[p.i] }

func (p *conditionParser) next() token {
	t := p.tokens[p.i]
	if t.kind != 0 {
		p.i++
	}
	return t
}

// is says whether the next words are these, and takes them.
func (p *conditionParser) is(words ...string) bool {
	for k, w := range words {
		if p.i+k >= len(p.tokens) || p.tokens[p.i+k].text != w || p.tokens[p.i+k].kind == 's' {
			return false
		}
	}
	p.i += len(words)
	return true
}

func (p *conditionParser) assignment() (*node, error) {
	left, err := p.logic()
	if err != nil || p.peek().text != "<<" {
		return left, err
	}
	at := p.next().at
	if left.path == nil {
		return nil, &syntaxError{left.at, "<< needs a name on its left, as in events.first << event.i == 1"}
	}
	right, err := p.logic()
	return &node{op: "<<", at: at, args: []*node{left, right}}, err
}

func (p *conditionParser) logic() (*node, error) {
	if p.depth++; p.depth > maxNesting {
		return nil, &syntaxError{p.peek().at, fmt.Sprintf("nested deeper than %d", maxNesting)}
	}
	defer func() { p.depth-- }()
	left, err := p.not()
	for err == nil {
		t := p.peek()
		if t.kind != 'n' || t.text != "and" && t.text != "or" {
			break
		}
		p.next()
		var right *node
		right, err = p.not()
		left = &node{op: t.text, at: t.at, args: []*node{left, right}}
	}
	return left, err
}

func (p *conditionParser) not() (*node, error) {
	t := p.peek()
	if t.kind != 'n' || t.text != "not" {
		return p.membership()
	}
	p.next()
	if p.depth++; p.depth > maxNesting {
		return nil, &syntaxError{t.at, fmt.Sprintf("nested deeper than %d", maxNesting)}
	}
	defer func() { p.depth-- }()
	of, err := p.not()
	return &node{op: "not", at: t.at, args: []*node{of}}, err
}

func (p *conditionParser) membership() (*node, error) {
	left, err := p.test()
	for err == nil {
		at, op := p.peek().at, ""
		switch {
		case p.peek().kind != 'n':
		case p.is("not", "in"):
			op = "not in"
		case p.is("in"):
			op = "in"
		case p.is("not", "contains"):
			op = "not contains"
		case p.is("contains"):
			op = "contains"
		}
		if op == "" {
			break
		}
		var right *node
		right, err = p.test()
		left = &node{op: op, at: at, args: []*node{left, right}}
	}
	return left, err
}

// test reads "is defined", "is match(…)" and the like.
func (p *conditionParser) test() (*node, error) {
	left, err := p.binary(0)
	if err != nil || p.peek().kind != 'n' || p.peek().text != "is" {
		return left, err
	}
	at := p.next().at
	negated := p.peek().kind == 'n' && p.is("not")
	t := p.next()
	n := &node{op: "is " + t.text, at: at, args: []*node{left}}
	switch t.text {
	case "defined":
	case "match", "search", "regex", "select", "selectattr":
		if err := p.arguments(n); err != nil {
			return nil, err
		}
	default:
		return nil, &syntaxError{t.at, fmt.Sprintf("is %s: expected defined, match, search, regex, select or selectattr", t.text)}
	}
	if negated {
		n = &node{op: "not", at: at, args: []*node{n}}
	}
	return n, nil
}

func (p *conditionParser) arguments(n *node) error {
	if t := p.next(); t.text != "(" {
		return &syntaxError{t.at, n.op + ": expected ( and its arguments"}
	}
	for !p.is(")") {
		if p.peek().kind == 0 {
			return &syntaxError{p.peek().at, n.op + ": expected )"}
		}
		if t := p.peek(); t.kind == 'n' && p.i+1 < len(p.tokens) && p.tokens[p.i+1].text == "=" {
			p.i += 2
			v, err := p.term()
			if err != nil {
				return err
			}
			if n.opts == nil {
				n.opts = map[string]*node{}
			}
			n.opts[t.text] = v
		} else {
			v, err := p.binary(0)
			if err != nil {
				return err
			}
			n.args = append(n.args, v)
		}
		if p.peek().text != ")" {
			if t := p.next(); t.text != "," {
				return &syntaxError{t.at, n.op + ": expected , or )"}
			}
		}
	}
	return nil
}

// binaryOps are from the loosest to the tightest.
var binaryOps = [][]string{{"=="}, {"!="}, {"<", ">"}, {"<="}, {">="}, {"+", "-"}, {"*", "/"}}

func (p *conditionParser) binary(level int) (*node, error) {
	if level == len(binaryOps) {
		return p.term()
	}
	left, err := p.binary(level + 1)
	for err == nil {
		t := p.peek()
		found := false
		for _, op := range binaryOps[level] {
			found = found || t.kind == 'o' && t.text == op
		}
		if !found {
			break
		}
		p.next()
		var right *node
		right, err = p.binary(level + 1)
		left = &node{op: t.text, at: t.at, args: []*node{left, right}}
	}
	return left, err
}

func (p *conditionParser) term() (*node, error) {
	t := p.next()
	switch {
	case t.kind == 's':
		return &node{at: t.at, text: &t.text}, nil
	case t.kind == '0':
		return &node{at: t.at, number: t.text}, nil
	case t.text == "-" && p.peek().kind == '0':
		return &node{at: t.at, number: "-" + p.next().text}, nil
	case t.text == "(":
		n, err := p.logic()
		if err != nil {
			return nil, err
		}
		if c := p.next(); c.text != ")" {
			return nil, &syntaxError{c.at, "expected )"}
		}
		return n, nil
	case t.text == "[":
		return p.list(t.at)
	case t.kind == 'n':
		return p.name(t)
	case t.kind == 0:
		return nil, &syntaxError{t.at, "the condition ends where a value was expected"}
	}
	return nil, &syntaxError{t.at, fmt.Sprintf("expected a value, found %q", t.text)}
}

func (p *conditionParser) list(at int) (*node, error) {
	n := &node{at: at, isList: true}
	for !p.is("]") {
		v, err := p.term()
		if err != nil {
			return nil, err
		}
		n.list = append(n.list, v)
		if p.peek().text != "]" {
			if t := p.next(); t.text != "," {
				return nil, &syntaxError{t.at, "expected , or ]"}
			}
		}
	}
	return n, nil
}

func (p *conditionParser) name(t token) (*node, error) {
	switch t.text {
	case "true", "True":
		return &node{at: t.at, word: "true"}, nil
	case "false", "False":
		return &node{at: t.at, word: "false"}, nil
	case "null", "None", "none":
		return &node{at: t.at, word: "null"}, nil
	}
	n := &node{at: t.at, path: []string{t.text}}
	for {
		switch {
		case p.is("."):
			part := p.next()
			if part.kind != 'n' && part.kind != '0' {
				return nil, &syntaxError{part.at, "expected a name after the dot"}
			}
			n.path = append(n.path, part.text)
		case p.peek().text == "[" && p.peek().kind == 'o':
			p.next()
			part := p.next()
			if part.kind != 's' && part.kind != '0' {
				return nil, &syntaxError{part.at, "expected a name in quotes or a number between [ and ]"}
			}
			if c := p.next(); c.text != "]" {
				return nil, &syntaxError{c.at, "expected ]"}
			}
			if part.kind == '0' {
				part.text = "#" + part.text
			}
			n.path = append(n.path, part.text)
		default:
			return n, nil
		}
	}
}
