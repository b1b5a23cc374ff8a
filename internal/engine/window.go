package engine

import (
	"time"

	"github.com/google/uuid"

	"signalbox/event"
)

// Key is what makes two events the same within a window: a hash of the key
// fields' values, 128 bits of SHA-256, so that nobody can craft two different
// things that are taken for one.
type Key [16]byte

// window remembers for a fixed time which keys were news, and which event was
// the news. All its keys live equally long, so the queue is in order of expiry.
// Memory is bounded by max keys: then the oldest is forgotten early, which can
// let a repetition through and never drops anything.
type window struct {
	within  time.Duration
	max     int
	seen    map[Key]entry
	queue   queue
	evicted uint64
}

type entry struct {
	until int64 // log time in ns
	of    uuid.UUID
}

func newWindow(within time.Duration, max int) *window {
	return &window{within: within, max: max, seen: map[Key]entry{}}
}

// check says whether key repeats an event that was news less than the window
// ago, and which one that was. A key that repeats nothing is remembered as
// news by id.
func (w *window) check(key Key, id event.ID, now time.Time) (of event.ID, duplicate bool) {
	t := now.UnixNano()
	w.expire(t)
	if e, ok := w.seen[key]; ok && t < e.until {
		return event.ID(e.of.String()), true
	}
	if len(w.seen) >= w.max {
		w.evictOldest()
	}
	u, err := uuid.Parse(string(id))
	if err != nil { // ids are ours, so they parse; one that does not is remembered as nil
		u = uuid.Nil
	}
	until := t + int64(w.within)
	w.seen[key] = entry{until: until, of: u}
	w.queue.push(expiry{key: key, until: until})
	return "", false
}

// forget ends the window of key: what comes next is news.
func (w *window) forget(key Key) { delete(w.seen, key) }

func (w *window) expire(t int64) {
	for {
		x, ok := w.queue.peek()
		if !ok || x.until > t {
			return
		}
		w.drop(x)
	}
}

func (w *window) evictOldest() {
	for before := len(w.seen); len(w.seen) == before; {
		x, ok := w.queue.peek()
		if !ok {
			return
		}
		w.drop(x)
	}
	w.evicted++
}

// drop takes the head of the queue off. The key stays where it was forgotten
// and seen anew since: then a later entry of the queue is its own.
func (w *window) drop(x expiry) {
	w.queue.pop()
	if e, ok := w.seen[x.key]; ok && e.until == x.until {
		delete(w.seen, x.key)
	}
}

type expiry struct {
	key   Key
	until int64
}

// queue is a first-in first-out queue in blocks, so that a million keys need no
// copy to grow and give their memory back.
type queue struct {
	blocks [][]expiry
	head   int // in blocks[0]
}

const queueBlock = 1024

func (q *queue) push(x expiry) {
	if n := len(q.blocks); n == 0 || len(q.blocks[n-1]) == queueBlock {
		q.blocks = append(q.blocks, make([]expiry, 0, queueBlock))
	}
	last := len(q.blocks) - 1
	q.blocks[last] = append(q.blocks[last], x)
}

func (q *queue) peek() (expiry, bool) {
	if len(q.blocks) == 0 || q.head == len(q.blocks[0]) {
		return expiry{}, false
	}
	return q.blocks[0][q.head], true
}

func (q *queue) pop() {
	q.head++
	if q.head == len(q.blocks[0]) {
		q.blocks[0] = nil
		q.blocks = q.blocks[1:]
		q.head = 0
	}
}

// each calls fn for what is in the queue and still holds, oldest first.
func (w *window) each(fn func(key Key, e entry)) {
	for i, b := range w.queue.blocks {
		start := 0
		if i == 0 {
			start = w.queue.head
		}
		for _, x := range b[start:] {
			if e, ok := w.seen[x.key]; ok && e.until == x.until {
				fn(x.key, e)
			}
		}
	}
}
