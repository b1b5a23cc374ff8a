package rule

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"

	"signalbox/internal/inventory"
	"signalbox/internal/schema"
)

// Catalogue knows the event types.
type Catalogue interface {
	Type(name string) (schema.Type, bool)
	Types() []schema.Type
}

// exprEnv is what one place of a rule can see, ready to compile expressions.
type exprEnv struct {
	cel     *cel.Env
	structs map[string]*structType
	vars    map[string]*cel.Type
	events  []string // variables that are events
}

// place describes what an expression at some place can see. Places that see
// the same share an environment, since making one is dear.
type place struct {
	on        string // the types that event may have, joined
	named     []namedEvent
	situation bool // the rule has one
	regs      map[string]*registerType
	item      bool
	secret    bool
}

// namedEvent is an event that a rule has given a name.
type namedEvent struct {
	name string
	on   string // its types, joined
}

// with is the same place, with what a step sees beside.
func (p place) with(regs map[string]*registerType, item bool) place {
	p.regs, p.item, p.secret = regs, item, false
	return p
}

// bare is the place without registers.
func (p place) bare() place { return p.with(nil, false) }

type registerType struct {
	action string // for the cache: the same action gives the same type
	output []Arg
	looped bool
}

type envCache struct {
	catalogue Catalogue
	fields    inventory.Fields
	secrets   []string
	base      *cel.Env
	envs      map[placeKey]*exprEnv
	types     map[string][]schema.Type // on → types
}

type placeKey struct {
	on, named, registers    string
	item, secret, situation bool
}

// Bounds of one expression: what a person writes is far below.
const (
	maxExprChars = 8 << 10
	maxExprNodes = 2000
	maxExprDepth = 64
)

var baseEnv = sync.OnceValues(func() (*cel.Env, error) {
	opts := []cel.EnvOption{
		cel.StdLib(),
		cel.OptionalTypes(),
		cel.CrossTypeNumericComparisons(true),
		cel.DefaultUTCTimeZone(true),
		cel.EagerlyValidateDeclarations(true),
		cel.ParserExpressionSizeLimit(maxExprChars),
		cel.ParserRecursionLimit(maxExprDepth),
		cel.ExpressionNodeLimit(maxExprNodes),
		cel.RegexProgramSizeLimit(2000),
	}
	return cel.NewCustomEnv(append(opts, functions()...)...)
})

func newEnvCache(cat Catalogue, fields inventory.Fields, secrets []string) (*envCache, error) {
	base, err := baseEnv()
	if err != nil {
		return nil, fmt.Errorf("rule: expression environment: %w", err)
	}
	return &envCache{
		catalogue: cat, fields: fields, secrets: secrets, base: base,
		envs: map[placeKey]*exprEnv{}, types: map[string][]schema.Type{},
	}, nil
}

// environment gives the environment of a place.
func (c *envCache) environment(p place) (*exprEnv, error) {
	key := placeKey{p.on, namedKey(p.named), registerKey(p.regs), p.item, p.secret, p.situation}
	if e, ok := c.envs[key]; ok {
		return e, nil
	}
	e, err := c.build(p)
	if err != nil {
		return nil, fmt.Errorf("rule: expression environment: %w", err)
	}
	c.envs[key] = e
	return e, nil
}

func registerKey(regs map[string]*registerType) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(regs)) {
		fmt.Fprintf(&b, "%s=%s,%v;", name, regs[name].action, regs[name].looped)
	}
	return b.String()
}

func namedKey(named []namedEvent) string {
	var b strings.Builder
	for _, n := range named {
		fmt.Fprintf(&b, "%s=%s;", n.name, n.on)
	}
	return b.String()
}

func (c *envCache) build(p place) (*exprEnv, error) {
	prov := &provider{Provider: c.base.CELTypeProvider(), structs: map[string]*structType{}}
	e := &exprEnv{structs: prov.structs, vars: map[string]*cel.Type{}}
	declare := func(s *structType) {
		prov.add(s)
		e.vars[s.name] = s.typ
	}
	declareEvent := func(name, on string) {
		data := types.NewMapType(types.StringType, types.DynType)
		if fields, closed := c.dataFields(on); closed {
			data = dataStruct(prov, name+".data", fields...).typ
		}
		declare(eventStruct(name, data))
		e.events = append(e.events, name)
	}
	declareEvent("event", p.on)
	for _, n := range p.named {
		declareEvent(n.name, n.on)
	}
	e.vars["events"] = types.NewListType(e.vars["event"])
	declare(recordStruct("device", c.fields.Device))
	declare(recordStruct("interface", c.fields.Interface))
	declare(recordStruct("site", c.fields.Site))
	declare(fixedStruct("rule", map[string]*types.Type{"name": types.StringType, "version": types.StringType}))
	declare(fixedStruct("run", map[string]*types.Type{
		"id": types.StringType, "attempt": types.IntType, "replay": types.BoolType, "dry_run": types.BoolType,
	}))
	if p.situation {
		declare(fixedStruct("situation", map[string]*types.Type{
			"id": types.StringType, "state": types.StringType, "change": types.StringType, "key": types.StringType, "count": types.IntType,
		}))
	}
	for name, reg := range p.regs {
		c.register(prov, e, name, reg)
	}
	if p.item {
		e.vars["item"] = types.DynType
	}
	opts := []cel.EnvOption{
		cel.CustomTypeAdapter(adapter{c.base.CELTypeAdapter()}),
		cel.CustomTypeProvider(prov),
		cel.Macros(secretMacro(p.secret, c.secrets)),
		cel.Variable(scopeVariable, cel.DynType),
	}
	for _, name := range slices.Sorted(maps.Keys(e.vars)) {
		opts = append(opts, cel.Variable(name, e.vars[name]))
	}
	var err error
	e.cel, err = c.base.Extend(opts...)
	return e, err
}

// register declares what a step gave back. The register of a loop is an object
// with a list of results, as in Ansible.
func (c *envCache) register(prov *provider, e *exprEnv, name string, reg *registerType) {
	one := types.NewMapType(types.StringType, types.DynType)
	if len(reg.output) > 0 {
		s := outputStruct(name, reg.output)
		if reg.looped {
			s = outputStruct(name+".results", reg.output)
		}
		prov.add(s)
		one = s.typ
	}
	if !reg.looped {
		e.vars[name] = one
		return
	}
	s := outputStruct(name, nil)
	s.fields["results"] = mapField(name, "results", types.NewListType(one))
	prov.add(s)
	e.vars[name] = s.typ
}

// dataFields gives the fields of the data of all types that on stands for.
// closed is false where some of them are not in the catalogue, so that nobody
// knows which fields there are.
func (c *envCache) dataFields(on string) (fields [][]schema.Field, closed bool) {
	if on == "" || c.catalogue == nil {
		return nil, false
	}
	closed = true
	for _, pattern := range strings.Split(on, ",") {
		found := c.matching(pattern)
		if len(found) == 0 || pattern == "*" {
			return nil, false
		}
		for _, t := range found {
			fields = append(fields, t.Fields)
		}
	}
	return fields, closed
}

func (c *envCache) matching(pattern string) []schema.Type {
	if t, ok := c.types[pattern]; ok {
		return t
	}
	var out []schema.Type
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		for _, t := range c.catalogue.Types() {
			if strings.HasPrefix(t.Name, prefix) {
				out = append(out, t)
			}
		}
	} else if t, ok := c.catalogue.Type(pattern); ok {
		out = append(out, t)
	}
	c.types[pattern] = out
	return out
}

// variables lists what can be named, for spelling.
func (e *exprEnv) variables() []string { return slices.Sorted(maps.Keys(e.vars)) }
