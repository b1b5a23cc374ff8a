package eventlog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// head is the last batch of one writer.
type head struct {
	Number uint64 `json:"number"`
	Seq    uint64 `json:"seq"`
	Hash   hash   `json:"hash"`
}

// hash is a SHA-256 that JSON shows in hex.
type hash [32]byte

// MarshalText writes hex.
func (h hash) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%x", h[:]), nil }

// UnmarshalText reads hex.
func (h *hash) UnmarshalText(b []byte) error {
	var out []byte
	if _, err := fmt.Sscanf(string(b), "%x", &out); err != nil || len(out) != len(h) {
		return fmt.Errorf("hash %q is not 64 hex digits", b)
	}
	copy(h[:], out)
	return nil
}

// mark remembers when a sequence was written, so that it can be told whether
// what left the log had to leave.
type mark struct {
	Seq  uint64    `json:"seq"`
	Time time.Time `json:"time"`
}

// checkpoint is what is known to be durable. It is written after the fact, so
// the log may have more, but never less.
type checkpoint struct {
	Node    string          `json:"node"`
	Written time.Time       `json:"written"`
	First   uint64          `json:"first"` // oldest sequence at that time
	Since   time.Time       `json:"since"` // when it was written
	Limit   int64           `json:"limit"` // the stream's limit in bytes at that time
	Last    uint64          `json:"last"`  // newest sequence known durable
	Heads   map[string]head `json:"heads"` // by writer
	Marks   []mark          `json:"marks"` // oldest first
}

const maxMarks = 256

// addMark keeps the marks few: when there are too many, every other one goes.
func (c *checkpoint) addMark(m mark) {
	if n := len(c.Marks); m.Seq == 0 || n > 0 && c.Marks[n-1].Seq >= m.Seq {
		return
	}
	if len(c.Marks) >= maxMarks {
		kept := c.Marks[:0]
		for i, m := range c.Marks {
			if i%2 == 0 {
				kept = append(kept, m)
			}
		}
		c.Marks = kept
	}
	c.Marks = append(c.Marks, m)
}

func (c *checkpoint) dropMarksBefore(first uint64) {
	for len(c.Marks) > 1 && c.Marks[1].Seq < first {
		c.Marks = c.Marks[1:]
	}
}

func checkpointFile(dir string) string { return filepath.Join(dir, "checkpoint.json") }

// readCheckpoint gives nil where there is none.
func readCheckpoint(dir string) (*checkpoint, error) {
	file := checkpointFile(dir)
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	damaged := func(what string) error {
		return &CorruptError{File: file, What: what, Advice: "delete the file: the whole log is then verified at start, and a new one is written"}
	}
	sum, body, ok := bytes.Cut(data, []byte("\n"))
	if want := crcLine(body); !ok || string(sum) != want {
		return nil, damaged(fmt.Sprintf("the first line is %q, should be %q: bytes have changed", sum, want))
	}
	c := new(checkpoint)
	if err := json.Unmarshal(body, c); err != nil {
		return nil, damaged(err.Error())
	}
	return c, nil
}

func writeCheckpoint(dir string, c *checkpoint) error {
	body, err := json.MarshalIndent(c, "", " ")
	if err != nil {
		return err
	}
	return writeFile(checkpointFile(dir), append([]byte(crcLine(body)+"\n"), body...))
}

func crcLine(body []byte) string {
	return fmt.Sprintf("signalbox checkpoint 1 crc32c=%08x", crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
}
