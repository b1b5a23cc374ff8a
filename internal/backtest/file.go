package backtest

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"container/heap"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/klauspost/compress/zstd"

	"signalbox/event"
	"signalbox/internal/normalize"
	"signalbox/internal/record"
)

const (
	// maxLine bounds a line of a file, in bytes.
	maxLine = 4 << 20
	// reorder is how many events of a file may wait so that they come in the
	// order of their times: lines of one second are often out of order where
	// a collector wrote them.
	reorder = 16_384
	// reorderBytes bounds what waits, too.
	reorderBytes = 64 << 20
	// fileBatch bounds the events of a batch.
	fileBatch = 1024
)

// FileOptions say how a file is read.
type FileOptions struct {
	Normalizer *normalize.Normalizer
	Source     string         // the name that events get as their source
	Form       normalize.Form // "" sees it line by line
	Mapping    string         // Payload: the mapping
	// Reference is when the file was written: times without a year are taken
	// as the newest before it, times without a zone as of its location.
	Reference time.Time
}

// FileCounts is what a file had.
type FileCounts struct {
	Lines   uint64 // that were not blank
	Events  uint64 // that came of them
	TooLong uint64 // lines that were passed over
	Broken  uint64 // JSON lines that could not be read as events
	Why     string // of the first of them
	Undated uint64 // events without a time that can be right: they have the time of the one before
	Late    uint64 // events older than what had been taken already: they count at its time
}

// Notes are what a reader of the report should know of the file.
func (c FileCounts) Notes() []string {
	var out []string
	note := func(n uint64, format string, args ...any) {
		if n > 0 {
			out = append(out, fmt.Sprintf(format, append([]any{n}, args...)...))
		}
	}
	note(c.Broken, "%d lines could not be read as events; the first: %s", c.Why)
	note(c.TooLong, "%d lines are longer than %d bytes and were passed over", maxLine)
	note(c.Undated, "%d events have no time that can be right, and got that of the one before")
	note(c.Late, "%d events stand far behind later ones in the file, and count at the time that was reached")
	return out
}

// File reads events from a file of raw syslog lines, or of JSON lines: what
// `signalbox events --json` writes, CloudEvents, or bodies of webhooks. It gives
// them in batches in the order of their times, as the log would have them. It
// serves one goroutine.
type File struct {
	o      FileOptions
	in     *bufio.Reader
	counts FileCounts

	line    []byte
	waiting waitingEvents
	bytes   int
	ended   bool
	seq     uint64
	last    time.Time       // of what was read; zero until an event had one
	given   time.Time       // of what was given
	undated []record.Record // what came before the first event with a time
}

// NewFile reads from r, which may be compressed with gzip or zstd.
func NewFile(r io.Reader, o FileOptions) (*File, error) {
	in := bufio.NewReaderSize(r, 256<<10)
	head, err := in.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, err
		}
		in = bufio.NewReaderSize(z, 256<<10)
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(record.MaxBatch))
		if err != nil {
			return nil, err
		}
		in = bufio.NewReaderSize(z, 256<<10)
	}
	if o.Source == "" {
		o.Source = "file"
	}
	return &File{o: o, in: in, seq: 1}, nil
}

// Counts is what was read so far.
func (f *File) Counts() FileCounts { return f.counts }

// Next gives the next batch: events of one time. The error is io.EOF at the
// end, or that of the reader.
func (f *File) Next() (*record.Batch, error) {
	for !f.ended && len(f.waiting) < reorder && f.bytes < reorderBytes {
		if err := f.read(); errors.Is(err, io.EOF) {
			f.ended = true
			f.date(f.o.Reference)
		} else if err != nil {
			return nil, fmt.Errorf("line %d: %w", f.counts.Lines+f.counts.TooLong+1, err)
		}
	}
	if len(f.waiting) == 0 {
		return nil, io.EOF
	}
	b := &record.Batch{Subject: record.Events, Time: f.waiting[0].at}
	if b.Time.Before(f.given) {
		b.Time = f.given
	}
	f.given = b.Time
	for len(f.waiting) > 0 && len(b.Records) < fileBatch && !f.waiting[0].at.After(b.Time) {
		w := heap.Pop(&f.waiting).(waitingEvent)
		f.bytes -= w.size
		if w.at.Before(b.Time) {
			f.counts.Late++
		}
		b.Records = append(b.Records, w.rec)
	}
	f.seq++
	b.Seq = f.seq
	return b, nil
}

// read takes one line.
func (f *File) read() error {
	line, err := f.readLine()
	if err != nil {
		return err
	}
	line = bytes.TrimRight(line, "\r\n")
	if len(bytes.TrimSpace(line)) == 0 {
		return nil
	}
	f.counts.Lines++
	line = bytes.Clone(line) // the events' raw bytes
	if err := f.parse(line); err != nil {
		if f.counts.Broken++; f.counts.Why == "" {
			f.counts.Why = fmt.Sprintf("line %d: %v", f.counts.Lines, err)
		}
	}
	return nil
}

// readLine gives a line with its end, without those that are too long. A last
// line may have no end.
func (f *File) readLine() ([]byte, error) {
	for {
		f.line = f.line[:0]
		skip := false
		for {
			part, err := f.in.ReadSlice('\n')
			if skip = skip || len(f.line)+len(part) > maxLine; !skip {
				f.line = append(f.line, part...)
			}
			if err == nil || errors.Is(err, io.EOF) && (len(f.line) > 0 || skip) {
				break
			}
			if !errors.Is(err, bufio.ErrBufferFull) {
				return nil, err
			}
		}
		if !skip {
			return f.line, nil
		}
		f.counts.TooLong++
	}
}

// add puts an event in line. at is when it was logged, zero where it is not
// known.
func (f *File) add(r record.Record, at time.Time) {
	if at.IsZero() || !f.plausible(at) {
		f.counts.Undated++
		if f.last.IsZero() {
			f.undated = append(f.undated, r)
			if len(f.undated) >= reorder {
				f.date(f.o.Reference)
			}
			return
		}
		at = f.last
	}
	f.date(at)
	f.push(r, at.UTC())
}

// date gives a time to the events before the first that has one.
func (f *File) date(at time.Time) {
	f.last = at.UTC()
	for _, r := range f.undated {
		f.push(r, f.last)
	}
	f.undated = nil
}

func (f *File) push(r record.Record, at time.Time) {
	ev := r.Event
	if r.Kind == record.KindRejected {
		ev = &r.Rejected.Event
	}
	f.counts.Events++
	if ev.ID == "" {
		ev.ID = f.id(at)
	}
	if ev.Received.IsZero() {
		ev.Received = at
	}
	size := 512 + len(ev.Raw) + len(ev.Data)
	f.bytes += size
	heap.Push(&f.waiting, waitingEvent{at: at, n: f.counts.Events, size: size, rec: r})
}

// plausible leaves out the times of clocks that were not set: they would make
// the stretch a mistake of years.
func (f *File) plausible(at time.Time) bool {
	return f.o.Reference.IsZero() || at.Before(f.o.Reference.Add(24*time.Hour)) && at.After(f.o.Reference.AddDate(-10, 0, 0))
}

// id names an event of a file: a UUIDv7 (RFC 9562) of its time, with its number
// where a random one would stand, so that the same file gives the same ids.
func (f *File) id(at time.Time) event.ID {
	ms, n := at.UnixMilli(), f.counts.Events
	return event.ID(fmt.Sprintf("%08x-%04x-7000-8000-%012x", uint32(ms>>16), uint16(ms), n&(1<<48-1)))
}

// waitingEvent is an event of a file that waits for earlier ones.
type waitingEvent struct {
	at   time.Time
	n    uint64 // of two of the same time, the first in the file is the first
	size int
	rec  record.Record
}

// waitingEvents is a heap, the earliest on top.
type waitingEvents []waitingEvent

func (w waitingEvents) Len() int { return len(w) }
func (w waitingEvents) Less(i, j int) bool {
	if c := w[i].at.Compare(w[j].at); c != 0 {
		return c < 0
	}
	return w[i].n < w[j].n
}
func (w waitingEvents) Swap(i, j int) { w[i], w[j] = w[j], w[i] }

// Push is heap.Interface's.
func (w *waitingEvents) Push(x any) { *w = append(*w, x.(waitingEvent)) }

// Pop is heap.Interface's.
func (w *waitingEvents) Pop() any {
	old := *w
	x := old[len(old)-1]
	old[len(old)-1] = waitingEvent{}
	*w = old[:len(old)-1]
	return x
}
