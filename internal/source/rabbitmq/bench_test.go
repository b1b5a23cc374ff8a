package rabbitmq

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"signalbox/internal/normalize"
	"signalbox/internal/secret"
	"signalbox/internal/source"
	"signalbox/internal/source/sourcetest"
)

// fill publishes n persistent messages in a durable queue.
func fill(b *testing.B, ch *amqp.Channel, queue string, n int) {
	b.Helper()
	if _, err := ch.QueueDeclare(queue, true, false, false, false, nil); err != nil {
		b.Fatal(err)
	}
	var last *amqp.DeferredConfirmation
	for i := range n {
		c, err := ch.PublishWithDeferredConfirm("", queue, false, false, amqp.Publishing{
			DeliveryMode: amqp.Persistent, MessageId: fmt.Sprint(i), ContentType: "application/json",
			Body: sourcetest.DefaultPayload(sourcetest.Marker(i)),
		})
		if err != nil {
			b.Fatal(err)
		}
		last = c
	}
	if last != nil && !last.Wait() {
		b.Fatal("not confirmed")
	}
}

// BenchmarkConsume compares the source with a bare consumer that acknowledges
// each message and does nothing else.
func BenchmarkConsume(b *testing.B) {
	u := broker(b)
	conn, err := amqp.Dial(u)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err == nil {
		err = ch.Confirm(false)
	}
	if err != nil {
		b.Fatal(err)
	}
	runs := 0
	queue := func(b *testing.B) string {
		runs++
		q := fmt.Sprintf("bench.%s.%d", b.Name(), runs)
		fill(b, ch, q, b.N)
		return q
	}
	b.Run("bare", func(b *testing.B) {
		q := queue(b)
		c, err := conn.Channel()
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		_ = c.Qos(512, 0, false)
		b.ResetTimer()
		in, err := c.Consume(q, "", false, false, false, false, nil)
		if err != nil {
			b.Fatal(err)
		}
		for range b.N {
			d := <-in
			_ = d.Ack(false)
		}
	})
	b.Run("source", func(b *testing.B) {
		q := queue(b)
		cfg := DefaultConfig()
		cfg.URL, cfg.Queue = secret.New(u), q
		f := &sourcetest.Fixture{Counters: &sourcetest.Counters{}, Health: &sourcetest.Health{}}
		env := f.Env("bench")
		env.Log = slog.New(slog.DiscardHandler)
		src, err := New(env, cfg)
		if err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		var n atomic.Int64
		emit := func(_ context.Context, batch []normalize.Input, done func([]source.Receipt)) error {
			done(make([]source.Receipt, len(batch)))
			if n.Add(int64(len(batch))) >= int64(b.N) {
				cancel()
			}
			return nil
		}
		b.ResetTimer()
		if err := src.Run(ctx, emit); err != nil {
			b.Fatal(err)
		}
	})
}
