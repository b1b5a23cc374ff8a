package eventlog

import (
	"fmt"

	"signalbox/internal/record"
)

// chain checks that each writer's batches follow one on another. It starts
// knowing nothing, or the heads of a checkpoint, and takes the first batch of
// a writer that it does not know as it is: a reader may begin anywhere.
type chain struct {
	heads map[string]*link
}

// link is a writer's head and the hashes of a few batches before: a batch that
// was sent again because its answer was lost may arrive late.
type link struct {
	head
	before [4]hash
}

func newChain() *chain { return &chain{heads: make(map[string]*link)} }

// verdict of one batch.
type verdict int

const (
	follows verdict = iota
	repeats         // the same batch again: to be taken once
	breaks
)

// check takes the batch b, whose bytes have the hash sum. What it says of a
// break is for people.
func (c *chain) check(b *record.Batch, sum hash) (verdict, string) {
	l := c.heads[b.Writer]
	if l == nil {
		c.heads[b.Writer] = &link{head: head{Number: b.Number, Seq: b.Seq, Hash: sum}}
		return follows, ""
	}
	switch {
	case b.Seq != 0 && b.Seq <= l.Seq:
		return repeats, "" // of a stretch that is read again: it was known when the head was
	case b.Number <= l.Number:
		if ago := l.Number - b.Number; ago == 0 && sum == l.Hash || ago > 0 && ago <= uint64(len(l.before)) && l.before[ago-1] == sum {
			return repeats, ""
		}
		return breaks, fmt.Sprintf("batch %d of writer %s is there twice with different content (the last was number %d)", b.Number, b.Writer, l.Number)
	case b.Number > l.Number+1:
		return breaks, fmt.Sprintf("writer %s: batch %d follows on batch %d (sequence %d): %d missing between them", b.Writer, b.Number, l.Number, l.Seq, b.Number-l.Number-1)
	case hash(b.Prev) != l.Hash:
		return breaks, fmt.Sprintf("writer %s: batch %d does not carry the hash of batch %d (sequence %d)", b.Writer, b.Number, l.Number, l.Seq)
	}
	copy(l.before[1:], l.before[:])
	l.before[0] = l.Hash
	l.head = head{Number: b.Number, Seq: b.Seq, Hash: sum}
	return follows, ""
}

// forget makes the chain take writers' next batches as they are: after a
// stretch that left the log, or that a person gave up.
func (c *chain) forget() { clear(c.heads) }

// lastSeq is the sequence of a writer's head, 0 where it is not known.
func (c *chain) lastSeq(writer string) uint64 {
	if l := c.heads[writer]; l != nil {
		return l.Seq
	}
	return 0
}
