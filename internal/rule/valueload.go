package rule

import (
	"slices"
	"strings"
	"time"

	"cel.dev/cel-go/common/types"
	"go.yaml.in/yaml/v4"
)

// maxValueDepth bounds how deep arguments are nested.
const maxValueDepth = 32

// env gives the environment of a place. What goes wrong there is ours, but is
// said rather than thrown.
func (l *loader) env(n *yaml.Node, p place) *exprEnv {
	env, err := l.envs.environment(p)
	if err != nil {
		l.errorf(n, "", "%v", err)
		return nil
	}
	return env
}

// condition compiles a text that is one expression and gives true or false.
func (l *loader) condition(what string, n *yaml.Node, p place) *Expr {
	if n.Kind != yaml.ScalarNode || isNull(n) {
		l.errorf(n, `one expression, with && between its parts`, "%s: expected a condition, found %s", what, nodeKind(n))
		return nil
	}
	if strings.Contains(n.Value, "${") {
		l.errorf(n, `write the expression bare, as in when: device.role == "core"`, "%s: a condition is an expression already, without ${}", what)
		return nil
	}
	e := l.expr(what, n, n.Value, n.Value, p)
	if e == nil {
		return nil
	}
	if k := e.c.out.Kind(); k != types.BoolKind && k != types.DynKind {
		l.report(e.Pos, Error, "compare it with something", "%s: expected true or false, this gives %s", what, readableTypes(typeName(e.c.out)))
		return nil
	}
	l.lintEnum(what, n, e, p)
	return e
}

// expr compiles an expression that is code within the scalar n, whose text is
// whole.
func (l *loader) expr(what string, n *yaml.Node, code, whole string, p place) *Expr {
	env := l.env(n, p)
	if env == nil {
		return nil
	}
	base := strings.Index(whole, code)
	c, ok := l.exprs[exprKey{env, code}]
	if !ok {
		var issues []issue
		if c, issues = env.compile(code); len(issues) > 0 {
			for _, i := range issues {
				l.report(l.place(n, whole, base, code, i.line, i.col), Error, i.hint, "%s: %s", what, i.message)
			}
			return nil
		}
		l.exprs[exprKey{env, code}] = c
	}
	return &Expr{Text: code, Pos: l.place(n, whole, base, code, 1, 0), c: c}
}

// place finds where line and col of an expression are in the file. The
// expression begins at byte base of the scalar's text. Where quoting or folding
// makes the file differ from the text, it is where the scalar begins.
func (l *loader) place(n *yaml.Node, whole string, base int, code string, line, col int) Pos {
	fallback := l.at(n)
	want := nthLine(code, line)
	if base < 0 || want == "" && line > 1 {
		return fallback
	}
	// Which line of the scalar is it, and where in that line does it begin?
	scalarLine := strings.Count(whole[:base], "\n") + line - 1
	start := n.Line - 1 + scalarLine
	if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		start++ // the text begins below the | or >
	}
	if start >= len(l.lines) {
		return fallback
	}
	from := 0
	if start == n.Line-1 {
		from = min(byteColumn(l.lines[start], n.Column), len(l.lines[start]))
	}
	if line == 1 {
		// The same expression may stand in the line twice: skip what of the
		// text is before it.
		before := whole[strings.LastIndexByte(whole[:base], '\n')+1 : base]
		if i := strings.Index(l.lines[start][from:], before); i >= 0 && before != "" {
			from += i + len(before)
		}
	}
	i := strings.Index(l.lines[start][from:], want)
	if i < 0 {
		return fallback
	}
	chars := len([]rune(l.lines[start][:from+i]))
	return Pos{l.file, start + 1, chars + col + 1}
}

func nthLine(s string, n int) string {
	lines := strings.Split(s, "\n")
	if n < 1 || n > len(lines) {
		return ""
	}
	return lines[n-1]
}

// byteColumn makes the byte offset of a column that counts characters from 1.
func byteColumn(line string, col int) int {
	i := 0
	for at := range line {
		if i++; i == col {
			return at
		}
	}
	return len(line)
}

// value compiles an argument and checks its type.
func (l *loader) value(n *yaml.Node, p place, want Arg) *Value {
	return l.valueAt(n, p, want, 0)
}

func (l *loader) valueAt(n *yaml.Node, p place, want Arg, depth int) *Value {
	v := &Value{Pos: l.at(n), want: want}
	if depth > maxValueDepth {
		l.errorf(n, "", "%s: nested deeper than %d", want.Name, maxValueDepth)
		return v
	}
	switch n.Kind {
	case yaml.MappingNode:
		v.kind = mapping
		if !l.fits(n, want, "map") {
			return v
		}
		l.pairs(n, func(k, x *yaml.Node) {
			v.keys = append(v.keys, k.Value)
			v.list = append(v.list, l.valueAt(x, p, Arg{Name: want.Name + "." + k.Value}, depth+1))
		})
	case yaml.SequenceNode:
		v.kind = sequence
		if !l.fits(n, want, "list") {
			return v
		}
		for _, x := range n.Content {
			v.list = append(v.list, l.valueAt(deref(x), p, Arg{Name: want.Name}, depth+1))
		}
	default:
		if strings.Contains(n.Value, "${") {
			l.template(v, n, p)
			return v
		}
		l.literal(v, n)
	}
	return v
}

func (l *loader) fits(n *yaml.Node, want Arg, kind string) bool {
	if want.Type == "" || want.Type == "any" || want.Type == kind {
		return true
	}
	l.errorf(n, "", "%s: expected %s, found %s", want.Name, article(want.Type), nodeKind(n))
	return false
}

func (l *loader) literal(v *Value, n *yaml.Node) {
	lit := scalar(n)
	if v.want.Type == "string" && lit != nil {
		lit = n.Value // 010 and 1.10 are what was written, not what YAML makes of them
	}
	if v.want.Type == "" {
		v.lit = lit
		return
	}
	if lit == nil {
		if v.want.Required && v.want.Type != "any" {
			l.errorf(n, "", "%s: expected %s, found nothing", v.want.Name, article(v.want.Type))
		}
		return
	}
	out, err := convert(lit, v.want)
	if err != nil {
		hint := ""
		if s, ok := lit.(string); ok && len(v.want.Enum) > 0 {
			hint = nearHint(s, v.want.Enum)
		}
		l.errorf(n, hint, "%s: %v", v.want.Name, err)
		return
	}
	v.lit = out
}

// scalar is a scalar as a plain value. Times stay text: rules compare them with
// timestamp().
func scalar(n *yaml.Node) any {
	var out any
	if err := n.Decode(&out); err != nil {
		return n.Value
	}
	switch x := out.(type) {
	case int:
		return int64(x)
	case uint64:
		return float64(x)
	case nil, string, int64, float64, bool:
		return x
	case time.Time:
		return n.Value
	}
	return n.Value
}

// template compiles a text with expressions in it.
func (l *loader) template(v *Value, n *yaml.Node, p place) {
	parts, err := splitTemplate(n.Value)
	if err != nil {
		l.errorf(n, "", "%s: %v", v.want.Name, err)
		return
	}
	if len(parts) == 1 && parts[0].expr {
		v.kind = expression
		if v.expr = l.partExpr(v, n, parts[0], p); v.expr != nil {
			l.outputFits(v)
		}
		return
	}
	if len(parts) == 1 && !parts[0].expr {
		v.lit = parts[0].text
		if v.want.Type != "" && v.want.Type != "any" && v.want.Type != "string" {
			l.errorf(n, "", "%s: expected %s, found a text", v.want.Name, article(v.want.Type))
		}
		return
	}
	v.kind = mixed
	if v.want.Type != "" && v.want.Type != "any" && v.want.Type != "string" && v.want.Type != "duration" {
		l.errorf(n, "one ${} from end to end keeps its type", "%s: expected %s, found a text with expressions in it", v.want.Name, article(v.want.Type))
		return
	}
	for _, part := range parts {
		piece := &Value{Pos: v.Pos, want: Arg{Name: v.want.Name}}
		if part.expr {
			piece.kind = expression
			if piece.expr = l.partExpr(v, n, part, p); piece.expr == nil {
				continue
			}
			if k := piece.expr.c.out.Kind(); slices.Contains([]types.Kind{types.ListKind, types.MapKind, types.StructKind}, k) {
				l.report(piece.expr.Pos, Error, "name one of its fields", "%s: %s cannot stand within a text", v.want.Name, typeName(piece.expr.c.out))
			}
		} else {
			piece.lit = part.text
		}
		v.list = append(v.list, piece)
	}
}

func (l *loader) partExpr(v *Value, n *yaml.Node, part part, p place) *Expr {
	env := l.env(n, p)
	if env == nil {
		return nil
	}
	c, ok := l.exprs[exprKey{env, part.text}]
	if !ok {
		var issues []issue
		if c, issues = env.compile(part.text); len(issues) > 0 {
			for _, i := range issues {
				l.report(l.place(n, n.Value, part.offset, part.text, i.line, i.col), Error, i.hint, "%s: %s", v.want.Name, i.message)
			}
			return nil
		}
		l.exprs[exprKey{env, part.text}] = c
	}
	return &Expr{Text: part.text, Pos: l.place(n, n.Value, part.offset, part.text, 1, 0), c: c}
}

// outputFits checks what an expression gives against what is wanted, as far as
// its type is known.
func (l *loader) outputFits(v *Value) {
	want, out := v.want.Type, v.expr.c.out
	if want == "" || want == "any" {
		return
	}
	if out.Kind() == types.OpaqueKind && out.TypeName() == "optional_type" && len(out.Parameters()) == 1 {
		out = out.Parameters()[0]
	}
	var ok bool
	switch out.Kind() {
	case types.DynKind, types.TypeParamKind:
		ok = true
	case types.StringKind:
		ok = want == "string" || want == "duration"
	case types.IntKind, types.UintKind:
		ok = want == "int" || want == "number" || want == "string"
	case types.DoubleKind:
		ok = want == "int" || want == "number" || want == "string"
	case types.BoolKind:
		ok = want == "bool" || want == "string"
	case types.DurationKind:
		ok = want == "duration" || want == "string"
	case types.TimestampKind:
		ok = want == "string"
	case types.ListKind:
		ok = want == "list"
	case types.MapKind, types.StructKind:
		ok = want == "map"
	}
	if !ok {
		l.report(v.expr.Pos, Error, "", "%s: expected %s, the expression gives %s", v.want.Name, article(want), readableTypes(typeName(out)))
	}
}
