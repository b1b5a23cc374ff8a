package syslog

import (
	"context"
	"errors"
	"sync"
	"time"

	"signalbox/internal/normalize"
	"signalbox/internal/source"
)

const (
	firstWait = 50 * time.Millisecond // before a batch is offered again
	lastWait  = 5 * time.Second
	maxBatch  = 256 // messages in one Emit
)

// outlet hands batches to the log and does not let go of one before the log
// has it. Syslog knows no acknowledgement: what a device has sent, it has
// forgotten, so an error is waited out here while nothing more is read.
type outlet struct {
	env  source.Env
	emit source.Emit

	mu      sync.Mutex
	pending int               // batches whose receipts are due
	again   []normalize.Input // what the log may not have: to be sent again
	gate    chan struct{}     // not nil while again has priority; closed when not
	idle    chan struct{}     // not nil while somebody waits for pending 0
	wake    chan struct{}
	sick    bool
}

func newOutlet(env source.Env, emit source.Emit) *outlet {
	return &outlet{env: env, emit: emit, wake: make(chan struct{}, 1)}
}

// send gives a batch to the log, waiting and trying again until it is taken or
// ctx ends. It says whether it was taken; where not, it counts the messages as
// refused.
func (o *outlet) send(ctx context.Context, batch []normalize.Input) bool {
	wait := firstWait
	for {
		err := o.waitGate(ctx)
		if err == nil {
			err = o.offer(ctx, batch, func(receipts []source.Receipt) { o.receipts(batch, receipts) })
		}
		if err == nil {
			o.health(nil)
			return true
		}
		if ctx.Err() == nil {
			o.health(err)
		}
		if !pause(ctx, &wait) {
			o.refuse(err, len(batch))
			return false
		}
	}
}

// offer calls Emit and keeps count of the receipts that are due.
func (o *outlet) offer(ctx context.Context, batch []normalize.Input, done func([]source.Receipt)) error {
	o.mu.Lock()
	o.pending++
	o.mu.Unlock()
	err := o.emit(ctx, batch, func(receipts []source.Receipt) {
		done(receipts)
		o.settled()
	})
	if err != nil {
		o.settled()
	}
	return err
}

func (o *outlet) settled() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.pending--
	if o.pending == 0 && o.idle != nil {
		close(o.idle)
		o.idle = nil
	}
}

// receipts keeps what is not known to be in the log. Messages taken later may
// come before it: order among what failed and what did not is lost.
func (o *outlet) receipts(batch []normalize.Input, receipts []source.Receipt) {
	failed := unsettled(batch, receipts)
	if len(failed) == 0 {
		return
	}
	o.mu.Lock()
	o.again = append(o.again, failed...)
	if o.gate == nil {
		o.gate = make(chan struct{})
	}
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

func unsettled(batch []normalize.Input, receipts []source.Receipt) []normalize.Input {
	var failed []normalize.Input
	for i := range receipts {
		if receipts[i].Err != nil && i < len(batch) {
			failed = append(failed, batch[i])
		}
	}
	return failed
}

// waitGate waits while messages that failed are being sent again. So the list
// of those grows no longer than what was under way when the log broke.
func (o *outlet) waitGate(ctx context.Context) error {
	o.mu.Lock()
	gate := o.gate
	o.mu.Unlock()
	if gate == nil {
		return nil
	}
	select {
	case <-gate:
		return nil
	case <-ctx.Done():
		return source.ErrUnavailable
	}
}

// resend sends again what failed, until ctx ends. What is left then is counted
// as refused.
func (o *outlet) resend(ctx context.Context) {
	for {
		select {
		case <-o.wake:
		case <-ctx.Done():
			o.mu.Lock()
			left := len(o.again)
			o.again = nil
			o.mu.Unlock()
			o.refuse(source.ErrUnavailable, left)
			return
		}
		wait := firstWait
		for batch := o.takeAgain(); len(batch) > 0; batch = o.takeAgain() {
			for len(batch) > 0 {
				o.health(source.ErrUnavailable)
				if !pause(ctx, &wait) {
					o.refuse(source.ErrUnavailable, len(batch))
					break
				}
				batch = o.resendOnce(ctx, batch)
			}
			wait = firstWait
		}
	}
}

// resendOnce offers a batch, waits for its receipts, and returns what of it is
// still not known to be in the log.
func (o *outlet) resendOnce(ctx context.Context, batch []normalize.Input) []normalize.Input {
	result := make(chan []normalize.Input, 1)
	err := o.offer(ctx, batch, func(receipts []source.Receipt) { result <- unsettled(batch, receipts) })
	if err != nil {
		return batch
	}
	select {
	case left := <-result:
		if len(left) == 0 {
			o.health(nil)
		}
		return left
	case <-ctx.Done():
		return batch
	}
}

// takeAgain takes the next batch that failed, and opens the gate where there is
// none.
func (o *outlet) takeAgain() []normalize.Input {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := min(len(o.again), maxBatch)
	batch := o.again[:n:n]
	o.again = o.again[n:]
	if n == 0 {
		o.again = nil
		if o.gate != nil {
			close(o.gate)
			o.gate = nil
		}
	}
	return batch
}

// settle waits until every batch has its receipts and nothing is left to send
// again, or ctx ends.
func (o *outlet) settle(ctx context.Context) {
	for {
		o.mu.Lock()
		wait := o.gate
		if o.pending > 0 {
			if o.idle == nil {
				o.idle = make(chan struct{})
			}
			wait = o.idle
		}
		o.mu.Unlock()
		if wait == nil {
			return
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return
		}
	}
}

// refuse counts messages that are given up.
func (o *outlet) refuse(err error, n int) {
	if n == 0 {
		return
	}
	reason := "unavailable"
	if errors.Is(err, source.ErrBusy) {
		reason = "busy"
	}
	o.env.Counters.Refused(reason, n)
	o.env.Log.Error("syslog messages given up", "count", n, "reason", reason)
}

// health reports a change of state, once.
func (o *outlet) health(err error) {
	o.mu.Lock()
	change := o.sick != (err != nil)
	o.sick = err != nil
	o.mu.Unlock()
	if change {
		o.env.Health(err)
	}
}

// pause waits, twice as long the next time. It returns false when ctx ends.
func pause(ctx context.Context, wait *time.Duration) bool {
	t := time.NewTimer(*wait)
	defer t.Stop()
	*wait = min(*wait*2, lastWait)
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
