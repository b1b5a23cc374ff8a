package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	buryBatch    = 64 // dead letters published before their confirms are awaited
	confirmLimit = 5 * time.Second
	maxReason    = 1024
	maxTries     = 10 // to publish a dead letter whose event is in the log
)

// bury sends messages to the dead-letter exchange until alive ends.
func (s *session) bury(alive context.Context) {
	g := &grave{session: s}
	defer g.close()
	for {
		select {
		case <-alive.Done():
			return
		case m := <-s.dead:
			batch := []*message{m}
			for more := true; more && len(batch) < buryBatch; {
				select {
				case m := <-s.dead:
					batch = append(batch, m)
				default:
					more = false
				}
			}
			g.bury(alive, batch)
		}
	}
}

// grave publishes dead letters. It has a connection of its own: when the broker
// is short of memory or disk it stops reading connections that publish, and
// acknowledgements must not wait behind that.
type grave struct {
	*session
	conn     link
	ch       *amqp.Channel
	returned chan amqp.Return
	gone     chan *amqp.Error // why the channel was closed
	blocked  atomic.Bool      // the broker takes nothing from publishers
	watch    sync.WaitGroup
}

func (g *grave) close() {
	if g.conn.Connection != nil {
		g.conn.close()
		g.watch.Wait()
		g.conn = link{}
	}
}

func (g *grave) open(ctx context.Context) error {
	if g.conn.Connection != nil && !g.conn.IsClosed() && !g.ch.IsClosed() {
		return nil
	}
	g.close()
	conn, err := g.dial(ctx, g.cfg.Name+" dead letters")
	if err != nil {
		return err
	}
	g.conn = conn
	defer context.AfterFunc(ctx, func() { _ = conn.raw.Close() })()
	if g.ch, err = conn.Channel(); err == nil {
		err = g.ch.Confirm(false)
	}
	if err != nil {
		g.close()
		return err
	}
	g.gone = g.ch.NotifyClose(make(chan *amqp.Error, 1))
	g.returned = g.ch.NotifyReturn(make(chan amqp.Return, buryBatch))
	blocked := conn.NotifyBlocked(make(chan amqp.Blocking, 1))
	g.watch.Go(func() {
		for b := range blocked {
			g.blocked.Store(b.Active)
			if b.Active {
				g.env.Health(fmt.Errorf("the broker takes no dead letters at present: %s", b.Reason))
			} else {
				g.env.Health(nil)
			}
		}
	})
	return nil
}

// bury publishes copies and settles the messages. One that cannot be published
// for good is rejected instead, and the broker routes it as the queue says,
// without the reason. Otherwise it is tried again; without end where the log
// does not have it, or while the broker takes nothing from anybody.
func (g *grave) bury(ctx context.Context, batch []*message) {
	if g.cfg.DeadLetter.Exchange == "" {
		for _, m := range batch {
			g.reject(m, nil)
		}
		return
	}
	failed := g.publish(ctx, batch)
	kept := false
	for i, m := range batch {
		err := failed[i]
		switch {
		case err == nil:
			g.env.Log.WarnContext(ctx, "message sent to the dead-letter exchange", "queue", g.cfg.Queue, "reason", m.reason, "event", m.event)
			g.finish(m)
		case errors.Is(err, errNoWay), m.logged && m.tries >= maxTries && !g.blocked.Load():
			g.reject(m, err)
		default:
			kept = true
			m.tries++
			g.dead <- m
		}
	}
	if kept {
		wait(ctx, time.Second)
	}
}

// errNoWay: there is no such exchange, or no queue behind it.
var errNoWay = errors.New("the dead-letter exchange does not exist or has no queue")

// reject gives a message back for the queue's own dead-letter exchange.
func (g *grave) reject(m *message, why error) {
	g.env.Log.WarnContext(context.Background(), "message rejected without a copy for the dead-letter exchange",
		"queue", g.cfg.Queue, "reason", m.reason, "event", m.event, "logged", m.logged, "err", why)
	if err := g.session.ch.Nack(m.delivery.DeliveryTag, false, false); err == nil {
		g.acks.set(m.delivery.DeliveryTag, settled)
	}
	g.pending.done()
}

// publish returns what went wrong with each, nil where the broker has it.
func (g *grave) publish(ctx context.Context, batch []*message) []error {
	failed := make([]error, len(batch))
	fail := func(from int, err error) []error {
		if isCode(err, amqp.NotFound) {
			err = fmt.Errorf("%w: %w", errNoWay, err)
		}
		for i := from; i < len(batch); i++ {
			failed[i] = err
		}
		return failed
	}
	ctx, cancel := context.WithTimeout(ctx, confirmLimit)
	defer cancel()
	if err := g.open(ctx); err != nil {
		return fail(0, err)
	}
	confirms := make([]*amqp.DeferredConfirmation, len(batch))
	for i, m := range batch {
		key := g.cfg.DeadLetter.RoutingKey
		if key == "" {
			key = m.delivery.RoutingKey
		}
		c, err := g.ch.PublishWithDeferredConfirm(g.cfg.DeadLetter.Exchange, key, true, false, g.letter(m, i))
		if err != nil {
			return fail(0, err)
		}
		confirms[i] = c
	}
	for i, c := range confirms {
		ok, err := c.WaitContext(ctx)
		if err != nil {
			g.close() // a late confirm must not be taken for another's
			return fail(i, fmt.Errorf("the broker did not confirm within %v: %w", confirmLimit, err))
		}
		if ok {
			continue
		}
		failed[i] = errors.New("the broker did not take the copy")
		select {
		case e := <-g.gone: // an exchange that does not exist closes the channel
			if e != nil {
				return fail(i, e)
			}
		default:
		}
	}
	// What no queue took came back before it was confirmed.
	for {
		select {
		case r, open := <-g.returned:
			if !open {
				return failed
			}
			if i, err := strconv.Atoi(text(r.Headers[headerIndex])); err == nil && i < len(failed) {
				failed[i] = fmt.Errorf("%w: %s", errNoWay, r.ReplyText)
			}
		default:
			return failed
		}
	}
}

// The headers of a dead letter.
const (
	headerReason = "x-signalbox-reason"
	headerEvent  = "x-signalbox-event"  // id of the rejected event in the log
	headerQueue  = "x-signalbox-queue"  // where the message came from
	headerSource = "x-signalbox-source" // configured name of the source
	headerUser   = "x-signalbox-user-id"
	headerIndex  = "x-signalbox-index" // ours: tells returned messages apart
)

// letter is the copy of a message.
func (g *grave) letter(m *message, index int) amqp.Publishing {
	d := &m.delivery
	h := amqp.Table{}
	maps.Copy(h, d.Headers)
	h[headerReason] = strings.ToValidUTF8(m.reason[:min(len(m.reason), maxReason)], "�")
	h[headerQueue], h[headerSource], h[headerIndex] = g.cfg.Queue, g.env.Name, strconv.Itoa(index)
	if m.event != "" {
		h[headerEvent] = m.event
	}
	if d.UserId != "" { // the broker checks this property against our own user
		h[headerUser] = d.UserId
	}
	return amqp.Publishing{
		Headers: h, ContentType: d.ContentType, ContentEncoding: d.ContentEncoding, DeliveryMode: amqp.Persistent,
		Priority: d.Priority, CorrelationId: d.CorrelationId, ReplyTo: d.ReplyTo, MessageId: d.MessageId,
		Timestamp: d.Timestamp, Type: d.Type, AppId: d.AppId, Body: d.Body,
	}
}
