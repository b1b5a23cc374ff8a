package webhook

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// firstRead is what a body may cost before any byte of it has come: ten
// thousand senders that say nothing hold 40 MB.
const firstRead = 4 << 10

// budget bounds the bytes of all bodies at hand. It never waits: with no room
// the sender is told to come back.
type budget struct {
	used atomic.Int64
	max  int64
}

func (b *budget) take(n int) bool {
	if b.used.Add(int64(n)) > b.max {
		b.used.Add(-int64(n))
		return false
	}
	return true
}

// lease is one request's part of the budget.
type lease struct {
	from *budget
	n    int
}

func (l *lease) grow(n int) bool {
	if !l.from.take(n) {
		return false
	}
	l.n += n
	return true
}

func (l *lease) release() {
	l.from.used.Add(-int64(l.n))
	l.n = 0
}

// readWire reads the body as it is sent, under the source's bounds.
func (s *Source) readWire(w http.ResponseWriter, r *http.Request, mem *lease) ([]byte, *problem) {
	limit := s.cfg.MaxBody
	if r.ContentLength > int64(limit) {
		return nil, tooLarge(r.ContentLength, limit)
	}
	if r.ContentLength == 0 || r.Body == nil {
		return nil, nil
	}
	rc := http.NewResponseController(w)
	// Set and taken back here: waiting for the log must not end by it. Where
	// the server has no deadlines (tests) its own limits hold.
	_ = rc.SetReadDeadline(time.Now().Add(s.cfg.Timeout))
	buf, err := readBounded(r.Body, int(r.ContentLength), limit, mem)
	if err != nil {
		return nil, s.readProblem(err, limit)
	}
	_ = rc.SetReadDeadline(time.Time{})
	return buf, nil
}

var (
	errNoRoom   = errors.New("no room for the body")
	errTooLarge = errors.New("too large")
)

func (s *Source) readProblem(err error, limit int) *problem {
	switch {
	case errors.Is(err, errNoRoom):
		return busy("too many bodies are being read")
	case errors.Is(err, errTooLarge):
		return tooLarge(-1, limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &problem{status: http.StatusRequestTimeout, reason: "timeout", detail: fmt.Sprintf("the body did not arrive within %v", s.cfg.Timeout), close: true}
	}
	return &problem{status: http.StatusBadRequest, reason: "malformed", detail: "the body ended too early", close: true}
}

// readBounded reads r to its end. expect is the length that the sender claims,
// or -1; memory follows the bytes that really come, so a claim costs nothing.
func readBounded(r io.Reader, expect, limit int, mem *lease) ([]byte, error) {
	size := firstRead
	if expect >= 0 && expect < size {
		size = expect + 1 // one more, so that the end is seen without growing
	}
	if !mem.grow(size) {
		return nil, errNoRoom
	}
	buf := make([]byte, 0, size)
	for {
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if len(buf) > limit {
			return nil, errTooLarge
		}
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return nil, err
		}
		if len(buf) < cap(buf) {
			continue
		}
		next := min(2*cap(buf), limit+1)
		if expect > cap(buf) {
			next = min(next, expect+1)
		}
		if !mem.grow(next) { // the old one is garbage only after the copy
			return nil, errNoRoom
		}
		buf = append(make([]byte, 0, next), buf...)
		mem.n -= size
		mem.from.used.Add(-int64(size))
		size = next
	}
}

var gzipReaders = sync.Pool{New: func() any { return new(gzip.Reader) }}

// inflate undoes Content-Encoding. Both the size and the ratio are bounded
// while it inflates, so a bomb costs what an honest body may cost.
func (s *Source) inflate(wire []byte, mem *lease) ([]byte, *problem) {
	z := gzipReaders.Get().(*gzip.Reader)
	defer gzipReaders.Put(z)
	if err := z.Reset(bytes.NewReader(wire)); err != nil {
		return nil, &problem{status: http.StatusBadRequest, reason: "malformed", detail: "the body is not gzip, which its Content-Encoding declares"}
	}
	limit := s.cfg.MaxInflated
	// A short body may be dense without being a bomb.
	byRatio := max(len(wire)*s.cfg.MaxRatio, 64<<10)
	buf, err := readBounded(z, -1, min(limit, byRatio), mem)
	switch {
	case err == nil:
		return buf, nil
	case errors.Is(err, errNoRoom):
		return nil, busy("too many bodies are being read")
	case errors.Is(err, errTooLarge) && byRatio < limit:
		return nil, &problem{status: http.StatusRequestEntityTooLarge, reason: "too_large",
			detail: fmt.Sprintf("the gzip body inflates to more than %d times its size", s.cfg.MaxRatio)}
	case errors.Is(err, errTooLarge):
		return nil, &problem{status: http.StatusRequestEntityTooLarge, reason: "too_large",
			detail: fmt.Sprintf("the gzip body inflates to more than the %d bytes allowed", limit)}
	}
	return nil, &problem{status: http.StatusBadRequest, reason: "malformed", detail: "the gzip body is damaged"}
}

// encoding says how the body is coded: gzip, or not at all.
func encoding(r *http.Request) (isGzip bool, p *problem) {
	values := r.Header["Content-Encoding"]
	if len(values) == 0 {
		return false, nil
	}
	switch strings.ToLower(strings.TrimSpace(strings.Join(values, ","))) {
	case "", "identity":
		return false, nil
	case "gzip", "x-gzip":
		return true, nil
	}
	return false, &problem{status: http.StatusUnsupportedMediaType, reason: "unsupported",
		detail: "of content encodings only gzip is known", acceptEncoding: "gzip"}
}
