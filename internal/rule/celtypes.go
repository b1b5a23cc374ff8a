package rule

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"signalbox/internal/inventory"
	"signalbox/internal/schema"
)

// provider tells the type checker which fields event, device and the other
// variables have, and the interpreter how to get at them: a field is a function
// of a Go value, with no map of everything in between.
type provider struct {
	types.Provider
	structs map[string]*structType
}

// structType is an object with known fields. Its name is the path that a rule
// writes to reach it ("event.data"), so that messages of the checker can be
// read; the name of its type has an @ before that, since the checker would take
// the path itself for the name of the type.
type structType struct {
	name   string
	fields map[string]*types.FieldType
	typ    *types.Type
}

func newStruct(name string) *structType {
	return &structType{name: name, fields: map[string]*types.FieldType{}, typ: types.NewObjectType("@" + name)}
}

func (s *structType) names() []string { return slices.Sorted(maps.Keys(s.fields)) }

func (p *provider) FindStructType(name string) (*types.Type, bool) {
	if s, ok := p.structs[name]; ok {
		return types.NewTypeTypeWithParam(s.typ), true
	}
	return p.Provider.FindStructType(name)
}

func (p *provider) FindStructFieldNames(name string) ([]string, bool) {
	if s, ok := p.structs[name]; ok {
		return s.names(), true
	}
	return p.Provider.FindStructFieldNames(name)
}

func (p *provider) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	if s, ok := p.structs[name]; ok {
		f, ok := s.fields[field]
		return f, ok
	}
	return p.Provider.FindStructFieldType(name, field)
}

func (p *provider) NewValue(name string, fields map[string]ref.Val) ref.Val {
	if _, ok := p.structs[name]; ok {
		return types.NewErr("%s cannot be made", name)
	}
	return p.Provider.NewValue(name, fields)
}

func (p *provider) add(s *structType) { p.structs[s.typ.TypeName()] = s }

// absentError says that an attribute or field is not there. A condition that
// needs it is false.
type absentError struct {
	path string
	text string // "": says that path is absent
}

func (e *absentError) Error() string {
	if e.text != "" {
		return e.text
	}
	return e.path + " is absent"
}

// mapField is a field that lives in a map[string]any: an inventory record, an
// event's data or an output.
func mapField(path, name string, typ *types.Type) *types.FieldType {
	absent := &absentError{path: path + "." + name}
	return &types.FieldType{
		Type: typ,
		IsSet: func(target any) bool {
			v, err := fieldOf(target, name)
			return err == nil && v != nil
		},
		GetFrom: func(target any) (any, error) {
			v, err := fieldOf(target, name)
			if err != nil {
				return nil, err
			}
			if v == nil {
				return nil, absent
			}
			return coerce(absent.path, v, typ)
		},
	}
}

// fieldOf reads what an object-typed variable holds.
func fieldOf(target any, name string) (any, error) {
	switch t := target.(type) {
	case map[string]any:
		return t[name], nil
	case *dataView:
		return t.view.field(name)
	}
	return nil, fmt.Errorf("expected an object, found %T", target)
}

// dataView is event.data of one event, not decoded yet.
type dataView struct{ view *eventView }

// coerce makes the value what its type promises, where it was written in
// another form of the same thing: outputs of actions come back from JSON, where
// 3 may be 3.0. What cannot be made so is an error, not a surprise.
func coerce(path string, v any, typ *types.Type) (any, error) {
	switch typ.Kind() {
	case types.IntKind:
		switch n := v.(type) {
		case int64:
			return n, nil
		case int:
			return int64(n), nil
		case float64:
			if n == float64(int64(n)) {
				return int64(n), nil
			}
		}
	case types.DoubleKind:
		switch n := v.(type) {
		case float64:
			return n, nil
		case int64:
			return float64(n), nil
		case int:
			return float64(n), nil
		}
	case types.StringKind:
		if s, ok := v.(string); ok {
			return s, nil
		}
	case types.BoolKind:
		if b, ok := v.(bool); ok {
			return b, nil
		}
	case types.DurationKind:
		switch d := v.(type) {
		case time.Duration:
			return d, nil
		case string:
			if d, err := ParseDuration(d); err == nil {
				return d, nil
			}
		}
	case types.ListKind:
		switch l := v.(type) {
		case []any:
			return l, nil
		case []string, []map[string]any:
			return l, nil
		}
	case types.MapKind, types.StructKind:
		switch m := v.(type) {
		case map[string]any:
			return m, nil
		case map[string]string:
			return m, nil
		}
	default:
		return v, nil
	}
	return nil, fmt.Errorf("%s: expected %s, found %s", path, typeName(typ), valueKind(v))
}

func valueKind(v any) string {
	switch v.(type) {
	case string:
		return "a string"
	case bool:
		return "a bool"
	case int, int64, uint64:
		return "an int"
	case float64:
		return "a number"
	case []any, []string:
		return "a list"
	case map[string]any, map[string]string:
		return "an object"
	case nil:
		return "null"
	}
	return fmt.Sprintf("%T", v)
}

// typeName is how messages call a type.
func typeName(t *types.Type) string {
	switch t.Kind() {
	case types.DoubleKind:
		return "number"
	case types.DynKind, types.AnyKind:
		return "any"
	case types.NullTypeKind:
		return "null"
	case types.ListKind:
		return "list"
	case types.MapKind:
		return "map"
	case types.StructKind:
		return "object " + strings.TrimPrefix(t.TypeName(), "@")
	}
	return t.TypeName()
}

func kindType(k inventory.Kind) *types.Type {
	switch k {
	case "string":
		return types.StringType
	case "int":
		return types.IntType
	case "number":
		return types.DoubleType
	case "bool":
		return types.BoolType
	case "list":
		return types.NewListType(types.DynType)
	case "map":
		return types.NewMapType(types.StringType, types.DynType)
	}
	return types.DynType
}

func argType(kind string) *types.Type {
	switch kind {
	case "string":
		return types.StringType
	case "int":
		return types.IntType
	case "number":
		return types.DoubleType
	case "bool":
		return types.BoolType
	case "duration":
		return types.DurationType
	case "list":
		return types.NewListType(types.DynType)
	case "map":
		return types.NewMapType(types.StringType, types.DynType)
	}
	return types.DynType
}

// recordStruct is the type of an inventory record.
func recordStruct(name string, kinds map[string]inventory.Kind) *structType {
	s := newStruct(name)
	for field, kind := range kinds {
		t := kindType(kind)
		if kind == "list" && (field == "tags" || field == "groups" || field == "addresses") {
			t = types.NewListType(types.StringType)
		}
		s.fields[field] = mapField(name, field, t)
	}
	return s
}

// dataStruct is the type of event.data where all types are in the catalogue:
// the union of their fields. A field on whose type they disagree is dyn.
func dataStruct(p *provider, path string, lists ...[]schema.Field) *structType {
	s := newStruct(path)
	merged := map[string][]schema.Field{}
	for _, fields := range lists {
		for _, f := range fields {
			merged[f.Name] = append(merged[f.Name], f)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(merged)) {
		s.fields[name] = mapField(path, name, unionType(p, path+"."+name, merged[name]))
	}
	p.add(s)
	return s
}

func unionType(p *provider, path string, fields []schema.Field) *types.Type {
	kind := fields[0].Type
	for _, f := range fields[1:] {
		switch {
		case f.Type == kind:
		case f.Type == "integer" && kind == "number", f.Type == "number" && kind == "integer":
			kind = "number"
		default:
			return types.DynType
		}
	}
	switch kind {
	case "string":
		return types.StringType
	case "integer":
		return types.IntType
	case "number":
		return types.DoubleType
	case "boolean":
		return types.BoolType
	case "array":
		return types.NewListType(types.DynType)
	case "object":
		var nested [][]schema.Field
		for _, f := range fields {
			if len(f.Fields) == 0 {
				return types.NewMapType(types.StringType, types.DynType)
			}
			nested = append(nested, f.Fields)
		}
		return dataStruct(p, path, nested...).typ
	}
	return types.DynType
}

// eventStruct is the type of event, or of an event that a rule has named. data
// is its data's type.
func eventStruct(owner string, data *types.Type) *structType {
	s := newStruct(owner)
	viewField := func(field string, typ *types.Type, get func(*eventView) any) *types.FieldType {
		return viewField(owner+"."+field, typ, get)
	}
	text := func(name string, get func(*eventView) string) {
		s.fields[name] = viewField(name, types.StringType, func(v *eventView) any { return get(v) })
	}
	text("id", func(v *eventView) string { return string(v.ev.ID) })
	text("type", func(v *eventView) string { return v.ev.Type })
	text("device", func(v *eventView) string { return v.ev.Device })
	text("interface", func(v *eventView) string { return v.ev.Interface })
	text("source", func(v *eventView) string { return v.ev.Source })
	text("peer", func(v *eventView) string { return v.ev.Peer })
	s.fields["received"] = viewField("received", types.TimestampType, func(v *eventView) any { return v.ev.Received.UTC() })
	// A message without a time happened, as far as anybody knows, when it came.
	s.fields["time"] = viewField("time", types.TimestampType, func(v *eventView) any {
		if v.ev.Time.IsZero() {
			return v.ev.Received.UTC()
		}
		return v.ev.Time.UTC()
	})
	if data.Kind() == types.StructKind {
		s.fields["data"] = viewField("data", data, func(v *eventView) any { return &v.dataOnly })
	} else {
		s.fields["data"] = &types.FieldType{
			Type:  data,
			IsSet: func(target any) bool { _, ok := target.(*eventView); return ok },
			GetFrom: func(target any) (any, error) {
				v, ok := target.(*eventView)
				if !ok {
					return nil, &absentError{path: owner + ".data"}
				}
				return v.data()
			},
		}
	}
	return s
}

// viewField is a field of an event. Where there is no event of that name (one
// part of any has come, and not the others) the field is absent.
func viewField(path string, typ *types.Type, get func(*eventView) any) *types.FieldType {
	absent := &absentError{path: path}
	return &types.FieldType{
		Type: typ,
		IsSet: func(target any) bool {
			v, ok := target.(*eventView)
			return ok && get(v) != ""
		},
		GetFrom: func(target any) (any, error) {
			v, ok := target.(*eventView)
			if !ok {
				return nil, absent
			}
			return get(v), nil
		},
	}
}

// outcome is what every register tells beside the action's output: how the step
// went, as Ansible has it.
var outcome = map[string]*types.Type{
	"ok": types.BoolType, "failed": types.BoolType, "skipped": types.BoolType, "error": types.StringType,
}

// outputStruct is the type of a register. A field of the action's own wins over
// one of outcome.
func outputStruct(name string, output []Arg) *structType {
	s := newStruct(name)
	for f, t := range outcome {
		s.fields[f] = mapField(name, f, t)
	}
	for _, f := range output {
		s.fields[f.Name] = mapField(name, f.Name, argType(f.Type))
	}
	return s
}

// fixedStruct is the type of rule and run.
func fixedStruct(name string, fields map[string]*types.Type) *structType {
	s := newStruct(name)
	for f, t := range fields {
		s.fields[f] = mapField(name, f, t)
	}
	return s
}
