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
// of expiry. Memory is bounded by max keys (about 60 bytes each): then the
// oldest is forgotten early, which can let a repetition through and never drops
// anything.
type window struct {
	within  time.Duration
	max     int
	index   places
	queue   queue
	evicted uint64
}

// entry is one key. until is 0 once it is forgotten.
type entry struct {
	key   Key
	until int64 // log time in ns
	of    uuid.UUID
}

func newWindow(within time.Duration, max int) *window {
	return &window{within: within, max: max}
}

// len is how many keys are held.
func (w *window) len() int { return w.index.n }

// find gives the entry of key, nil for none.
func (w *window) find(key *Key) *entry {
	e, _ := w.index.find(key, &w.queue)
	return e
}

// check says whether key repeats an event that was news less than the window
// ago, and gives what is remembered of that one (good until the next call). A
// key that repeats nothing is remembered as news by id.
func (w *window) check(key Key, id uuid.UUID, t int64) (news *entry, duplicate bool) {
	for e := w.queue.peek(); e != nil && e.until <= t; e = w.queue.peek() {
		w.drop(e)
	}
	if e := w.find(&key); e != nil {
		return e, true
	}
	if w.len() >= w.max {
		w.evictOldest()
	}
	w.add(entry{key: key, until: t + int64(w.within), of: id})
	return nil, false
}

// id is the event that was news.
func (e *entry) id() event.ID { return event.ID(e.of.String()) }

// add remembers a key that is not held. Entries must come in order of expiry.
func (w *window) add(e entry) {
	half := e.key.half()
	w.index.add(half, w.queue.push(e), &w.queue)
}

// forget ends the window of key: what comes next is news.
func (w *window) forget(key Key) {
	if w.len() == 0 {
		return
	}
	if e, at := w.index.find(&key, &w.queue); e != nil {
		e.until = 0 // so it is the next to leave the queue when it comes to its head
		w.index.remove(key.half(), at)
	}
}

func (w *window) evictOldest() {
	for before := w.len(); w.len() == before; {
		e := w.queue.peek()
		if e == nil {
			return
		}
		w.drop(e)
	}
	w.evicted++
}

// drop takes the head of the queue off.
func (w *window) drop(e *entry) {
	if e.until != 0 {
		if _, at := w.index.find(&e.key, &w.queue); at >= 0 {
			w.index.remove(e.key.half(), at)
		}
	}
	w.queue.pop()
}

// each calls fn for what is held, oldest first: w.len() entries.
func (w *window) each(fn func(*entry)) {
	q := &w.queue
	n := q.first
	for _, block := range q.blocks {
		for i := int(n % queueBlock); i < len(block); i++ {
			if e := &block[i]; e.until != 0 {
				fn(e)
			}
			n++
		}
	}
}

// queue is a first-in first-out queue in blocks, so that a million keys need no
// copy to grow and give their memory back. Entries are numbered from 0 for
// ever; as less than 2³² are held at once, the low bits name one.
type queue struct {
	blocks [][]entry
	first  uint64 // number of the head
	next   uint64 // number of the next entry
	spare  []entry
}

const queueBlock = 1024

func (q *queue) push(e entry) (low uint32) {
	if len(q.blocks) == 0 || q.next%queueBlock == 0 {
		block := q.spare
		if q.spare = nil; block == nil {
			block = make([]entry, 0, queueBlock)
		}
		q.blocks = append(q.blocks, block)
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
		q.spare = q.blocks[0][:0]
		q.blocks[0] = nil
		q.blocks = q.blocks[1:]
	}
}

func (k *Key) half() uint64 { return binary.LittleEndian.Uint64(k[:8]) }
