package eventlog

import (
	"context"
	"runtime"

	"github.com/nats-io/nats.go/jetstream"

	"signalbox/internal/record"
)

// arrived is a message with all that can be found out about it alone.
type arrived struct {
	msg   jetstream.Msg
	batch *record.Batch // with raw: the header, and as many empty records
	sum   hash
	err   error         // it is no batch
	done  chan struct{} // closed when another has read it; nil: to be read by who takes it
}

// read decodes the message.
func (a *arrived) read(raw bool) {
	data := a.msg.Data()
	a.sum = record.Hash(data)
	if !raw {
		a.batch, a.err = record.DecodeBatch(data)
		return
	}
	var n int
	if a.batch, n, a.err = record.DecodeHeader(data); a.err == nil {
		a.batch.Records = make([]record.Record, n)
	}
}

// decoders is how many goroutines decode for one reader. More than a few are
// faster than any function that takes what they decode.
func decoders() int { return min(max(runtime.GOMAXPROCS(0)-1, 1), 4) }

// readAhead lets workers read what next gives, and gives it in the same order.
// What is decoded and not taken yet is bounded: a few batches for each. Where
// nothing waits to be taken, as at the log's end, whoever takes it decodes it:
// to wake another for that would take longer. The second function returns when
// all goroutines have ended; ctx must have ended, or next have failed, before.
func readAhead(ctx context.Context, next func() (*arrived, error), workers int) (func() (*arrived, error), func()) {
	type item struct {
		a   *arrived
		err error
	}
	queue := make(chan item, workers) // in order
	work := make(chan *arrived, workers)
	ended := make(chan struct{}, workers+1)
	go func() {
		defer func() { close(work); close(queue); ended <- struct{}{} }()
		for {
			a, err := next()
			if err == nil && len(queue) > 0 {
				a.done = make(chan struct{})
				select {
				case work <- a:
				case <-ctx.Done():
					return
				}
			}
			select {
			case queue <- item{a, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	for range workers {
		go func() {
			for a := range work {
				a.read(false)
				close(a.done)
			}
			ended <- struct{}{}
		}()
	}
	take := func() (*arrived, error) {
		it, ok := <-queue
		switch {
		case !ok:
			return nil, ctx.Err()
		case it.err != nil:
			return nil, it.err
		case it.a.done == nil:
			it.a.read(false)
		default:
			<-it.a.done
		}
		return it.a, nil
	}
	wait := func() {
		for range workers + 1 {
			<-ended
		}
	}
	return take, wait
}
