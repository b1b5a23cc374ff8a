package correlate

import "hash/maphash"

// places says where in a table the slot of a key is. It is a hash table whose
// places hold a part of the key's hash and the slot's number, and no pointer:
// the collector has nothing to do there, and a search looks at one slot mostly.
// The order of its places means nothing, as the hash is another one in each
// process.
//
// It is one small table, or many: then each grows by itself, and no key that is
// added pays for the move of a hundred thousand others.
type places struct {
	n      int
	shards [][]uint64 // open tables of a power of two places; 0 is a free one
	used   []uint32   // places of each
}

const (
	firstPlaces = 8
	splitAt     = 4096 // keys, from which on there are many tables
	shardBits   = 8
)

var placesSeed = maphash.MakeSeed()

// hashKey gives the shard in its upper bits, what finds the place in its lower.
func hashKey(key string) uint64 { return maphash.String(placesSeed, key) }

// entryOf is never 0: slots are numbered from 1.
func entryOf(hash uint64, n uint32) uint64 { return hash&^(1<<32-1) | uint64(n) }

func (p *places) shard(hash uint64) int {
	if len(p.shards) <= 1 {
		return 0
	}
	return int(hash & (1<<shardBits - 1))
}

func homeOf(entry uint64, size int) int { return int(entry>>32) & (size - 1) }

// lookUp gives the number of the slot of a key, and its place; 0 for none.
func (t *table[S]) lookUp(hash uint64, key string) (n uint32, at int) {
	if t.places.n == 0 {
		return 0, -1
	}
	places := t.places.shards[t.places.shard(hash)]
	if len(places) == 0 {
		return 0, -1
	}
	tag := hash >> 32
	for at = homeOf(hash, len(places)); places[at] != 0; at = (at + 1) & (len(places) - 1) {
		if places[at]>>32 == tag {
			if n := uint32(places[at]); t.at(n).key == key {
				return n, at
			}
		}
	}
	return 0, -1
}

// place notes the place of a key that is not there.
func (t *table[S]) place(hash uint64, n uint32) {
	p := &t.places
	switch {
	case len(p.shards) == 0:
		p.shards, p.used = make([][]uint64, 1), make([]uint32, 1)
	case len(p.shards) == 1 && p.n >= splitAt:
		t.split()
	}
	p.n++
	p.add(p.shard(hash), entryOf(hash, n))
}

// split makes many tables of one.
func (t *table[S]) split() {
	old := t.places.shards[0]
	t.places.shards, t.places.used = make([][]uint64, 1<<shardBits), make([]uint32, 1<<shardBits)
	for _, x := range old {
		if x != 0 {
			n := uint32(x)
			hash := hashKey(t.at(n).key)
			t.places.add(t.places.shard(hash), entryOf(hash, n))
		}
	}
}

func (p *places) add(shard int, x uint64) {
	s := p.shards[shard]
	if 4*(int(p.used[shard])+1) > 3*len(s) {
		old := s
		s = make([]uint64, max(2*len(old), firstPlaces))
		for _, y := range old {
			if y != 0 {
				put(s, y)
			}
		}
		p.shards[shard] = s
	}
	put(s, x)
	p.used[shard]++
}

func put(s []uint64, x uint64) {
	at := homeOf(x, len(s))
	for s[at] != 0 {
		at = (at + 1) & (len(s) - 1)
	}
	s[at] = x
}

// unplace frees the place of a key; what stands behind it moves up, so that no
// search ends too early.
func (t *table[S]) unplace(key string) {
	hash := hashKey(key)
	_, at := t.lookUp(hash, key)
	if at < 0 {
		return
	}
	p := &t.places
	shard := p.shard(hash)
	p.n--
	p.used[shard]--
	s := p.shards[shard]
	mask := len(s) - 1
	for next := (at + 1) & mask; s[next] != 0; next = (next + 1) & mask {
		// It may move where its home is not between the free place and its own.
		if from := homeOf(s[next], len(s)); (next-from)&mask >= (next-at)&mask {
			s[at] = s[next]
			at = next
		}
	}
	s[at] = 0
}
