package syslog

import "bytes"

// maxCountDigits bounds an octet count: 99,999,999 is absurd already, and a
// longer number is text.
const maxCountDigits = 8

// frame is one message: buf[start:end]. cut says that it was longer than
// allowed, and that its rest is thrown away.
type frame struct {
	start, end int
	cut        bool
}

// framer finds the messages in a stream (RFC 6587): octet counting
// ("17 <13>..") and lines that end with LF, CR LF or NUL, told apart message by
// message, since relays mix them. It holds no bytes, only where it stands in a
// message that it is throwing away the rest of.
type framer struct {
	max int // longest message

	skip     int  // octets of a counted message still to throw away
	skipLine bool // the rest of a line is to be thrown away
	counted  bool // the last message was counted
	scanned  int  // of an unfinished line: this much has no end
	lost     int  // octets thrown away so far
}

// next finds the next message in buf from position from on. Without one it
// returns ok false, and to is where the unfinished one begins: keep the bytes
// from there, append more, and call again with from 0. At the end of the stream
// eof gives what is left as the last message.
func (f *framer) next(buf []byte, from int, eof bool) (fr frame, to int, ok bool) {
	if from = f.discard(buf, from); f.skip > 0 || f.skipLine {
		return frame{}, from, false
	}
	for from < len(buf) && (buf[from] == '\n' || buf[from] == '\r' || buf[from] == 0) {
		from++
		f.scanned = 0
	}
	if from == len(buf) {
		return frame{}, from, false
	}
	n, digits, sure := f.count(buf[from:])
	if !sure && !eof {
		return frame{}, from, false
	}
	if sure && n > 0 {
		return f.octets(buf, from, from+digits+1, n, eof)
	}
	return f.line(buf, from, eof)
}

// discard throws away what is left of a message that was cut.
func (f *framer) discard(buf []byte, from int) int {
	if f.skip > 0 {
		k := min(f.skip, len(buf)-from)
		from, f.skip, f.lost = from+k, f.skip-k, f.lost+k
	}
	if f.skipLine {
		if i := lineEnd(buf[from:]); i >= 0 {
			f.lost += i
			from += i
			f.skipLine = false
		} else {
			f.lost += len(buf) - from
			from = len(buf)
		}
	}
	return from
}

// count reads "17 " at the start of b. It is not sure while more bytes are
// needed to tell. A number is an octet count only where "<" and a digit follow,
// or the message before was counted too: NX-OS begins its lines with "2026 Nov".
func (f *framer) count(b []byte) (n, digits int, sure bool) {
	i := 0
	for i < len(b) && i < maxCountDigits && b[i]-'0' <= 9 {
		n = n*10 + int(b[i]-'0')
		i++
	}
	switch {
	case i == 0 || n == 0 || b[0] == '0':
		return 0, 0, true
	case i == len(b):
		return 0, 0, false
	case b[i] != ' ':
		return 0, 0, true
	case f.counted:
		return n, i, true
	case i+1 == len(b):
		return 0, 0, false
	case b[i+1] != '<' || n < len("<0>"):
		return 0, 0, true
	case i+2 == len(b):
		return 0, 0, false
	case b[i+2]-'0' > 9:
		return 0, 0, true
	}
	return n, i, true
}

func (f *framer) octets(buf []byte, from, body, n int, eof bool) (fr frame, to int, ok bool) {
	have := len(buf) - body
	switch {
	case n > f.max && have >= f.max:
		f.skip = n - f.max
		fr, to = frame{body, body + f.max, true}, body+f.max
	case n <= f.max && have >= n:
		fr, to = frame{start: body, end: body + n}, body+n
	case eof:
		fr, to = frame{start: body, end: len(buf)}, len(buf)
	default:
		return frame{}, from, false
	}
	f.counted, f.scanned = true, 0
	return fr, to, fr.end > fr.start
}

func (f *framer) line(buf []byte, from int, eof bool) (fr frame, to int, ok bool) {
	rest := buf[from:]
	i := lineEnd(rest[min(f.scanned, len(rest)):])
	if i >= 0 {
		i += min(f.scanned, len(rest))
	}
	switch {
	case i >= 0 && i <= f.max:
		fr, to = frame{start: from, end: from + i}, from+i+1
	case i > f.max, len(rest) > f.max:
		f.skipLine = true
		fr, to = frame{from, from + f.max, true}, from+f.max
	case eof:
		fr, to = frame{start: from, end: len(buf)}, len(buf)
	default:
		f.scanned = len(rest)
		return frame{}, from, false
	}
	f.counted, f.scanned = false, 0
	for fr.end > fr.start && buf[fr.end-1] == '\r' {
		fr.end--
	}
	return fr, to, true
}

// lineEnd is the position of the first LF or NUL, or -1.
func lineEnd(b []byte) int {
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		return bytes.IndexByte(b, 0)
	}
	if j := bytes.IndexByte(b[:i], 0); j >= 0 {
		return j
	}
	return i
}
