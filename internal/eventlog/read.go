package eventlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"signalbox/internal/record"
)

// Read calls fn with every batch that holds something of the given subjects
// (none means all), whole (see record.Batch.Holds), in the order of the log, from the one that holds the position after from (the
// zero Position: from the beginning), and follows for ever: through restarts
// of the embedded server and broken connections. It returns when ctx ends (nil
// then), with fn's error, or with a CorruptError where the log is damaged: what
// comes after a gap may only be read when a person has accepted the gap.
//
// The first batch may begin with records at or before from: skip those for
// which !from.Less(b.At(i)). The batch is fn's to keep, but see
// record.DecodeBatch on what its strings hold.
func (l *Log) Read(ctx context.Context, from record.Position, subjects []record.Subject, fn func(*record.Batch) error) error {
	r := l.reader(subjects)
	r.next, r.from = max(1, from.Seq), from
	return r.follow(ctx, 0, fn)
}

// ReadFast is Read for who has far to go: batches are checked and decoded on
// other processors while fn is at work on those before. At the log's end it
// costs a little more than Read.
func (l *Log) ReadFast(ctx context.Context, from record.Position, subjects []record.Subject, fn func(*record.Batch) error) error {
	r := l.reader(subjects)
	r.next, r.from, r.ahead = max(1, from.Seq), from, decoders()
	return r.follow(ctx, 0, fn)
}

// RangeFast is to Range as ReadFast to Read.
func (l *Log) RangeFast(ctx context.Context, from, to record.Position, subjects []record.Subject, fn func(*record.Batch) error) error {
	if to.Seq == 0 || to.Seq < from.Seq {
		return nil
	}
	r := l.reader(subjects)
	r.next, r.from, r.ahead = max(1, from.Seq), from, decoders()
	return r.follow(ctx, to.Seq, fn)
}

// Range is Read up to and including the batch that holds to, then it ends.
func (l *Log) Range(ctx context.Context, from, to record.Position, subjects []record.Subject, fn func(*record.Batch) error) error {
	if to.Seq == 0 || to.Seq < from.Seq {
		return nil
	}
	r := l.reader(subjects)
	r.next, r.from = max(1, from.Seq), from
	return r.follow(ctx, to.Seq, fn)
}

// ReadSince is Read from the first batch that was written at t or after.
func (l *Log) ReadSince(ctx context.Context, t time.Time, subjects []record.Subject, fn func(*record.Batch) error) error {
	r := l.reader(subjects)
	r.since = t
	return r.follow(ctx, 0, fn)
}

// RangeSince is Range from the first batch that was written at t or after.
func (l *Log) RangeSince(ctx context.Context, t time.Time, to record.Position, subjects []record.Subject, fn func(*record.Batch) error) error {
	r := l.reader(subjects)
	r.since = t
	return r.follow(ctx, to.Seq, fn)
}

// ReadBackwards calls fn with every batch of the subjects, newest first, until
// fn returns an error (ErrStop for a clean end) or the beginning is reached.
// before is where to begin: the newest batch before that sequence, 0 for the
// end of the log.
func (l *Log) ReadBackwards(ctx context.Context, before uint64, subjects []record.Subject, fn func(*record.Batch) error) error {
	st, err := l.State(ctx)
	if err != nil {
		return err
	}
	end := st.Last
	if before > 0 {
		end = min(end, before-1)
	}
	// Stretches grow: the newest few are what is mostly asked for.
	for stretch := uint64(16); end >= st.First && end > 0; stretch = min(4*stretch, 256) {
		begin := st.First
		if end-st.First >= stretch {
			begin = end - stretch + 1
		}
		var batches []*record.Batch
		r := l.reader(subjects)
		r.next = begin
		err := r.follow(ctx, end, func(b *record.Batch) error {
			batches = append(batches, b)
			return nil
		})
		if err != nil {
			return err
		}
		for _, b := range slices.Backward(batches) {
			if err := fn(b); errors.Is(err, ErrStop) {
				return nil
			} else if err != nil {
				return err
			}
		}
		end = begin - 1
	}
	return nil
}

// ErrStop, returned by the function that a reader calls, ends it with nil.
var ErrStop = errors.New("stop reading")

// State is what the log holds.
type State struct {
	First, Last         uint64 // stream sequences; Last is below First when it is empty
	FirstTime, LastTime time.Time
	Batches             uint64
	Bytes               uint64 // on disk
}

// State asks the stream what it holds.
func (l *Log) State(ctx context.Context) (State, error) {
	sess, err := l.session(ctx)
	if err != nil {
		return State{}, unavailable("%w", err)
	}
	info, err := sess.stream.Info(ctx)
	if err != nil {
		return State{}, unavailable("%w", err)
	}
	s := info.State
	return State{First: s.FirstSeq, Last: s.LastSeq, FirstTime: s.FirstTime, LastTime: s.LastTime, Batches: s.Msgs, Bytes: s.Bytes}, nil
}

// Get reads one batch; ErrNotFound when the log has none with that sequence.
func (l *Log) Get(ctx context.Context, seq uint64) (*record.Batch, error) {
	sess, err := l.session(ctx)
	if err != nil {
		return nil, unavailable("%w", err)
	}
	msg, err := sess.stream.GetMsg(ctx, seq)
	return l.decodeRaw(msg, err)
}

// Last reads the newest batch that was written with a subject; ErrNotFound
// when there is none. Decisions are always written with theirs.
func (l *Log) Last(ctx context.Context, s record.Subject) (*record.Batch, error) {
	sess, err := l.session(ctx)
	if err != nil {
		return nil, unavailable("%w", err)
	}
	return l.last(ctx, sess, s)
}

func (l *Log) last(ctx context.Context, sess *session, s record.Subject) (*record.Batch, error) {
	msg, err := sess.stream.GetLastMsgForSubject(ctx, string(s))
	return l.decodeRaw(msg, err)
}

func (l *Log) decodeRaw(msg *jetstream.RawStreamMsg, err error) (*record.Batch, error) {
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, unavailable("%w", err)
	}
	b, err := record.DecodeBatch(msg.Data)
	if err != nil {
		return nil, l.corrupt(badBatch(l, msg.Sequence, err))
	}
	b.Seq, b.Time = msg.Sequence, msg.Time
	return b, nil
}

func badBatch(l *Log, seq uint64, err error) *CorruptError {
	return &CorruptError{From: seq, To: seq, File: l.where(), What: err.Error(), Advice: adviceRestore}
}

// reader reads the log in order and checks it as it goes.
type reader struct {
	l     *Log
	chain *chain
	want  []record.Subject // what fn is to get; none: all
	only  []string         // subjects of the messages that have it; none: all
	next  uint64           // the sequence to go on from
	from  record.Position  // records up to here are known
	since time.Time        // where next is 0: begin at that time
	seen  uint64           // the last sequence that came, 0 at first
	pace  func(ctx context.Context, bytes int) error
	raw   bool   // read the batches' headers only, and keep the bytes in data
	data  []byte // of the batch that fn is called with
	ahead int    // so many goroutines decode what comes next; 0: it is decoded when it is its turn
}

// reader makes a reader of what holds something of the given subjects. Such
// records may be in messages of subjects that come before theirs.
func (l *Log) reader(want []record.Subject) reader {
	r := reader{l: l, chain: newChain(), want: want}
	switch {
	case len(want) == 0 || slices.Contains(want, record.Events):
	case slices.Contains(want, record.Journal):
		r.only = []string{string(record.Decisions), string(record.Journal)}
	default:
		r.only = []string{string(record.Decisions)}
	}
	return r
}

// wants says whether fn is to get a batch.
func (r *reader) wants(b *record.Batch) bool {
	if !r.from.IsZero() && len(b.Records) > 0 && !r.from.Less(b.At(len(b.Records)-1)) {
		return false
	}
	if len(r.want) == 0 || slices.Contains(r.want, b.Subject) {
		return true
	}
	if r.raw {
		whole, err := record.DecodeBatch(r.data)
		if err != nil {
			return true // it is for fn to say so
		}
		b = whole
	}
	return slices.ContainsFunc(r.want, b.Holds)
}

// follow runs over sessions; to is where to end, 0 for never.
func (r *reader) follow(ctx context.Context, to uint64, fn func(*record.Batch) error) error {
	for {
		sess, err := r.l.session(ctx)
		if err == nil {
			err = r.run(ctx, sess, to, fn)
			if err != nil && sess.ctx.Err() != nil && ctx.Err() == nil && r.l.ctx.Err() == nil && !errors.Is(err, errFromFn) {
				continue // the session broke: go on with the next one
			}
		}
		var own *fnError
		switch {
		case errors.As(err, &own):
			return own.err
		case ctx.Err() != nil && to == 0:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case r.l.ctx.Err() != nil:
			return ErrClosed
		case err == nil:
			return nil
		}
		if c := (*CorruptError)(nil); errors.As(err, &c) {
			return r.l.corrupt(c)
		}
		// An answer was lost, a consumer was not made: the session itself will
		// be found broken by whoever writes, if it is.
		r.l.log.Warn("reading the log is put off", "err", err)
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

var errFromFn = errors.New("")

// fnError carries the error of the caller's function past our own handling.
type fnError struct{ err error }

func (e *fnError) Error() string        { return e.err.Error() }
func (e *fnError) Is(target error) bool { return target == errFromFn }

// run reads on one session, to the end where to is set.
func (r *reader) run(ctx context.Context, sess *session, to uint64, fn func(*record.Batch) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(sess.ctx, cancel)()
	cfg := jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: r.next}
	if r.next == 0 {
		cfg = jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &r.since}
	}
	cfg.FilterSubjects = r.only
	consumer, err := sess.stream.OrderedConsumer(ctx, cfg)
	if err != nil {
		return err
	}
	if to != 0 {
		info, err := consumer.Info(ctx)
		if err != nil {
			return err
		}
		if info.NumPending == 0 {
			return r.atEnd(ctx, sess, to)
		}
	}
	// What waits in memory is bounded by the bytes, for each reader. The number is
	// the room of the channel that messages of status share: it must not be what
	// limits, or where a reader stands still for a while a status takes the place
	// of a batch, which nats.go then drops (a "slow consumer") and has to ask for
	// again. So many of the smallest batches have more bytes.
	msgs, err := consumer.Messages(jetstream.PullMaxMessagesWithBytesLimit(8192, maxMessage+1<<20))
	if err != nil {
		return err
	}
	defer msgs.Stop()
	next := func() (*arrived, error) {
		msg, err := msgs.Next(jetstream.NextContext(ctx))
		if err != nil {
			return nil, err
		}
		a := &arrived{msg: msg}
		if r.ahead == 0 {
			a.read(r.raw)
		}
		return a, nil
	}
	if r.ahead > 0 {
		var wait func()
		next, wait = readAhead(ctx, next, r.ahead)
		defer wait()
		defer cancel()
		defer msgs.Stop()
	}
	for {
		a, err := next()
		if err != nil {
			return err
		}
		done, err := r.take(ctx, sess, a, to, fn)
		if err != nil || done {
			return err
		}
	}
}

// take checks one message and hands it on. It says whether to is reached.
func (r *reader) take(ctx context.Context, sess *session, a *arrived, to uint64, fn func(*record.Batch) error) (bool, error) {
	md, err := a.msg.Metadata()
	if err != nil {
		return false, err
	}
	seq, data := md.Sequence.Stream, a.msg.Data()
	if to != 0 && seq > to {
		return true, r.atEnd(ctx, sess, to)
	}
	if err := r.gap(ctx, sess, seq); err != nil {
		return false, err
	}
	b, err := a.batch, a.err
	if err != nil {
		if !r.l.accepted(seq, seq) {
			return false, badBatch(r.l, seq, err)
		}
		r.seen, r.next = seq, seq+1
		return to != 0 && md.NumPending == 0, nil
	}
	r.data = data
	b.Seq, b.Time = seq, md.Timestamp
	v, why := r.chain.check(b, a.sum)
	if v == breaks {
		if err := r.broken(ctx, sess, b, why); err != nil {
			return false, err
		}
		delete(r.chain.heads, b.Writer)
		v, _ = r.chain.check(b, a.sum)
	}
	r.seen, r.next = seq, seq+1
	if r.pace != nil {
		if err := r.pace(ctx, len(data)); err != nil {
			return false, err
		}
	}
	if v == follows && r.wants(b) {
		if err := fn(b); errors.Is(err, ErrStop) {
			return true, nil
		} else if err != nil {
			return false, &fnError{err}
		}
	}
	if to != 0 && (seq == to || md.NumPending == 0) {
		return true, r.atEnd(ctx, sess, to)
	}
	return false, nil
}

// atEnd checks, at the end of a stretch, that it was reached.
func (r *reader) atEnd(ctx context.Context, sess *session, to uint64) error {
	if len(r.only) > 0 || r.seen >= to {
		return nil
	}
	return r.gap(ctx, sess, to+1)
}

// gap looks at the sequences between the last batch and seq: where all
// subjects are read there are none, except what left by age or size.
func (r *reader) gap(ctx context.Context, sess *session, seq uint64) error {
	expected := r.next
	if len(r.only) > 0 || seq <= expected || expected == 0 {
		return nil
	}
	info, err := sess.stream.Info(ctx)
	if err != nil {
		return err
	}
	if lost := max(expected, info.State.FirstSeq); lost < seq {
		if r.l.accepted(lost, seq-1) {
			return nil
		}
		return &CorruptError{From: lost, To: seq - 1, File: r.l.where(),
			What: fmt.Sprintf("sequence %d follows on %d: what is between them cannot be read", seq, lost-1), Advice: adviceRestore}
	}
	if r.seen != 0 {
		r.l.log.Warn("what a reader had not read yet has left the log", "from", expected, "to", seq-1)
	}
	r.chain.forget()
	return nil
}

// broken decides whether a break in a writer's chain is damage.
func (r *reader) broken(ctx context.Context, sess *session, b *record.Batch, why string) error {
	last := r.chain.lastSeq(b.Writer)
	info, err := sess.stream.Info(ctx)
	if err != nil {
		return err
	}
	if last+1 < info.State.FirstSeq || r.l.acceptedWithin(last+1, b.Seq) {
		return nil // left by age or size before it was read, or given up
	}
	return &CorruptError{From: last + 1, To: b.Seq, File: r.l.where(), What: why, Advice: adviceRestore}
}
