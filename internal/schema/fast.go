package schema

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"signalbox/internal/schema/scan"
)

// The library takes microseconds for every event, because it wants a tree of
// any. Most event types ask for little: the types of their fields, a few
// enums, bounds. Those are checked here, on the bytes, without allocating. A
// test with random schemas and values holds the two to the same answer.

// object checks an object schema.
type object struct {
	props    []check
	byName   map[string]int
	required uint64 // bits of props
	closed   bool   // additionalProperties: false
}

// check is a property's schema.
type check struct {
	name  string
	raw   string // `"name"`
	types kinds  // 0: any
	enum  []string
	// Bounds of numbers, NaN for none, and of strings' and arrays' lengths.
	min, max, over, under float64
	minLen, maxLen        int // -1 for none
	object                *object
}

// kinds is a set of JSON Schema types.
type kinds uint8

const (
	kString kinds = 1 << iota
	kInteger
	kNumber
	kBoolean
	kObject
	kArray
	kNull
)

var kindNames = map[string]kinds{"string": kString, "integer": kInteger, "number": kNumber,
	"boolean": kBoolean, "object": kObject, "array": kArray, "null": kNull}

func (k kinds) String() string {
	var names []string
	for _, n := range []string{"string", "integer", "number", "boolean", "object", "array", "null"} {
		if k&kindNames[n] != 0 {
			names = append(names, n)
		}
	}
	return strings.Join(names, " or ")
}

// annotations are keywords that ask for nothing. format is one: by the draft
// it only annotates unless asked otherwise, and the library is not asked.
var annotations = []string{"$schema", "$id", "$comment", "title", "description", "default", "examples",
	"deprecated", "readOnly", "writeOnly", "format"}

// compileFast makes a checker of an object schema, and says no where the
// schema uses a keyword that it does not know.
func compileFast(src []byte) (*object, bool) {
	c, ok := compileCheck("", src, true)
	if !ok || c.object == nil {
		return nil, false
	}
	return c.object, true
}

func compileCheck(name string, src []byte, top bool) (check, bool) {
	c := check{name: name, raw: string(scan.AppendString(nil, name)),
		min: math.NaN(), max: math.NaN(), over: math.NaN(), under: math.NaN(), minLen: -1, maxLen: -1}
	o := &object{byName: map[string]int{}}
	var required []string
	for key, val := range scan.Members(src) {
		ok := true
		switch k := string(key); k {
		case "type":
			c.types, ok = compileTypes(val)
		case "enum":
			c.enum, ok = compileEnum(val)
		case "minimum":
			c.min, ok = compileNumber(val)
		case "maximum":
			c.max, ok = compileNumber(val)
		case "exclusiveMinimum":
			c.over, ok = compileNumber(val)
		case "exclusiveMaximum":
			c.under, ok = compileNumber(val)
		case "minLength":
			c.minLen, ok = compileLength(val)
		case "maxLength":
			c.maxLen, ok = compileLength(val)
		case "required":
			for v := range scan.Elements(val) {
				s, _ := scan.String(v)
				required = append(required, s)
			}
		case "properties":
			ok = o.compileProperties(val)
		case "additionalProperties":
			o.closed = string(val) == "false"
			ok = o.closed || string(val) == "true"
		default:
			ok = slices.Contains(annotations, k) || strings.HasPrefix(k, "x-")
		}
		if !ok {
			return c, false
		}
	}
	for _, r := range required {
		i, ok := o.byName[r]
		if !ok {
			return c, false // required, yet not described: rare, left to the library
		}
		o.required |= 1 << i
	}
	// Objects that ask for nothing inside need no walk.
	if top || len(o.props) > 0 || o.closed {
		c.object = o
	}
	// An enum of strings is only checked on strings.
	return c, c.enum == nil || c.types == kString
}

func (o *object) compileProperties(src []byte) bool {
	for name, val := range scan.Members(src) {
		if len(o.props) == 64 || val[0] != '{' {
			return false
		}
		c, ok := compileCheck(scan.Name(name), val, false)
		if !ok {
			return false
		}
		if _, dup := o.byName[c.name]; dup {
			return false
		}
		o.byName[c.name] = len(o.props)
		o.props = append(o.props, c)
	}
	return true
}

func compileTypes(val []byte) (k kinds, ok bool) {
	if s, isString := scan.String(val); isString {
		k = kindNames[s]
		return k, k != 0
	}
	for v := range scan.Elements(val) {
		s, _ := scan.String(v)
		if kindNames[s] == 0 {
			return 0, false
		}
		k |= kindNames[s]
	}
	return k, k != 0
}

func compileEnum(val []byte) (out []string, ok bool) {
	for v := range scan.Elements(val) {
		s, isString := scan.String(v)
		if !isString {
			return nil, false
		}
		out = append(out, s)
	}
	return out, len(out) > 0
}

// compileNumber takes bounds that a float64 holds exactly.
func compileNumber(val []byte) (float64, bool) {
	f, err := strconv.ParseFloat(string(val), 64)
	return f, err == nil && math.Abs(f) < 1<<53
}

func compileLength(val []byte) (int, bool) {
	n, err := strconv.Atoi(string(val))
	return n, err == nil && n >= 0
}

// violation is one mistake: the path of the field below data, and what is
// wrong with it. The zero value means none.
type violation struct{ path, msg string }

func (v violation) found() bool { return v.msg != "" }

func (v violation) under(name string) violation {
	if v.path == "" {
		v.path = name
	} else {
		v.path = name + "." + v.path
	}
	return v
}

// validate checks an object that scan.Check has passed. A member that comes
// twice is refused: readers would not agree on which one counts.
func (o *object) validate(data []byte) violation {
	var seen uint64
	for name, val := range scan.Members(data) {
		i := o.find(name)
		if i < 0 {
			if o.closed {
				return violation{scan.Name(name), "is not a field of this type"}
			}
			continue
		}
		if seen&(1<<i) != 0 {
			return violation{o.props[i].name, "is there twice"}
		}
		seen |= 1 << i
		if v := o.props[i].validate(val); v.found() {
			return v.under(o.props[i].name)
		}
	}
	if missing := o.required &^ seen; missing != 0 {
		return violation{o.props[bits.TrailingZeros64(missing)].name, "is required"}
	}
	return violation{}
}

func (o *object) find(name []byte) int {
	if i, ok := o.byName[string(name)]; ok {
		return i
	}
	if slices.Contains(name, '\\') {
		if i, ok := o.byName[scan.Name(name)]; ok {
			return i
		}
	}
	return -1
}

func (c *check) validate(val []byte) violation {
	switch val[0] {
	case '"':
		if c.types != 0 && c.types&kString == 0 {
			return c.mismatch("a string")
		}
		return c.checkString(val)
	case '{':
		if c.types != 0 && c.types&kObject == 0 {
			return c.mismatch("an object")
		}
		if c.object != nil {
			return c.object.validate(val)
		}
	case '[':
		if c.types != 0 && c.types&kArray == 0 {
			return c.mismatch("an array")
		}
	case 't', 'f':
		if c.types != 0 && c.types&kBoolean == 0 {
			return c.mismatch("a boolean")
		}
	case 'n':
		if c.types != 0 && c.types&kNull == 0 {
			return c.mismatch("null")
		}
	default:
		return c.checkNumber(val)
	}
	return violation{}
}

func (c *check) mismatch(got string) violation {
	return violation{msg: "expected " + c.types.String() + ", got " + got}
}

func (c *check) checkString(val []byte) violation {
	if c.enum == nil && c.minLen < 0 && c.maxLen < 0 {
		return violation{}
	}
	s := val[1 : len(val)-1]
	if slices.Contains(s, '\\') {
		s = []byte(scan.Name(s))
	}
	if c.enum != nil && !slices.ContainsFunc(c.enum, func(e string) bool { return e == string(s) }) {
		return violation{msg: fmt.Sprintf("%s is not one of %s", quote(s), strings.Join(c.enum, ", "))}
	}
	if n := utf8.RuneCount(s); c.minLen >= 0 && n < c.minLen {
		return violation{msg: fmt.Sprintf("is shorter than %d characters", c.minLen)}
	} else if c.maxLen >= 0 && n > c.maxLen {
		return violation{msg: fmt.Sprintf("is longer than %d characters", c.maxLen)}
	}
	return violation{}
}

func (c *check) checkNumber(val []byte) violation {
	if c.types != 0 && c.types&(kNumber|kInteger) == 0 {
		return c.mismatch("a number")
	}
	f, whole := parseNumber(val)
	if c.types != 0 && c.types&kNumber == 0 && !whole {
		return c.mismatch("a number with a fraction")
	}
	switch {
	case f < c.min:
		return violation{msg: fmt.Sprintf("%s is below the minimum %v", clip(val), c.min)}
	case f > c.max:
		return violation{msg: fmt.Sprintf("%s is above the maximum %v", clip(val), c.max)}
	case f <= c.over:
		return violation{msg: fmt.Sprintf("%s is not above %v", clip(val), c.over)}
	case f >= c.under:
		return violation{msg: fmt.Sprintf("%s is not below %v", clip(val), c.under)}
	}
	return violation{}
}

// parseNumber reads a JSON number and says whether it is an integer by JSON
// Schema's meaning, for which 1.0 is one. Plain digits, the common case, do not
// allocate.
func parseNumber(val []byte) (f float64, whole bool) {
	var n int64
	if len(val) <= 15 {
		for i, d := range val {
			if d == '-' && i == 0 {
				continue
			}
			if d < '0' || d > '9' {
				n = -1
				break
			}
			n = n*10 + int64(d-'0')
		}
		if n >= 0 {
			if val[0] == '-' {
				n = -n
			}
			return float64(n), true
		}
	}
	f, _ = strconv.ParseFloat(string(val), 64)
	return f, isWhole(string(val))
}

// isWhole works on the digits, since a float64 has lost the fraction of a long
// number.
func isWhole(s string) bool {
	mant, exp := s, 0
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		mant = s[:i]
		n, err := strconv.Atoi(strings.TrimPrefix(s[i+1:], "+"))
		if err != nil {
			n = math.MaxInt32
			if s[i+1] == '-' {
				n = -n
			}
		}
		exp = n
	}
	intPart, frac, _ := strings.Cut(strings.TrimPrefix(mant, "-"), ".")
	digits := strings.TrimRight(intPart+frac, "0")
	return strings.Trim(digits, "0") == "" || len(digits)-len(intPart) <= exp
}

func quote(s []byte) string { return strconv.Quote(clip(s)) }

// clip keeps foreign text in error messages short.
func clip(s []byte) string {
	const most = 64
	if len(s) <= most {
		return string(s)
	}
	return strings.ToValidUTF8(string(s[:most]), "") + "…"
}
