package rabbitmq

import (
	"errors"
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"
)

// topology makes or checks queue, exchanges and bindings. A failed check closes
// an AMQP channel, so each step that may fail has a channel of its own.
type topology struct {
	conn *amqp.Connection
	cfg  Config
}

func (t topology) do(f func(*amqp.Channel) error) error {
	ch, err := t.conn.Channel()
	if err != nil {
		return err
	}
	err = f(ch)
	_ = ch.Close() // after a failed step it is closed already
	return err
}

func isCode(err error, code int) bool {
	var a *amqp.Error
	return errors.As(err, &a) && a.Code == code
}

func (t topology) ensure() error {
	if !t.cfg.Declare {
		return t.check()
	}
	if err := t.makeDeadLetter(); err != nil {
		return err
	}
	if err := t.makeQueue(); err != nil {
		return err
	}
	for _, b := range t.cfg.Bindings {
		if err := t.makeExchange(b.Exchange, orTopic(b.Type)); err != nil {
			return err
		}
		err := t.do(func(ch *amqp.Channel) error {
			return ch.QueueBind(t.cfg.Queue, b.RoutingKey, b.Exchange, false, nil)
		})
		if err != nil {
			return fmt.Errorf("bind queue %q to exchange %q: %w", t.cfg.Queue, b.Exchange, err)
		}
	}
	return nil
}

// check is for declare: false.
func (t topology) check() error {
	err := t.do(func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclarePassive(t.cfg.Queue, t.cfg.Durable, false, false, false, nil)
		return err
	})
	if err != nil {
		return t.missing("queue", t.cfg.Queue, err)
	}
	names := []string{t.cfg.DeadLetter.Exchange}
	for _, b := range t.cfg.Bindings {
		names = append(names, b.Exchange)
	}
	for _, name := range names {
		if name == "" {
			continue
		}
		if err := t.checkExchange(name); err != nil {
			return t.missing("exchange", name, err)
		}
	}
	return nil
}

func (t topology) missing(what, name string, err error) error {
	if isCode(err, amqp.NotFound) {
		return fmt.Errorf("%s %q does not exist on vhost %q, and declare is false: create it, or set declare: true: %w", what, name, t.cfg.Vhost, err)
	}
	return fmt.Errorf("check %s %q: %w", what, name, err)
}

func (t topology) checkExchange(name string) error {
	return t.do(func(ch *amqp.Channel) error {
		return ch.ExchangeDeclarePassive(name, "topic", true, false, false, false, nil) // only the name counts
	})
}

// makeQueue declares the queue only where there is none: the settings of one
// that exists are its owner's, and declaring it with others is an error.
func (t topology) makeQueue() error {
	err := t.do(func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclarePassive(t.cfg.Queue, t.cfg.Durable, false, false, false, nil)
		return err
	})
	if err == nil {
		return nil
	}
	if !isCode(err, amqp.NotFound) {
		return fmt.Errorf("check queue %q: %w", t.cfg.Queue, err)
	}
	args := amqp.Table{}
	if t.cfg.Type == "quorum" {
		// RabbitMQ 4 gives a message of a quorum queue up after 20 deliveries:
		// it must not vanish then.
		args = amqp.Table{"x-queue-type": "quorum", "x-dead-letter-exchange": t.cfg.DeadLetter.Exchange}
	}
	return t.declareQueue(t.cfg.Queue, t.cfg.Durable, args)
}

func (t topology) declareQueue(name string, durable bool, args amqp.Table) error {
	err := t.do(func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclare(name, durable, false, false, false, args)
		return err
	})
	if isCode(err, amqp.PreconditionFailed) {
		return fmt.Errorf("queue %q exists with other settings: set declare: false to take it as it is: %w", name, err)
	}
	if err != nil {
		return fmt.Errorf("declare queue %q: %w", name, err)
	}
	return nil
}

func (t topology) makeExchange(name, kind string) error {
	if t.checkExchange(name) == nil {
		return nil
	}
	err := t.do(func(ch *amqp.Channel) error {
		return ch.ExchangeDeclare(name, kind, true, false, false, false, nil)
	})
	if err != nil {
		return fmt.Errorf("declare exchange %q: %w", name, err)
	}
	return nil
}

func (t topology) makeDeadLetter() error {
	d := t.cfg.DeadLetter
	if d.Exchange == "" {
		return nil
	}
	if err := t.makeExchange(d.Exchange, "fanout"); err != nil {
		return err
	}
	if d.Queue == "" {
		return nil
	}
	err := t.do(func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclarePassive(d.Queue, true, false, false, false, nil)
		return err
	})
	if isCode(err, amqp.NotFound) {
		err = t.declareQueue(d.Queue, true, nil)
	}
	if err != nil {
		return err
	}
	err = t.do(func(ch *amqp.Channel) error { return ch.QueueBind(d.Queue, "#", d.Exchange, false, nil) })
	if err != nil {
		return fmt.Errorf("bind queue %q to exchange %q: %w", d.Queue, d.Exchange, err)
	}
	return nil
}
