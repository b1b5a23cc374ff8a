package correlate

import "math"

// Timers is the one queue of timers of all machines of a lane. They fire in
// order of (due, the order in which they were set), whatever happens in
// between. Times are log time in ns since 1970.
//
// Setting a timer later than it is, and stopping it, cost nothing: its entry in
// the heap stays where it is and is put right when it comes to the top.
type Timers struct {
	heap  []timerEntry
	slots []timerSlot // [0] is nobody's
	free  Timer       // chain of free slots by their arg
	order uint64
}

// Timer names one timer; 0 is none.
type Timer uint32

type timerEntry struct {
	due   int64
	order uint64
	t     Timer
}

type timerSlot struct {
	due   int64 // idle where it is not set
	order uint64
	pos   int32 // in heap, -1 where it is not there
	owner uint32
	arg   uint32
}

const idle = math.MaxInt64

// afterTimers in an order puts what has it behind all timers of the same time:
// events that come later than they were logged (see Buffer, held ones, what a
// gate kept back) come after the timers of that time, as events of the log do.
const afterTimers = 1 << 63

func (a *timerEntry) before(b *timerEntry) bool {
	return a.due < b.due || a.due == b.due && a.order < b.order
}

// Len is how many timers there are.
func (q *Timers) Len() int { return len(q.slots) - q.freeLen() - min(1, len(q.slots)) }

func (q *Timers) freeLen() (n int) {
	for t := q.free; t != 0; t = Timer(q.slots[t].arg) {
		n++
	}
	return n
}

// set gives *t the time due and the next order; a new timer where *t is 0.
func (q *Timers) set(t *Timer, owner, arg uint32, due int64, order uint64) {
	if *t == 0 {
		*t = q.take()
		q.slots[*t] = timerSlot{due: idle, pos: -1, owner: owner, arg: arg}
	}
	s := &q.slots[*t]
	s.due, s.order = due, order
	e := timerEntry{due, order, *t}
	if s.pos < 0 {
		q.heap = append(q.heap, e)
		s.pos = int32(len(q.heap) - 1)
		q.up(len(q.heap) - 1)
	} else if at := int(s.pos); e.before(&q.heap[at]) {
		q.heap[at] = e
		q.up(at)
	}
}

func (q *Timers) next() uint64 {
	q.order++
	return q.order
}

func (q *Timers) take() Timer {
	if len(q.slots) == 0 {
		q.slots = append(q.slots, timerSlot{})
	}
	if t := q.free; t != 0 {
		q.free = Timer(q.slots[t].arg)
		return t
	}
	q.slots = append(q.slots, timerSlot{})
	return Timer(len(q.slots) - 1)
}

// stop makes t fire no more until it is set again.
func (q *Timers) stop(t Timer) {
	if t != 0 {
		q.slots[t].due = idle
	}
}

// drop gives *t back.
func (q *Timers) drop(t *Timer) {
	if *t == 0 {
		return
	}
	s := &q.slots[*t]
	if s.pos >= 0 {
		q.remove(int(s.pos))
	}
	*s = timerSlot{due: idle, pos: -1, arg: uint32(q.free)}
	q.free, *t = *t, 0
}

// due says when t fires and in which order it was set; ok is false where it is
// not set.
func (q *Timers) due(t Timer) (due int64, order uint64, ok bool) {
	if t == 0 || q.slots[t].due == idle {
		return 0, 0, false
	}
	return q.slots[t].due, q.slots[t].order, true
}

// Drop gives *t back, and makes it 0.
func (q *Timers) Drop(t *Timer) { q.drop(t) }

// Next is when the next timer is due.
func (q *Timers) Next() (due int64, ok bool) {
	for len(q.heap) > 0 {
		top := &q.heap[0]
		s := &q.slots[top.t]
		switch {
		case s.due == idle:
			q.remove(0)
		case s.due != top.due || s.order != top.order:
			top.due, top.order = s.due, s.order
			q.down(0)
		default:
			return s.due, true
		}
	}
	return 0, false
}

// Pop takes the next timer that is due at now, and says whose it is. It is not
// set any more, and stays its owner's.
func (q *Timers) Pop(now int64) (owner, arg uint32, due int64, ok bool) {
	due, ok = q.Next()
	if !ok || due > now {
		return 0, 0, 0, false
	}
	s := &q.slots[q.heap[0].t]
	owner, arg = s.owner, s.arg
	s.due = idle
	q.remove(0)
	return owner, arg, due, true
}

// Forget drops all timers of an owner.
func (q *Timers) Forget(owner uint32) {
	freed := map[Timer]bool{}
	for t := q.free; t != 0; t = Timer(q.slots[t].arg) {
		freed[t] = true
	}
	for i := 1; i < len(q.slots); i++ {
		if t := Timer(i); q.slots[i].owner == owner && !freed[t] {
			q.drop(&t)
		}
	}
}

func (q *Timers) remove(i int) {
	last := len(q.heap) - 1
	q.slots[q.heap[i].t].pos = -1
	if i != last {
		q.heap[i] = q.heap[last]
		q.slots[q.heap[i].t].pos = int32(i)
	}
	q.heap = q.heap[:last]
	if i < last {
		q.up(i)
		q.down(i)
	}
}

// up and down keep a heap of four branches: it is half as deep as one of two.
func (q *Timers) up(i int) {
	e := q.heap[i]
	for i > 0 {
		parent := (i - 1) / 4
		if !e.before(&q.heap[parent]) {
			break
		}
		q.put(i, q.heap[parent])
		i = parent
	}
	q.put(i, e)
}

func (q *Timers) down(i int) {
	e := q.heap[i]
	for {
		first := 4*i + 1
		if first >= len(q.heap) {
			break
		}
		least := first
		for c := first + 1; c < min(first+4, len(q.heap)); c++ {
			if q.heap[c].before(&q.heap[least]) {
				least = c
			}
		}
		if !q.heap[least].before(&e) {
			break
		}
		q.put(i, q.heap[least])
		i = least
	}
	q.put(i, e)
}

func (q *Timers) put(i int, e timerEntry) {
	q.heap[i] = e
	q.slots[e.t].pos = int32(i)
}
