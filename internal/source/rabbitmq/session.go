package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"signalbox/internal/normalize"
	"signalbox/internal/source"
)

const (
	maxBatch      = 256       // messages in one Emit
	maxBatchBytes = 512 << 10 // and their bytes
	drainLimit    = 30 * time.Second
	consumerTag   = "signalbox"
)

// session is one connection's life. Its deliveries can be acknowledged on its
// channel only: when the connection is gone the broker delivers them again.
type session struct {
	*Source
	emit       source.Emit
	conn       link
	ch         *amqp.Channel
	deliveries <-chan amqp.Delivery
	closed     chan *amqp.Error
	cancelled  chan string
	peer       string
	routes     map[route]map[string]string

	acks *acks
	// Both have room for every message that can be under way, by the prefetch,
	// so that the log's callback never waits.
	again   chan *message // the log lost its answer: hand over once more
	dead    chan *message
	pending pending
}

// session consumes until ctx ends (nil) or the connection is lost.
func (s *Source) session(ctx context.Context, emit source.Emit) error {
	conn, err := s.dial(ctx, s.cfg.Name)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.close()
	se := &session{
		Source: s, emit: emit, conn: conn, peer: conn.RemoteAddr().String(), acks: newAcks(),
		routes: map[route]map[string]string{},
		again:  make(chan *message, s.cfg.Prefetch), dead: make(chan *message, s.cfg.Prefetch),
	}
	if err := se.setUp(ctx); err != nil {
		return err
	}
	s.env.Health(nil)
	s.env.Log.InfoContext(ctx, "rabbitmq connected", "queue", s.cfg.Queue, "peer", se.peer)
	return se.run(ctx)
}

// setUp makes the topology and begins to consume.
func (s *session) setUp(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, s.setUpLimit)
	defer cancel()
	defer context.AfterFunc(limited, func() { _ = s.conn.raw.Close() })()
	err := topology{s.conn.Connection, s.cfg}.ensure()
	if err == nil {
		err = s.open()
	}
	if err != nil && errors.Is(limited.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("the broker did not answer within %v, queue %q may have no leader: %w", s.setUpLimit, s.cfg.Queue, err)
	}
	return err
}

func (s *session) open() (err error) {
	if s.ch, err = s.conn.Channel(); err != nil {
		return err
	}
	if err := s.ch.Qos(s.cfg.Prefetch, 0, false); err != nil {
		return fmt.Errorf("prefetch %d: %w", s.cfg.Prefetch, err)
	}
	s.closed = s.ch.NotifyClose(make(chan *amqp.Error, 1))
	s.cancelled = s.ch.NotifyCancel(make(chan string, 1))
	s.deliveries, err = s.ch.Consume(s.cfg.Queue, consumerTag, false, false, false, false, nil)
	if err != nil {
		return fmt.Errorf("consume queue %q: %w", s.cfg.Queue, err)
	}
	return nil
}

func (s *session) run(ctx context.Context) error {
	// alive ends with the connection, or when everything is settled.
	alive, lost := context.WithCancelCause(context.Background())
	defer lost(nil)
	var helpers sync.WaitGroup
	defer helpers.Wait()
	helpers.Go(func() {
		select {
		case err := <-s.closed:
			lost(closeReason(err))
		case <-s.cancelled:
			lost(fmt.Errorf("the broker took the consumer away: queue %q was deleted, or its node stopped", s.cfg.Queue))
		case <-alive.Done():
		}
	})
	helpers.Go(func() { s.settle(alive, lost) })
	helpers.Go(func() { s.bury(alive) })

	s.consume(ctx, alive)
	if alive.Err() != nil {
		err := context.Cause(alive)
		lost(nil)
		return err
	}
	// A clean stop: no more deliveries, then the answers of the log.
	if err := s.ch.Cancel(consumerTag, true); err != nil {
		lost(err)
	}
	select {
	case <-s.pending.none():
	case <-alive.Done():
	case <-time.After(drainLimit):
		s.env.Log.WarnContext(ctx, "rabbitmq stops with messages the log has not answered; the broker keeps them", "queue", s.cfg.Queue)
	}
	lost(nil)
	helpers.Wait()
	defer s.conn.limit(closeLimit)()
	if err := s.flush(); err == nil {
		_ = s.ch.Close() // its answer says that the acknowledgements have come
	}
	return nil
}

func closeReason(err *amqp.Error) error {
	if err == nil {
		return errors.New("the broker closed the channel")
	}
	return err
}

// consume hands deliveries over until ctx or the connection ends.
func (s *session) consume(ctx, alive context.Context) {
	work, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(alive, cancel)()
	pause := minPause
	for {
		select {
		case <-work.Done():
			return
		case d, ok := <-s.deliveries:
			if !ok {
				<-work.Done() // why is about to be known
				return
			}
			s.give(work, s.gather(d))
			pause = minPause
		case m := <-s.again:
			batch := s.gatherAgain(m)
			wait(work, pause)
			pause = min(2*pause, maxPause)
			s.give(work, batch)
		}
	}
}

// gather takes what is waiting already: no timer, so an idle queue is served at
// once and a full one in batches.
func (s *session) gather(d amqp.Delivery) []*message {
	var batch []*message
	size, events := 0, 0
	for {
		s.acks.began()
		s.pending.add()
		m := s.read(d)
		batch = append(batch, m)
		apart := 0 // what a mapping has split takes more than its body
		for i := range m.inputs {
			apart += len(m.inputs[i].Raw)
		}
		size += max(len(d.Body), apart)
		if events += len(m.inputs); events >= maxBatch || len(batch) >= maxBatch || size >= maxBatchBytes {
			return batch
		}
		select {
		case next, ok := <-s.deliveries:
			if !ok {
				return batch
			}
			d = next
		default:
			return batch
		}
	}
}

func (s *session) gatherAgain(m *message) []*message {
	batch := []*message{m}
	s.pending.add()
	for len(batch) < maxBatch {
		select {
		case m := <-s.again:
			s.pending.add()
			batch = append(batch, m)
		default:
			return batch
		}
	}
	return batch
}

// give hands a batch to the log, and repeats that while the log is behind or
// away: meanwhile nothing more is taken from the queue.
func (s *session) give(ctx context.Context, batch []*message) {
	keep := batch[:0]
	var inputs []normalize.Input
	for _, m := range batch {
		switch {
		case len(m.inputs) > 0:
			keep = append(keep, m)
			inputs = append(inputs, m.inputs...)
		case m.broken != "":
			s.env.Counters.Received(1)
			s.env.Counters.Refused("too_large", 1)
			m.reason = m.broken
			s.dead <- m
		default: // an empty array: nothing happened
			s.finish(m)
		}
	}
	if len(inputs) == 0 {
		return
	}
	s.env.Counters.Received(len(inputs))
	for pause := minPause / 10; ; pause = min(2*pause, time.Second) {
		err := s.emit(ctx, inputs, func(r []source.Receipt) { s.answered(keep, r) })
		if err == nil {
			return
		}
		if wait(ctx, pause); ctx.Err() != nil {
			// Stopping, or the connection is lost: the broker has them still.
			s.env.Counters.Refused("unavailable", len(inputs))
			for range keep {
				s.pending.done()
			}
			return
		}
	}
}

// answered is the log's callback; it does not wait.
func (s *session) answered(batch []*message, receipts []source.Receipt) {
	for _, m := range batch {
		n := min(len(m.inputs), len(receipts))
		own := receipts[:n]
		receipts = receipts[n:]
		switch verdict(m, own) {
		case wellLogged:
			s.finish(m)
		case lostAnswer:
			s.again <- m
			s.pending.done()
		case rejected:
			m.logged = true
			s.dead <- m
		}
	}
}

type outcome int

const (
	wellLogged outcome = iota
	lostAnswer
	rejected
)

// verdict says what became of a message's events, and keeps the reason of the
// first that was rejected.
func verdict(m *message, own []source.Receipt) outcome {
	if len(own) < len(m.inputs) {
		return lostAnswer
	}
	out := wellLogged
	for i, r := range own {
		if r.Err != nil {
			return lostAnswer
		}
		if r.Rejected == "" || out == rejected {
			continue
		}
		out = rejected
		m.reason, m.event = r.Rejected, r.ID
		if m.broken != "" {
			m.reason = m.broken
		}
		if len(own) > 1 {
			m.reason = fmt.Sprintf("event %d of %d: %s", i+1, len(own), r.Rejected)
		}
	}
	return out
}

// finish lets the message be acknowledged.
func (s *session) finish(m *message) {
	s.acks.set(m.delivery.DeliveryTag, finished)
	s.pending.done()
}

// settle acknowledges what is finished, many at once where they come in order.
func (s *session) settle(alive context.Context, lost context.CancelCauseFunc) {
	for {
		select {
		case <-alive.Done():
			return
		case <-s.acks.ready:
			if err := s.flush(); err != nil {
				lost(err)
				return
			}
		}
	}
}

func (s *session) flush() error {
	if tag, ok := s.acks.take(); ok {
		return s.ch.Ack(tag, true)
	}
	return nil
}

// pending counts the messages that wait for the log or the dead-letter
// exchange.
type pending struct {
	mu   sync.Mutex
	n    int
	zero chan struct{}
}

func (p *pending) add() { p.mu.Lock(); p.n++; p.mu.Unlock() }

func (p *pending) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n--; p.n == 0 && p.zero != nil {
		close(p.zero)
		p.zero = nil
	}
}

// none is closed when there is none.
func (p *pending) none() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make(chan struct{})
	if p.n == 0 {
		close(out)
		return out
	}
	p.zero = out
	return out
}
