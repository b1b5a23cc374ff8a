package rule

import (
	"fmt"
	"regexp"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// Bounds of what one evaluation may cost, in CEL's units (about one for an
// operation). They count what is done, not time, so that the same event gives
// the same answer on a slow machine and on a fast one.
const (
	maxStaticCost  = 20_000_000 // the worst case that is allowed to be loaded
	maxRuntimeCost = 1_000_000  // about 20 ms: where an evaluation is stopped
	maxElements    = 1_000_000  // of all values that live at once
	maxSums        = 16         // additions in an expression that is not counted
)

// issue is a mistake at a place of an expression: line from 1, column from 0.
type issue struct {
	line, col int
	message   string
	hint      string
}

// compiled is what an expression's text becomes in one environment.
type compiled struct {
	program cel.Program
	out     *cel.Type
	ast     *cel.Ast
	secret  bool // reads a secret
	test    test // of a condition: asks without the interpreter; nil where it cannot
	read    read // of a number, likewise
	// conjuncts are the parts of a condition that must all be true; counted says
	// that evaluating it may be stopped for what it costs.
	conjuncts []conjunct
	counted   bool
	env       *cel.Env // that it was compiled in, for explain.go
}

// compile parses, checks and plans an expression.
func (e *exprEnv) compile(text string) (*compiled, []issue) {
	if strings.TrimSpace(text) == "" {
		return nil, []issue{{line: 1, message: "the expression is empty"}}
	}
	parsed, iss := e.cel.Parse(text)
	if iss.Err() != nil {
		return nil, e.explain(iss.Errors(), nil)
	}
	checked, iss := e.cel.Check(parsed)
	if iss.Err() != nil {
		return nil, e.explain(iss.Errors(), parsed)
	}
	w := &walker{env: e, ast: checked}
	w.walk(checked.NativeRep().Expr(), true)
	if len(w.issues) > 0 {
		return nil, w.issues
	}
	opts := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize)}
	counted := w.loops || w.sums > maxSums
	if counted {
		if iss := e.checkCost(checked); iss != nil {
			return nil, iss
		}
		// Without loops the cost is bounded by the expression's length; only
		// loops and long sums of texts pay for being counted.
		opts = append(opts, cel.CostTracking(costs{}), cel.CostLimit(maxRuntimeCost), cel.MemoryLimit(maxElements))
	}
	program, err := e.cel.Program(checked, opts...)
	if err != nil {
		return nil, []issue{{line: 1, message: err.Error()}}
	}
	c := &compiled{program: program, out: checked.OutputType(), ast: checked, secret: w.secrets, env: e.cel}
	r := &reader{env: e, counted: counted}
	root := checked.NativeRep().Expr()
	c.test, c.read, c.counted = r.test(root), r.read(root), counted
	if checked.OutputType().Kind() == types.BoolKind {
		c.conjuncts = r.conjuncts(root)
	}
	return c, nil
}

func (e *exprEnv) checkCost(checked *cel.Ast) []issue {
	est, err := e.cel.EstimateCost(checked, sizes{})
	if err != nil {
		return []issue{{line: 1, message: err.Error()}}
	}
	if est.Max > maxStaticCost {
		return []issue{{line: 1, message: "the expression could take too long: loops within loops over lists of unknown length",
			hint: "use one loop, or move the work into an action"}}
	}
	return nil
}

// sizes are the lengths that the static estimate reckons with where the types
// do not say: long for the field, short of absurd.
type sizes struct{}

func (sizes) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}

func (sizes) EstimateSize(n cost.AstNode) *cost.SizeEstimate {
	switch n.Type().Kind() {
	case types.StringKind, types.BytesKind:
		return &cost.SizeEstimate{Min: 0, Max: 256}
	case types.ListKind, types.MapKind, types.DynKind, types.StructKind:
		return &cost.SizeEstimate{Min: 0, Max: 256}
	}
	return nil
}

// costs says what the functions of celfuncs.go really cost: a tenth for each
// byte that they read or write, as CEL charges for its own.
type costs struct{}

func (costs) CallCost(function, _ string, args []ref.Val, result ref.Val) *uint64 {
	switch function {
	case "cidr_contains", "interface_name", "lowerAscii", "upperAscii", "lower", "upper", "trim",
		"split", "join", "replace", "substring", "indexOf", "lastIndexOf":
	default:
		return nil // CEL knows
	}
	total := textSize(result)
	for _, a := range args {
		total += textSize(a)
	}
	total = 1 + total/10
	return &total
}

func textSize(v ref.Val) uint64 {
	switch v := v.(type) {
	case types.String:
		return uint64(len(v))
	case traits.Sizer:
		if n, ok := v.Size().(types.Int); ok && n > 0 {
			return uint64(n) * 16 // of a list: the headers of its texts at least
		}
	}
	return 0
}

// walker looks at a checked expression for what the types cannot say.
type walker struct {
	env     *exprEnv
	ast     *cel.Ast
	issues  []issue
	loops   bool
	sums    int
	secrets bool
}

func (w *walker) report(e ast.Expr, hint, format string, args ...any) {
	loc := w.ast.NativeRep().SourceInfo().GetStartLocation(e.ID())
	w.issues = append(w.issues, issue{max(loc.Line(), 1), max(loc.Column(), 0), fmt.Sprintf(format, args...), hint})
}

// walk visits e. plain says that what e gives goes straight into the value of
// the whole: only there may a secret stand, since an error of a function would
// print it.
func (w *walker) walk(e ast.Expr, plain bool) {
	switch e.Kind() {
	case ast.CallKind:
		w.call(e, plain)
	case ast.SelectKind:
		w.walk(e.AsSelect().Operand(), false)
	case ast.ListKind:
		for _, x := range e.AsList().Elements() {
			w.walk(x, plain)
		}
	case ast.MapKind:
		for _, x := range e.AsMap().Entries() {
			w.walk(x.AsMapEntry().Key(), false)
			w.walk(x.AsMapEntry().Value(), plain)
		}
	case ast.StructKind:
		w.report(e, "", "objects of type %s cannot be made", e.AsStruct().TypeName())
	case ast.ComprehensionKind:
		w.loops = true
		c := e.AsComprehension()
		for _, x := range []ast.Expr{c.IterRange(), c.AccuInit(), c.LoopCondition(), c.LoopStep(), c.Result()} {
			w.walk(x, false)
		}
	}
}

func (w *walker) call(e ast.Expr, plain bool) {
	call := e.AsCall()
	name := call.FunctionName()
	switch name {
	case secretFunction:
		w.secrets = true
		if !plain {
			w.report(e, "write it alone or beside other text", `secret() cannot be worked on: an error would show it`)
		}
		return
	case "matches":
		w.pattern(call)
	case "_+_":
		w.sums++
	}
	plain = plain && (name == "_+_" || name == "_?_:_")
	if call.IsMemberFunction() {
		w.walk(call.Target(), false)
	}
	for i, a := range call.Args() {
		w.walk(a, plain && !(name == "_?_:_" && i == 0))
	}
}

// pattern checks that the pattern of matches is a literal, so that it is
// compiled at load and no event can bring its own.
func (w *walker) pattern(call ast.CallExpr) {
	args := call.Args()
	p := args[len(args)-1]
	text, ok := literalString(p)
	if !ok {
		w.report(p, `as in device.name.matches("^sw[0-9]+$")`, "matches() needs its pattern as a literal")
		return
	}
	if _, err := regexp.Compile(text); err != nil {
		w.report(p, "RE2 syntax", "not a regular expression: %v", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
}

var (
	undefinedField  = regexp.MustCompile(`^undefined field '(.*)'$`)
	undeclared      = regexp.MustCompile(`^undeclared reference to '([^']*)'`)
	noOverload      = regexp.MustCompile(`^found no matching overload for '(.*)' applied to '(.*)'$`)
	unexpected      = regexp.MustCompile(`^(?:mismatched|extraneous) input (.+?) expecting `)
	operatorPattern = regexp.MustCompile(`^_(\W+|in)_$`)
)

// explain says what the checker found in the words of rules, with the likely
// spelling.
func (e *exprEnv) explain(errs []*common.Error, parsed *cel.Ast) []issue {
	out := make([]issue, 0, len(errs))
	for _, err := range errs {
		i := issue{line: max(err.Location.Line(), 1), col: max(err.Location.Column(), 0), message: err.Message}
		if m := undefinedField.FindStringSubmatch(err.Message); m != nil {
			i.message, i.hint = e.explainField(m[1], err.ExprID, parsed)
		} else if m := undeclared.FindStringSubmatch(err.Message); m != nil {
			i.message, i.hint = e.explainName(m[1])
		} else if m := noOverload.FindStringSubmatch(err.Message); m != nil {
			i.message, i.hint = explainOverload(m[1], m[2])
		} else if text, ok := strings.CutPrefix(err.Message, "Syntax error: "); ok {
			i.message = "syntax error: " + explainSyntax(text)
		}
		out = append(out, i)
	}
	return out
}

// explainSyntax leaves out the list of all that the grammar would have taken.
func explainSyntax(text string) string {
	text = strings.NewReplacer("'<EOF>'", "the end", "<EOF>", "the end").Replace(text)
	if m := unexpected.FindStringSubmatch(text); m != nil {
		return "did not expect " + m[1] + " here"
	}
	return text
}

func (e *exprEnv) explainField(field string, id int64, parsed *cel.Ast) (message, hint string) {
	var owner *structType
	if parsed != nil {
		if sel := findSelect(parsed.NativeRep().Expr(), id, field); sel != nil {
			owner = e.typeOf(sel)
		}
	}
	if owner == nil {
		return fmt.Sprintf("unknown field %q", field), ""
	}
	return fmt.Sprintf("%s has no field %q", owner.name, field), spellHint(field, owner.names())
}

// findSelect finds the operand from which field is selected.
func findSelect(root ast.Expr, id int64, field string) ast.Expr {
	var operand ast.Expr
	ast.PreOrderVisit(root, ast.NewExprVisitor(func(e ast.Expr) {
		switch {
		case operand != nil:
		case e.Kind() == ast.SelectKind && e.AsSelect().FieldName() == field && (id == 0 || e.ID() == id):
			operand = e.AsSelect().Operand()
		case e.Kind() == ast.CallKind && e.AsCall().FunctionName() == "_?._" && len(e.AsCall().Args()) == 2:
			if name, ok := literalString(e.AsCall().Args()[1]); ok && name == field {
				operand = e.AsCall().Args()[0]
			}
		}
	}))
	return operand
}

// typeOf follows a path such as event.data to its object type.
func (e *exprEnv) typeOf(x ast.Expr) *structType {
	var t *types.Type
	switch x.Kind() {
	case ast.IdentKind:
		t = e.vars[x.AsIdent()]
	case ast.SelectKind:
		t = e.fieldType(x.AsSelect().Operand(), x.AsSelect().FieldName())
	case ast.CallKind:
		if args := x.AsCall().Args(); x.AsCall().FunctionName() == "_?._" && len(args) == 2 {
			name, _ := literalString(args[1])
			t = e.fieldType(args[0], name)
		}
	}
	if t == nil || t.Kind() != types.StructKind {
		return nil
	}
	return e.structs[t.TypeName()]
}

func (e *exprEnv) fieldType(operand ast.Expr, name string) *types.Type {
	if owner := e.typeOf(operand); owner != nil {
		if f := owner.fields[name]; f != nil {
			return f.Type
		}
	}
	return nil
}

func (e *exprEnv) explainName(name string) (message, hint string) {
	if name == "secret" {
		return `secret() takes one name`, `as in secret("token")`
	}
	known := e.variables()
	for fn := range e.cel.Functions() {
		if fn[0] != '@' && fn[0] != '_' && !strings.ContainsAny(fn, "!-") {
			known = append(known, fn)
		}
	}
	hint = ""
	if n := nearest(name, sorted(known)); n != "" {
		hint = fmt.Sprintf("did you mean %q?", n)
	} else {
		hint = "there are " + strings.Join(e.variables(), ", ")
	}
	return fmt.Sprintf("%q is not known here", name), hint
}

// explainOverload says which types do not fit.
func explainOverload(fn, applied string) (message, hint string) {
	applied = readableTypes(applied)
	operands := strings.TrimSuffix(strings.TrimPrefix(applied, "("), ")")
	if m := operatorPattern.FindStringSubmatch(fn); m != nil {
		if l, r, ok := strings.Cut(operands, ", "); ok {
			message = fmt.Sprintf("%s cannot take %s and %s", m[1], l, r)
		}
		if strings.Contains(operands, "number") && strings.Contains(operands, "int") {
			hint = "write the whole number with a point, as in 90.0"
		} else if strings.Contains(operands, "string") {
			hint = "texts are compared with texts: quote the value, or convert with int() or string()"
		}
	}
	if message == "" {
		message = fmt.Sprintf("%s does not take %s", strings.Trim(fn, "_"), applied)
	}
	return message, hint
}

var wordDouble = regexp.MustCompile(`\bdouble\b`)

func readableTypes(s string) string {
	return strings.ReplaceAll(wordDouble.ReplaceAllString(s, "number"), "@", "")
}
