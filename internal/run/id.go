// Package run holds what a run is: how it is named, which partition it belongs
// to, how its state follows from its journal, and when a failed attempt is
// tried again.
//
// It is pure: values in, values out; no clock, no I/O, no randomness. So the
// state of a run after a crash is the state that it had before, and the wait
// before a retry is the same whoever computes it.
package run

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"

	"signalbox/internal/record"
)

// Partitions is how many partitions devices are spread over. It is part of
// what is on disk (record.RunStart.Partition): it changes only by a record in
// the log.
const Partitions = 64

// hashLen is the length of the hash in an id, in hex digits: 48 bits, so that
// even 10,000 runs started by one record collide once in five million.
const hashLen = 12

// ID names a run for ever: "r<seq>-<index>-<hash>", where seq/index is the
// position in log.events of the record that set it off. The same rule, version
// and trigger give the same id, so a decision that is made or read twice names
// the same run, and the decision can be found from the id alone.
//
// more tells runs apart that one rule starts at one record: the correlation
// key, where a tick ends the windows of many devices at once.
func ID(rule, version string, at record.Position, more ...string) string {
	h := sha256.New()
	for _, s := range append([]string{rule, version}, more...) {
		// The length goes in front, so that ("a", "bc") and ("ab", "c") differ.
		fmt.Fprintf(h, "%d:%s", len(s), s)
	}
	sum := h.Sum(nil)
	b := make([]byte, 0, 40)
	b = append(b, 'r')
	b = strconv.AppendUint(b, at.Seq, 10)
	b = append(b, '-')
	b = strconv.AppendUint(b, uint64(at.Index), 10)
	b = append(b, '-')
	b = append(b, hex.EncodeToString(sum[:hashLen/2])...)
	return string(b)
}

// ParseID takes an id apart into the position of what set the run off and the
// hash. It accepts only what ID writes, so that a mistyped id is a clear
// mistake and not a run that is never found.
func ParseID(id string) (at record.Position, hash uint64, err error) {
	bad := func(why string) (record.Position, uint64, error) {
		if len(id) > 64 {
			id = id[:64] + "…"
		}
		return record.Position{}, 0, fmt.Errorf("run id %q: %s; a run id looks like r42-0-1f2e3d4c5b6a", id, why)
	}
	rest, ok := strings.CutPrefix(id, "r")
	if !ok {
		return bad("it does not begin with r")
	}
	parts := strings.Split(rest, "-")
	if len(parts) != 3 {
		return bad("it needs three parts")
	}
	seq, err := decimal(parts[0], 64)
	if err != nil {
		return bad("the first part is no stream sequence")
	}
	index, err := decimal(parts[1], 32)
	if err != nil {
		return bad("the second part is no index in a batch")
	}
	if len(parts[2]) != hashLen || strings.ToLower(parts[2]) != parts[2] {
		return bad(fmt.Sprintf("the third part is not %d lower-case hex digits", hashLen))
	}
	hash, err = strconv.ParseUint(parts[2], 16, 64)
	if err != nil {
		return bad(fmt.Sprintf("the third part is not %d lower-case hex digits", hashLen))
	}
	return record.Position{Seq: seq, Index: uint32(index)}, hash, nil
}

// decimal reads a number in the one form that ID writes: no sign, no leading
// zeros.
func decimal(s string, bits int) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, bits)
	if err == nil && strconv.FormatUint(n, 10) != s {
		err = strconv.ErrSyntax
	}
	return n, err
}

// Key is a run id in 24 bytes: what is kept of runs that wait on disk.
type Key struct {
	At   record.Position
	Hash uint64
}

// KeyOf makes the key of an id. Ids that ID did not write are hashed whole.
func KeyOf(id string) Key {
	at, hash, err := ParseID(id)
	if err != nil {
		return Key{Hash: xxhash.Sum64String(id)}
	}
	return Key{At: at, Hash: hash}
}

// Partition is the partition of a device, from 0 to Partitions-1. The function
// is on disk: a golden test keeps it as it is.
func Partition(device string) uint32 {
	return uint32(xxhash.Sum64String(device) % Partitions)
}
