package scan

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// Member is where one member of an object lies: its name without quotes, and
// its value without the white space around it, each from its first byte to
// behind its last. Plain says that the value is a text without an escape.
type Member struct {
	NameFrom, NameTo, From, To uint32
	Plain                      bool
}

// maxFlatNumber bounds the digits of a number that is surely in range.
const maxFlatNumber = 300

// maxFlat bounds the members of what is flat: who looks for one walks them all, and
// what comes from the network may have a hundred thousand.
const maxFlat = 64

// Flat appends the members of an object whose values are plain, in their order,
// and checks it on the way as Check does. ok is false where it is no such object:
// a value is an object or an array, a name has an escape, a number has an exponent
// or very many digits, there are more than 64 members, or something is not right.
func Flat(into []Member, b []byte) (members []Member, ok bool) {
	most := len(into) + maxFlat
	i := space(b, 0)
	if i >= len(b) || b[i] != '{' || len(b) > math.MaxUint32 {
		return into, false
	}
	if i = space(b, i+1); i < len(b) && b[i] == '}' {
		return into, space(b, i+1) == len(b)
	}
	for i < len(b) && b[i] == '"' {
		name := i + 1
		nameEnd := text(b, i)
		if nameEnd < 0 {
			return into, false
		}
		if i = nameEnd; i >= len(b) || b[i] != ':' {
			if i = space(b, i); i >= len(b) || b[i] != ':' {
				return into, false
			}
		}
		if i++; i < len(b) && b[i] <= ' ' {
			i = space(b, i)
		}
		end, plain := flatValue(b, i)
		if end < 0 || len(into) == most {
			return into, false
		}
		into = append(into, Member{uint32(name), uint32(nameEnd - 1), uint32(i), uint32(end), plain})
		if i = end; i < len(b) && b[i] <= ' ' {
			i = space(b, i)
		}
		if i >= len(b) {
			return into, false
		}
		switch b[i] {
		case ',':
			if i++; i < len(b) && b[i] <= ' ' {
				i = space(b, i)
			}
		case '}':
			return into, i+1 == len(b) || space(b, i+1) == len(b)
		default:
			return into, false
		}
	}
	return into, false
}

// text gives where the string ends whose opening quote is b[i], -1 where it has
// an escape or is none.
func text(b []byte, i int) int {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	start := i
	for i++; i+8 <= len(b); i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		quote, slash := w^ones*'"', w^ones*'\\'
		// The lowest bit that is set is right: a borrow only goes upwards.
		if special := (w | (w - ones*' ') | (quote-ones)&^quote | (slash-ones)&^slash) & high; special != 0 {
			i += bits.TrailingZeros64(special) / 8
			break
		}
	}
	for ; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return i + 1
		case c == '\\':
			return -1
		case c < ' ' || c > '~':
			end, err := str(b, start)
			if err != nil || hasEscape(b[start:end]) {
				return -1
			}
			return end
		}
	}
	return -1
}

func hasEscape(b []byte) bool {
	for _, c := range b {
		if c == '\\' {
			return true
		}
	}
	return false
}

// flatValue gives where a plain value ends, -1 where there is none, and whether
// it is a text without an escape.
func flatValue(b []byte, i int) (end int, plain bool) {
	if i >= len(b) {
		return -1, false
	}
	switch c := b[i]; {
	case c == '"':
		if end := text(b, i); end > 0 {
			return end, true
		}
	case c == '-' || c >= '0' && c <= '9':
		return flatNumber(b, i), false
	}
	end, err := value(b, i, 0)
	if err != nil {
		return -1, false
	}
	return end, false
}

func flatNumber(b []byte, i int) int {
	start := i
	if b[i] == '-' {
		i++
	}
	first := i
	for i < len(b) && b[i]-'0' <= 9 {
		i++
	}
	if i == first || b[first] == '0' && i > first+1 {
		return -1
	}
	if i < len(b) && b[i] == '.' {
		point := i
		for i++; i < len(b) && b[i]-'0' <= 9; i++ {
		}
		if i == point+1 {
			return -1
		}
	}
	if i-start > maxFlatNumber || i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		return -1
	}
	return i
}
