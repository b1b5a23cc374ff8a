package intake

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/google/uuid"

	"signalbox/event"
)

// Lengths in bytes.
const (
	idLength    = 36
	traceLength = 55
)

// names gives events their ids and traces. Those of a batch are parts of one
// string.
type names struct{ room []byte }

func newNames(n int) *names { return &names{make([]byte, 0, n*(idLength+traceLength))} }

// give gives an event its id and, where its sender started no trace, a trace of
// its own: a W3C trace context (version 00, not sampled) whose trace id is the
// event's id, so that one leads to the other.
func (n *names) give(ev *event.Event) {
	id := newID()
	at := len(n.room)
	n.room = n.room[:at+idLength]
	text := n.room[at:]
	hex.Encode(text, id[:4])
	hex.Encode(text[9:], id[4:6])
	hex.Encode(text[14:], id[6:8])
	hex.Encode(text[19:], id[8:10])
	hex.Encode(text[24:], id[10:])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	ev.ID = event.ID(shared(text))
	if ev.TraceParent != "" {
		return
	}
	at = len(n.room)
	n.room = n.room[:at+traceLength]
	out := n.room[at:]
	copy(out, "00-")
	hex.Encode(out[3:35], id[:])
	out[35] = '-'
	hex.Encode(out[36:52], id[8:]) // the random half
	copy(out[52:], "-00")
	ev.TraceParent = shared(out)
}

// shared is b as a string, without a copy: b is never written to again.
func shared(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// lastTime is that of the newest id, in 1/4096 ms.
var lastTime atomic.Int64

// newID is a UUIDv7 (RFC 9562): the milliseconds, 12 bits of what is below them
// (method 3 of section 6.2), and 62 random bits. Ids of one process are in the
// order in which they were given. They are names, not secrets: the generator
// is the runtime's ChaCha8.
func newID() (id uuid.UUID) {
	ns := time.Now().UnixNano()
	t := ns/1e6<<12 | ns%1e6<<12/1e6
	for {
		last := lastTime.Load()
		if t <= last {
			t = last + 1
		}
		if lastTime.CompareAndSwap(last, t) {
			break
		}
	}
	binary.BigEndian.PutUint64(id[:], uint64(t>>12)<<16|7<<12|uint64(t&0xfff))
	binary.BigEndian.PutUint64(id[8:], rand.Uint64()&^(3<<62)|2<<62)
	return id
}
