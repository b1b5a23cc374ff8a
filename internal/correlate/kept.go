package correlate

import (
	"encoding/binary"
	"encoding/hex"
	"unsafe"

	"github.com/google/uuid"

	"signalbox/event"
	"signalbox/internal/record"
)

// Kept is an event as it is remembered: encoded, without its raw bytes and the
// facts of its transport, in one piece of memory that all rules share. The zero
// Kept is none. Two Kept of one event of one lane have the same Number.
type Kept struct{ code string }

// Layout of Kept.code: the number, then the id's 16 bytes, then the event as in
// the log. An id that is no UUID in the usual form stays in the event, and
// the first of the 16 bytes is followed by zeros only.
const (
	keptID   = 8
	keptBody = keptID + 16
)

// keep encodes ev. id is what parseID makes of its id, nil where that has another
// form. buf is room to work in; what comes back is what it has grown to.
func keep(ev *event.Event, number uint64, id uuid.UUID, buf []byte) (Kept, []byte) {
	buf = binary.LittleEndian.AppendUint64(buf[:0], number)
	buf = append(buf, id[:]...)
	buf = record.AppendKept(buf, ev, id == uuid.Nil)
	return Kept{string(buf)}, buf
}

// None says whether there is no event.
func (k Kept) None() bool { return k.code == "" }

// Size is how many bytes it takes.
func (k Kept) Size() int { return len(k.code) }

// Number counts the events of a lane: a later one has a larger number.
func (k Kept) Number() uint64 {
	if k.None() {
		return 0
	}
	return binary.LittleEndian.Uint64(k.bytes())
}

func (k Kept) bytes() []byte { return unsafe.Slice(unsafe.StringData(k.code), len(k.code)) }

// Event decodes it. The result is a new value on every call, but shares its
// bytes: never change it.
func (k Kept) Event() *event.Event {
	if k.None() {
		return nil
	}
	b := k.bytes()
	ev, err := record.DecodeEvent(b[keptBody:])
	if err != nil { // only what keep wrote is here, or what a checksum has vouched for
		ev = &event.Event{}
	}
	if id := [16]byte(b[keptID:keptBody]); id != [16]byte{} {
		ev.ID = formatID(&id)
	}
	return ev
}

// ID is the event's, without decoding the rest where it can be.
func (k Kept) ID() event.ID {
	if k.None() {
		return ""
	}
	if id := [16]byte(k.bytes()[keptID:keptBody]); id != [16]byte{} {
		return formatID(&id)
	}
	return k.Event().ID
}

// nibbles are the values of lower-case hexadecimal digits, 0xff of all else.
var nibbles = func() (n [256]uint8) {
	for i := range n {
		n[i] = 0xff
	}
	for i, c := range "0123456789abcdef" {
		n[c] = uint8(i)
	}
	return n
}()

// parseID reads a UUID in the one form that formatID writes. The nil UUID is
// refused: it stands for none.
func parseID(s string) (id uuid.UUID, ok bool) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return uuid.Nil, false
	}
	var bad byte
	for i, at := range [16]uint8{0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34} {
		hi, lo := nibbles[s[at]], nibbles[s[at+1]]
		bad |= hi | lo
		id[i] = hi<<4 | lo
	}
	if bad > 15 || id == uuid.Nil {
		return uuid.Nil, false
	}
	return id, true
}

func formatID(id *[16]byte) event.ID {
	var b [36]byte
	hex.Encode(b[0:], id[0:4])
	hex.Encode(b[9:], id[4:6])
	hex.Encode(b[14:], id[6:8])
	hex.Encode(b[19:], id[8:10])
	hex.Encode(b[24:], id[10:16])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return event.ID(b[:])
}

// Item is an event on its way through the rules. It is kept once, by the first
// machine that keeps it.
type Item struct {
	ev     *event.Event
	kept   Kept
	number uint64
	room   *[]byte
	id     uuid.UUID // see UUID; nil until it is asked for
	odd    bool      // the event's id has another form than parseID reads
}

// NewItem is an event of the log. room is kept between calls so that keeping an
// event makes no garbage.
func NewItem(ev *event.Event, number uint64, room *[]byte) Item {
	return Item{ev: ev, number: number, room: room}
}

// ItemOf is an event that was kept.
func ItemOf(k Kept) Item { return Item{kept: k, number: k.Number()} }

// Event is the event itself. It must not be kept beyond the call: see Keep.
func (it *Item) Event() *event.Event {
	if it.ev == nil {
		it.ev = it.kept.Event()
	}
	return it.ev
}

// Number is Kept.Number of what Keep gives.
func (it *Item) Number() uint64 { return it.number }

// Keep is the event in the form that may be kept.
func (it *Item) Keep() Kept {
	if it.kept.None() {
		id := it.UUID()
		if it.odd {
			id = uuid.Nil
		}
		it.kept, *it.room = keep(it.ev, it.number, id, *it.room)
	}
	return it.kept
}

// UUID is the event's id, nil where that is no UUID: ids are ours, so they are.
func (it *Item) UUID() uuid.UUID {
	if it.id != uuid.Nil || it.odd {
		return it.id
	}
	if !it.kept.None() {
		if it.id = uuid.UUID(it.kept.bytes()[keptID:keptBody]); it.id != uuid.Nil {
			return it.id
		}
	}
	id, ok := parseID(string(it.Event().ID))
	if it.odd = !ok; it.odd {
		id = UUIDOf(it.Event().ID)
	}
	it.id = id
	return id
}

// UUIDOf is an event's id, nil where it is no UUID in any of its forms.
func UUIDOf(id event.ID) uuid.UUID {
	u, err := uuid.Parse(string(id))
	if err != nil {
		return uuid.Nil
	}
	return u
}
