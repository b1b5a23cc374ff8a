package engine

import (
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"
)

// The table finds what a map finds, also where many keys are alike.
func TestPlacesAgreeWithAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p places
		var q queue
		want := map[Key]uint32{}
		many := rapid.Bool().Draw(t, "many")
		steps := 300
		if many {
			steps = 3 * splitAt
		}
		seed := rapid.Uint64().Draw(t, "seed")
		for range steps {
			seed = seed*6364136223846793005 + 1442695040888963407
			var key Key
			x := seed >> 40
			if many {
				binary.LittleEndian.PutUint64(key[:], seed)
			} else { // few homes, few shards, equal tags
				key[0], key[4], key[7], key[15] = byte(x&1), byte(x>>1&7), byte(x>>4&1), byte(x>>5&3)
			}
			e, at := p.find(&key, &q)
			low, held := want[key]
			if held != (e != nil) || held && (e != q.at(low) || at < 0) {
				t.Fatalf("key %x: found %v, want %v", key, e != nil, held)
			}
			switch {
			case held && x&64 == 0:
				p.remove(key.half(), at)
				delete(want, key)
			case !held:
				want[key] = q.push(entry{key: key})
				p.add(key.half(), want[key], &q)
			}
			if p.n != len(want) {
				t.Fatalf("%d are held, want %d", p.n, len(want))
			}
		}
		for key, low := range want {
			if e, _ := p.find(&key, &q); e != q.at(low) {
				t.Fatalf("key %x is lost", key)
			}
		}
	})
}
