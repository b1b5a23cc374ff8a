// Package scan reads JSON where it lies: it checks a document, walks its
// members and follows paths without building a tree. Nothing but a decoded
// string is allocated.
//
// Check first; the other functions expect bytes that passed it and give
// harmless nonsense, never a panic, for others.
package scan

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"iter"
	"math/bits"
	"unicode/utf8"
)

// Error says where a document stops being JSON.
type Error struct {
	Offset int // in bytes, from 0
	Msg    string
}

func (e *Error) Error() string { return fmt.Sprintf("%s at byte %d", e.Msg, e.Offset) }

// Check reports the first mistake in b, which must hold one JSON value (RFC
// 8259) of valid UTF-8, nested at most depth deep, with white space around it.
func Check(b []byte, depth int) error {
	i, err := value(b, space(b, 0), depth)
	if err != nil {
		return err
	}
	if i = space(b, i); i != len(b) {
		return &Error{i, "more after the end of the JSON value"}
	}
	return nil
}

// Trim takes the white space around a value off.
func Trim(b []byte) []byte {
	i := space(b, 0)
	j := len(b)
	for j > i && isSpace(b[j-1]) {
		j--
	}
	return b[i:j]
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

func space(b []byte, i int) int {
	for i < len(b) && isSpace(b[i]) {
		i++
	}
	return i
}

// value checks the value that begins at b[i] and returns where it ends.
func value(b []byte, i, depth int) (int, error) {
	if i >= len(b) {
		return i, &Error{i, "JSON ends too early"}
	}
	switch c := b[i]; c {
	case '{', '[':
		if depth <= 0 {
			return i, &Error{i, "JSON nested too deep"}
		}
		if c == '{' {
			return object(b, i+1, depth-1)
		}
		return array(b, i+1, depth-1)
	case '"':
		return str(b, i)
	case 't':
		return word(b, i, "true")
	case 'f':
		return word(b, i, "false")
	case 'n':
		return word(b, i, "null")
	default:
		return number(b, i)
	}
}

func object(b []byte, i, depth int) (int, error) {
	i = space(b, i)
	if i < len(b) && b[i] == '}' {
		return i + 1, nil
	}
	for {
		if i >= len(b) || b[i] != '"' {
			return i, &Error{i, "expected a member name in quotes"}
		}
		var err error
		if i, err = str(b, i); err != nil {
			return i, err
		}
		if i = space(b, i); i >= len(b) || b[i] != ':' {
			return i, &Error{i, "expected ':' after a member name"}
		}
		if i, err = value(b, space(b, i+1), depth); err != nil {
			return i, err
		}
		i = space(b, i)
		if i < len(b) && b[i] == ',' {
			i = space(b, i+1)
			continue
		}
		if i < len(b) && b[i] == '}' {
			return i + 1, nil
		}
		return i, &Error{i, "expected ',' or '}' in an object"}
	}
}

func array(b []byte, i, depth int) (int, error) {
	i = space(b, i)
	if i < len(b) && b[i] == ']' {
		return i + 1, nil
	}
	for {
		var err error
		if i, err = value(b, i, depth); err != nil {
			return i, err
		}
		i = space(b, i)
		if i < len(b) && b[i] == ',' {
			i = space(b, i+1)
			continue
		}
		if i < len(b) && b[i] == ']' {
			return i + 1, nil
		}
		return i, &Error{i, "expected ',' or ']' in an array"}
	}
}

func word(b []byte, i int, w string) (int, error) {
	if len(b)-i < len(w) || string(b[i:i+len(w)]) != w {
		return i, &Error{i, "expected a JSON value"}
	}
	return i + len(w), nil
}

func digits(b []byte, i int) int {
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	return i
}

func number(b []byte, i int) (int, error) {
	start := i
	if b[i] == '-' {
		i++
	}
	n := digits(b, i)
	if n == i || b[i] == '0' && n > i+1 {
		return start, &Error{start, "expected a JSON value"}
	}
	i = n
	if i < len(b) && b[i] == '.' {
		if n = digits(b, i+1); n == i+1 {
			return i, &Error{i, "expected digits after '.'"}
		}
		i = n
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if n = digits(b, i); n == i {
			return i, &Error{i, "expected digits in an exponent"}
		}
		i = n
	}
	return i, nil
}

// str checks the string whose opening quote is b[i].
func str(b []byte, i int) (int, error) {
	for i++; i < len(b); {
		if n := plainBytes(b, i); n > 0 {
			i += n
			continue
		}
		switch c := b[i]; {
		case c == '"':
			return i + 1, nil
		case c == '\\':
			n, err := escape(b, i)
			if err != nil {
				return i, err
			}
			i = n
		case c < ' ':
			return i, &Error{i, "control byte in a JSON string"}
		case c < utf8.RuneSelf:
			i++
		default:
			r, n := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && n <= 1 {
				return i, &Error{i, "invalid UTF-8"}
			}
			i += n
		}
	}
	return i, &Error{i, "JSON string has no end"}
}

// plainBytes says how many bytes from i on stand for themselves in a string; it
// looks at eight at once and gives up where fewer are left.
func plainBytes(b []byte, i int) int {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	start := i
	for ; i+8 <= len(b); i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		quote, slash := w^ones*'"', w^ones*'\\'
		// The lowest bit that is set is right: a borrow only goes upwards.
		special := (w | (w - ones*' ') | (quote-ones)&^quote | (slash-ones)&^slash) & high
		if special != 0 {
			return i - start + bits.TrailingZeros64(special)/8
		}
	}
	return i - start
}

func escape(b []byte, i int) (int, error) {
	if i+1 >= len(b) {
		return i, &Error{i, "JSON string has no end"}
	}
	switch b[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2, nil
	case 'u':
		r, ok := hex4(b, i+2)
		switch {
		case !ok:
			return i, &Error{i, `expected four hex digits after \u`}
		case r >= 0xdc00 && r < 0xe000:
			return i, &Error{i, "half of a surrogate pair"}
		case r >= 0xd800 && r < 0xdc00:
			if i+7 < len(b) && b[i+6] == '\\' && b[i+7] == 'u' {
				if low, ok := hex4(b, i+8); ok && low >= 0xdc00 && low < 0xe000 {
					return i + 12, nil
				}
			}
			return i, &Error{i, "half of a surrogate pair"}
		}
		return i + 6, nil
	}
	return i, &Error{i, `unknown escape in a JSON string`}
}

func hex4(b []byte, i int) (r rune, ok bool) {
	if i+4 > len(b) {
		return 0, false
	}
	for _, c := range b[i : i+4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// skip returns where the value at b[i] ends, trusting it to be well formed.
func skip(b []byte, i int) int {
	if i >= len(b) {
		return i
	}
	switch b[i] {
	case '"':
		return skipString(b, i)
	case '{', '[':
		for n := 0; i < len(b); {
			switch b[i] {
			case '"':
				i = skipString(b, i)
				continue
			case '{', '[':
				n++
			case '}', ']':
				n--
				if n == 0 {
					return i + 1
				}
			}
			i++
		}
		return i
	}
	for i < len(b) && b[i] != ',' && b[i] != '}' && b[i] != ']' && !isSpace(b[i]) {
		i++
	}
	return i
}

func skipString(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(b)
}

// Members walks an object: the names as they are written, without quotes (see
// Name), and the values. Anything but an object has none.
func Members(b []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, val []byte) bool) {
		i := space(b, 0)
		if i >= len(b) || b[i] != '{' {
			return
		}
		for i = space(b, i+1); i < len(b) && b[i] == '"'; {
			end := skipString(b, i)
			if end-1 < i+1 {
				return
			}
			name := b[i+1 : end-1]
			i = space(b, end)
			if i >= len(b) {
				return
			}
			i = space(b, i+1) // the colon
			end = skip(b, i)
			if !yield(name, b[i:end]) {
				return
			}
			if i = space(b, end); i >= len(b) || b[i] != ',' {
				return
			}
			i = space(b, i+1)
		}
	}
}

// Elements walks an array. Anything else has none.
func Elements(b []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		i := space(b, 0)
		if i >= len(b) || b[i] != '[' {
			return
		}
		i = space(b, i+1)
		for i < len(b) && b[i] != ']' {
			end := skip(b, i)
			if !yield(b[i:end]) {
				return
			}
			if i = space(b, end); i >= len(b) || b[i] != ',' {
				return
			}
			i = space(b, i+1)
		}
	}
}

// NameIs says whether a name as Members gives it is s.
func NameIs(name []byte, s string) bool {
	if string(name) == s {
		return true
	}
	for _, c := range name {
		if c == '\\' {
			return Name(name) == s
		}
	}
	return false
}

// Name decodes a name as Members gives it.
func Name(name []byte) string {
	for _, c := range name {
		if c == '\\' {
			q := make([]byte, 0, len(name)+2)
			q = append(append(append(q, '"'), name...), '"')
			var s string
			_ = json.Unmarshal(q, &s)
			return s
		}
	}
	return string(name)
}

// String decodes a string; ok is false where v is no string.
func String(v []byte) (s string, ok bool) {
	if len(v) < 2 || v[0] != '"' || v[len(v)-1] != '"' {
		return "", false
	}
	return Name(v[1 : len(v)-1]), true
}

// IsNull says whether v is null or nothing.
func IsNull(v []byte) bool { return len(v) == 0 || v[0] == 'n' }
