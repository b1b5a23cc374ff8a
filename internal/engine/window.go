package engine

import (
	"encoding/binary"
	"time"

	"github.com/google/uuid"

	"signalbox/event"
)

// Key is what makes two events the same within a window: a hash of the key
// fields' values, 128 bits of SHA-256, so that nobody can craft two different
// things that are taken for one.
type Key [16]byte

// window remembers for a fixed time which keys were news, and which event was
// the news. All its keys live equally long, so they stand in a queue in order
// of expiry. Memory is bounded by max keys (about 80 bytes each): then the
// oldest is forgotten early, which can let a repetition through and never drops
// anything.
//
// The index holds half of each key only. Of two keys that share that half the
// later takes the place of the earlier, which is the same as forgetting it.
type window struct {
	within  time.Duration
	max     int
	index   map[uint64]uint32 // half a key → low bits of the entry's number
	queue   queue
	evicted uint64
	// shared: two keys that the queue holds had the same half. Nearly never.
	shared bool
}

// entry is one key. until is 0 once it is forgotten.
type entry struct {
	key   Key
	until int64 // log time in ns
	of    uuid.UUID
}

func newWindow(within time.Duration, max int) *window {
	return &window{within: within, max: max, index: map[uint64]uint32{}}
}

func (k *Key) half() uint64 { return binary.LittleEndian.Uint64(k[:8]) }

// len is how many keys are held.
func (w *window) len() int { return len(w.index) }

// find gives the entry of key, nil for none.
func (w *window) find(key *Key) *entry {
	low, ok := w.index[key.half()]
	if !ok {
		return nil
	}
	if e := w.queue.at(low); e.key == *key {
		return e
	}
	return nil
}

// check says whether key repeats an event that was news less than the window
// ago, and which one that was. A key that repeats nothing is remembered as
// news by id.
func (w *window) check(key Key, id event.ID, now time.Time) (of event.ID, duplicate bool) {
	t := now.UnixNano()
	for e := w.queue.peek(); e != nil && e.until <= t; e = w.queue.peek() {
		w.drop(e)
	}
	if e := w.find(&key); e != nil {
		return event.ID(e.of.String()), true
	}
	if len(w.index) >= w.max {
		w.evictOldest()
	}
	u, err := uuid.Parse(string(id))
	if err != nil { // ids are ours, so they parse; one that does not is remembered as nil
		u = uuid.Nil
	}
	w.add(entry{key: key, until: t + int64(w.within), of: u})
	return "", false
}

// add remembers a key. Entries must come in order of expiry.
func (w *window) add(e entry) {
	before := len(w.index)
	w.index[e.key.half()] = w.queue.push(e)
	w.shared = w.shared || len(w.index) == before
}

// forget ends the window of key: what comes next is news.
func (w *window) forget(key Key) {
	if e := w.find(&key); e != nil {
		e.until = 0 // so it is the next to leave the queue when it comes to its head
		delete(w.index, key.half())
	}
}

func (w *window) evictOldest() {
	for before := len(w.index); len(w.index) == before; {
		e := w.queue.peek()
		if e == nil {
			return
		}
		w.drop(e)
	}
	w.evicted++
}

// drop takes the head of the queue off. Its key stays where a later entry of
// the queue has it.
func (w *window) drop(e *entry) {
	half, low := e.key.half(), uint32(w.queue.first)
	w.queue.pop()
	if have, ok := w.index[half]; ok && have == low {
		delete(w.index, half)
	}
}

// each calls fn for what is held, oldest first: w.len() entries. The index is
// asked only where it has to be: a million look-ups take a third of a second.
func (w *window) each(fn func(*entry)) {
	q := &w.queue
	n := q.first
	for _, block := range q.blocks {
		for i := int(n % queueBlock); i < len(block); i++ {
			if e := &block[i]; e.until != 0 && (!w.shared || w.names(e, uint32(n))) {
				fn(e)
			}
			n++
		}
	}
}

// names says whether the index has an entry under its number.
func (w *window) names(e *entry, low uint32) bool {
	have, ok := w.index[e.key.half()]
	return ok && have == low
}

// queue is a first-in first-out queue in blocks, so that a million keys need no
// copy to grow and give their memory back. Entries are numbered from 0 for
// ever; as less than 2³² are held at once, the low bits name one.
type queue struct {
	blocks [][]entry
	first  uint64 // number of the head
	next   uint64 // number of the next entry
}

const queueBlock = 1024

func (q *queue) push(e entry) (low uint32) {
	if len(q.blocks) == 0 || q.next%queueBlock == 0 {
		q.blocks = append(q.blocks, make([]entry, 0, queueBlock))
	}
	last := len(q.blocks) - 1
	q.blocks[last] = append(q.blocks[last], e)
	q.next++
	return uint32(q.next - 1)
}

// at gives an entry that is in the queue.
func (q *queue) at(low uint32) *entry {
	n := q.first + uint64(low-uint32(q.first))
	return &q.blocks[n/queueBlock-q.first/queueBlock][n%queueBlock]
}

func (q *queue) peek() *entry {
	if q.first == q.next {
		return nil
	}
	return q.at(uint32(q.first))
}

func (q *queue) pop() {
	q.first++
	if q.first%queueBlock == 0 {
		q.blocks[0] = nil
		q.blocks = q.blocks[1:]
	}
}
