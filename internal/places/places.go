// Package places finds the number that a text was given, in a hash table that
// holds no text and no pointer.
//
// The hash is another one in each process, so that nobody can choose texts that
// hinder each other. What is found does not depend on it: there is no way to walk
// an Index, and so no order that could be different the next time.
package places

import "hash/maphash"

// Index says which number a text has. The texts themselves are kept by who has
// the numbers, and are asked for by textOf. An Index serves one goroutine; the
// zero Index is empty.
//
// Each place holds a part of the text's hash and its number, so that a search
// looks at one text mostly, and the collector has nothing to do. It is one small
// table, or many: then each grows by itself, and no text that is added pays for the
// move of a hundred thousand others.
type Index struct {
	n      int
	shards [][]uint64 // open tables of a power of two places; 0 is a free one
	used   []uint32   // places of each
}

const (
	firstPlaces = 8
	splitAt     = 4096 // texts, from which on there are many tables
	shardBits   = 8
)

var seed = maphash.MakeSeed()

// Hash is a text as the other functions want it, so that it is worked out once.
type Hash uint64

// HashOf is the hash of a text in this process. It must not be kept beyond that.
func HashOf(text string) Hash { return Hash(maphash.String(seed, text)) }

// Len is how many texts there are.
func (x *Index) Len() int { return x.n }

// Find gives the number of a text, 0 for none.
func (x *Index) Find(h Hash, text string, textOf func(n uint32) string) uint32 {
	n, _ := x.find(h, text, textOf)
	return n
}

func (x *Index) find(h Hash, text string, textOf func(n uint32) string) (n uint32, at int) {
	if x.n == 0 {
		return 0, -1
	}
	places := x.shards[x.shard(h)]
	if len(places) == 0 {
		return 0, -1
	}
	tag := uint64(h) >> 32
	for at = home(uint64(h), len(places)); places[at] != 0; at = (at + 1) & (len(places) - 1) {
		if places[at]>>32 == tag {
			if n := uint32(places[at]); textOf(n) == text {
				return n, at
			}
		}
	}
	return 0, -1
}

// Add gives a text that is not there a number, which is not 0.
func (x *Index) Add(h Hash, n uint32, textOf func(n uint32) string) {
	switch {
	case len(x.shards) == 0:
		x.shards, x.used = make([][]uint64, 1), make([]uint32, 1)
	case len(x.shards) == 1 && x.n >= splitAt:
		x.split(textOf)
	}
	x.n++
	x.add(x.shard(h), entry(h, n))
}

// Drop forgets a text. What stands behind it moves up, so that no search ends too
// early.
func (x *Index) Drop(h Hash, text string, textOf func(n uint32) string) {
	_, at := x.find(h, text, textOf)
	if at < 0 {
		return
	}
	shard := x.shard(h)
	x.n--
	x.used[shard]--
	s := x.shards[shard]
	mask := len(s) - 1
	for next := (at + 1) & mask; s[next] != 0; next = (next + 1) & mask {
		// It may move where its home is not between the free place and its own.
		if from := home(s[next], len(s)); (next-from)&mask >= (next-at)&mask {
			s[at] = s[next]
			at = next
		}
	}
	s[at] = 0
}

func (x *Index) shard(h Hash) int {
	if len(x.shards) <= 1 {
		return 0
	}
	return int(h & (1<<shardBits - 1))
}

// entry is never 0, as no number is.
func entry(h Hash, n uint32) uint64 { return uint64(h)&^(1<<32-1) | uint64(n) }

func home(entry uint64, size int) int { return int(entry>>32) & (size - 1) }

// split makes many tables of one.
func (x *Index) split(textOf func(n uint32) string) {
	old := x.shards[0]
	x.shards, x.used = make([][]uint64, 1<<shardBits), make([]uint32, 1<<shardBits)
	for _, e := range old {
		if e != 0 {
			h := HashOf(textOf(uint32(e)))
			x.add(x.shard(h), entry(h, uint32(e)))
		}
	}
}

func (x *Index) add(shard int, e uint64) {
	s := x.shards[shard]
	if 4*(int(x.used[shard])+1) > 3*len(s) {
		old := s
		s = make([]uint64, max(2*len(old), firstPlaces))
		for _, y := range old {
			if y != 0 {
				put(s, y)
			}
		}
		x.shards[shard] = s
	}
	put(s, e)
	x.used[shard]++
}

func put(s []uint64, e uint64) {
	at := home(e, len(s))
	for s[at] != 0 {
		at = (at + 1) & (len(s) - 1)
	}
	s[at] = e
}
