package engine

// places says where in a queue the entry of a key stands. It is a hash table
// without pointers whose places each hold a part of the key (so that what is
// not there costs one access of memory) and the low bits of the entry's number.
//
// It is one small table, or many: then each grows by itself, and no key that
// is added pays for the move of a million others.
type places struct {
	n      int
	shards []shard
}

// shard is an open table with linear probing: a place is free where it is 0,
// otherwise its upper half is a tag of the key and its lower the number.
type shard struct {
	slots []uint64 // a power of two
	n     int
}

const (
	firstSlots = 64
	splitAt    = 4096 // keys, from which on there are many tables
	shardBits  = 8
)

// newPlaces has room for n keys at once.
func newPlaces(n int) places {
	p := places{shards: make([]shard, 1)}
	if n >= splitAt {
		p.shards = make([]shard, 1<<shardBits)
	}
	slots := firstSlots
	for 3*slots*len(p.shards) < 5*n { // some shards get more than others
		slots *= 2
	}
	for i := range p.shards {
		p.shards[i].slots = make([]uint64, slots)
	}
	return p
}

// tagOf is never 0. What finds the place is in it, so that entries can move
// without their keys.
func tagOf(half uint64) uint64 { return half>>32 | 1 }

func home(tag uint64, slots []uint64) int { return int(tag>>1) & (len(slots) - 1) }

func (p *places) shard(half uint64) *shard {
	if len(p.shards) == 1 {
		return &p.shards[0]
	}
	return &p.shards[half&(1<<shardBits-1)]
}

// find gives the entry of a key and its place, nil and -1 for none.
func (p *places) find(key *Key, q *queue) (e *entry, at int) {
	if p.n == 0 {
		return nil, -1
	}
	half := key.half()
	slots := p.shard(half).slots
	if len(slots) == 0 {
		return nil, -1
	}
	tag := tagOf(half)
	for at = home(tag, slots); slots[at] != 0; at = (at + 1) & (len(slots) - 1) {
		if slots[at]>>32 == tag {
			if e := q.at(uint32(slots[at])); e.key == *key {
				return e, at
			}
		}
	}
	return nil, -1
}

// add notes the place of a key that is not there.
func (p *places) add(half uint64, low uint32, q *queue) {
	switch {
	case len(p.shards) == 0:
		p.shards = make([]shard, 1)
	case len(p.shards) == 1 && p.n >= splitAt:
		p.split(q)
	}
	p.shard(half).add(tagOf(half)<<32 | uint64(low))
	p.n++
}

// split makes many tables of one.
func (p *places) split(q *queue) {
	old := p.shards[0].slots
	p.shards = make([]shard, 1<<shardBits)
	for _, x := range old {
		if x != 0 {
			half := q.at(uint32(x)).key.half()
			p.shard(half).add(x)
		}
	}
}

func (s *shard) add(x uint64) {
	if 4*(s.n+1) > 3*len(s.slots) {
		old := s.slots
		s.slots = make([]uint64, max(2*len(old), firstSlots))
		for _, y := range old {
			if y != 0 {
				s.put(y)
			}
		}
	}
	s.put(x)
	s.n++
}

func (s *shard) put(x uint64) {
	at := home(x>>32, s.slots)
	for s.slots[at] != 0 {
		at = (at + 1) & (len(s.slots) - 1)
	}
	s.slots[at] = x
}

// remove frees a place; what stands behind it moves up, so that no search ends
// too early.
func (p *places) remove(half uint64, at int) {
	s := p.shard(half)
	s.n--
	p.n--
	mask := len(s.slots) - 1
	for next := (at + 1) & mask; s.slots[next] != 0; next = (next + 1) & mask {
		// It may move where its home is not between the free place and its own.
		if from := home(s.slots[next]>>32, s.slots); (next-from)&mask >= (next-at)&mask {
			s.slots[at] = s.slots[next]
			at = next
		}
	}
	s.slots[at] = 0
}
