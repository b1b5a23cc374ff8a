package rule

import "math"

// plain is a value that most conditions and keys are about, without a box
// around it.
type plain struct {
	kind  plainKind
	text  string
	whole int64 // of a bool: 1 for true
	float float64
}

type plainKind uint8

const (
	isNothing plainKind = iota // absent, or null
	isText
	isWhole
	isFloat
	isBool
	isOther // a list, an object, …: not in here
)

// plainOf takes a value out of its box.
func plainOf(v any) plain {
	switch v := v.(type) {
	case nil:
		return plain{}
	case string:
		return plain{kind: isText, text: v}
	case int64:
		return plain{kind: isWhole, whole: v}
	case float64:
		return plain{kind: isFloat, float: v}
	case bool:
		return plainBool(v)
	}
	return plain{kind: isOther}
}

func plainBool(b bool) plain {
	if b {
		return plain{kind: isBool, whole: 1}
	}
	return plain{kind: isBool}
}

// boxed is plainOf turned round. Of what is isOther it knows nothing.
func (p *plain) boxed() any {
	switch p.kind {
	case isText:
		return p.text
	case isWhole:
		return p.whole
	case isFloat:
		return p.float
	case isBool:
		return p.whole != 0
	}
	return nil
}

// appendKey writes the value so that two that CEL calls equal are written the
// same: numbers as floats, whatever their type. ok is false for one that can
// equal no literal.
func (p *plain) appendKey(key []byte) (out []byte, ok bool) {
	switch p.kind {
	case isText:
		return appendText(key, p.text), true
	case isWhole:
		return appendFloat(key, float64(p.whole)), true
	case isFloat:
		if math.IsNaN(p.float) {
			return key, false
		}
		return appendFloat(key, p.float), true
	case isBool:
		return append(key, 'b', byte(p.whole)), true
	}
	return key, false
}

func (p *plain) number() bool { return p.kind == isWhole || p.kind == isFloat }

// compareNumbers orders two numbers as CEL does. Neither may be NaN.
func compareNumbers(a, b *plain) int {
	switch {
	case a.kind == isWhole && b.kind == isWhole:
		return order(a.whole, b.whole)
	case a.kind == isWhole:
		return -compareMixed(b.float, a.whole)
	case b.kind == isWhole:
		return compareMixed(a.float, b.whole)
	}
	return order(a.float, b.float)
}

func compareMixed(f float64, n int64) int {
	switch {
	case f < math.MinInt64:
		return -1
	case f > math.MaxInt64:
		return 1
	}
	return order(f, float64(n))
}

func order[T int64 | float64 | string](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
