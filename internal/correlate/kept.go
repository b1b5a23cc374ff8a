package correlate

import (
	"encoding/binary"
	"encoding/hex"
	"unsafe"

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

// keep encodes ev. buf is room to work in; what comes back is what it has grown
// to.
func keep(ev *event.Event, number uint64, buf []byte) (Kept, []byte) {
	small := *ev
	small.Raw, small.Meta = nil, nil
	buf = binary.LittleEndian.AppendUint64(buf[:0], number)
	var id [16]byte
	if parseID(string(ev.ID), &id) {
		small.ID = ""
	}
	buf = append(buf, id[:]...)
	buf = record.AppendEvent(buf, &small)
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

const dashes = 1<<8 | 1<<13 | 1<<18 | 1<<23

// parseID reads a UUID in the one form that formatID writes. The nil UUID is
// refused: it stands for none.
func parseID(s string, id *[16]byte) bool {
	if len(s) != 36 {
		return false
	}
	n := 0
	var any byte
	for i := 0; i < 36; {
		if dashes>>i&1 == 1 {
			if s[i] != '-' {
				return false
			}
			i++
			continue
		}
		hi, lo := digit(s[i]), digit(s[i+1])
		if hi > 15 || lo > 15 {
			*id = [16]byte{}
			return false
		}
		id[n] = hi<<4 | lo
		any |= id[n]
		n++
		i += 2
	}
	return any != 0
}

func digit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return 255
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
		it.kept, *it.room = keep(it.ev, it.number, *it.room)
	}
	return it.kept
}
