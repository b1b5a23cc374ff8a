package api

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// LogBatch is a batch of the log as it is in the log (record.DecodeBatch reads
// Data).
type LogBatch struct {
	Seq  uint64
	Time time.Time
	Data []byte
}

// LogBackend is what is asked of a Backend beside, so that a backtest can run on
// the log of a server that is at work.
type LogBackend interface {
	// Batches gives the batches of log.events that were written at since or
	// after and not after until (zero: to the end), in their order.
	Batches(ctx context.Context, since, until time.Time, yield func(LogBatch) error) error
	// Bundle is the rule set that is in force, coded as it is in the log.
	Bundle(ctx context.Context) ([]byte, error)
}

// BatchesType is the media type of a stream of batches. It is a frame for each
// batch: sequence and Unix time in nanoseconds, as unsigned varints, and the
// length of the batch and the batch. A frame of sequence 0 ends it, with the
// reason where it was cut short; a stream without one has broken off.
const BatchesType = "application/vnd.signalbox.batches"

// MaxLogBatch bounds a batch in a stream.
const MaxLogBatch = 8 << 20

// logReaders bounds how many read the log at once through the API: each costs
// the server memory, and time on its disk.
const logReaders = 4

var errManyReaders = errors.New("the log is being read by too many already; try again later")

func (s *Server) batches(w http.ResponseWriter, r *http.Request) {
	b, ok := s.backend.(LogBackend)
	if !ok {
		s.fail(w, r, fmt.Errorf("the log: %w", ErrNotFound))
		return
	}
	v := r.URL.Query()
	since, err := point(v, "since")
	var until time.Time
	if err == nil {
		until, err = point(v, "until")
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	select {
	case s.logTurns <- struct{}{}:
		defer func() { <-s.logTurns }()
	default:
		w.Header().Set("Retry-After", "10")
		Fail(w, http.StatusServiceUnavailable, "cannot be done now", errManyReaders.Error())
		return
	}
	st := newBatchStream(w)
	err = b.Batches(r.Context(), since, until, st.add)
	if err != nil && st.n == 0 {
		s.fail(w, r, err)
		return
	}
	st.end(err)
}

func (s *Server) bundle(w http.ResponseWriter, r *http.Request) {
	b, ok := s.backend.(LogBackend)
	if !ok {
		s.fail(w, r, fmt.Errorf("the rule set: %w", ErrNotFound))
		return
	}
	data, err := b.Bundle(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(data)
}

// batchStream writes frames. A client that takes nothing for a while is given
// up: it holds a turn.
type batchStream struct {
	buf     *bufio.Writer
	control *http.ResponseController
	n       int
	next    time.Time // when the deadline is moved on
}

const batchPatience = 2 * time.Minute

func newBatchStream(w http.ResponseWriter) *batchStream {
	w.Header().Set("Content-Type", BatchesType)
	return &batchStream{buf: bufio.NewWriterSize(w, 256<<10), control: http.NewResponseController(w)}
}

func (s *batchStream) add(b LogBatch) error {
	s.n++
	if now := time.Now(); now.After(s.next) {
		_ = s.control.SetWriteDeadline(now.Add(batchPatience))
		s.next = now.Add(batchPatience / 4)
	}
	return s.frame(b.Seq, b.Time, b.Data)
}

func (s *batchStream) frame(seq uint64, at time.Time, data []byte) error {
	head := binary.AppendUvarint(make([]byte, 0, 32), seq)
	head = binary.AppendUvarint(head, uint64(at.UnixNano()))
	head = binary.AppendUvarint(head, uint64(len(data)))
	if _, err := s.buf.Write(head); err != nil {
		return err
	}
	_, err := s.buf.Write(data)
	return err
}

func (s *batchStream) end(err error) {
	reason := ""
	if err != nil {
		reason = err.Error()
	}
	_ = s.frame(0, time.Unix(0, 0), []byte(reason))
	_ = s.buf.Flush()
}

// ReadBatches reads what the API streams, to its end. Data is a buffer of its
// own for each batch.
func ReadBatches(r io.Reader, yield func(LogBatch) error) error {
	in := bufio.NewReaderSize(r, 256<<10)
	for {
		var head [3]uint64
		for i := range head {
			n, err := binary.ReadUvarint(in)
			if err != nil {
				return fmt.Errorf("the list of batches broke off: %w", noEOF(err))
			}
			head[i] = n
		}
		if head[2] > MaxLogBatch {
			return fmt.Errorf("the list of batches is damaged: a batch of %d bytes", head[2])
		}
		data := make([]byte, head[2])
		if _, err := io.ReadFull(in, data); err != nil {
			return fmt.Errorf("the list of batches broke off: %w", noEOF(err))
		}
		if head[0] == 0 {
			if len(data) > 0 {
				return fmt.Errorf("the list of batches broke off: %s", data)
			}
			return nil
		}
		if err := yield(LogBatch{Seq: head[0], Time: time.Unix(0, int64(head[1])), Data: data}); err != nil {
			return err
		}
	}
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
