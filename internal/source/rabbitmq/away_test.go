package rabbitmq

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"signalbox/internal/normalize"
	"signalbox/internal/secret"
	"signalbox/internal/source/sourcetest"
)

// What answers is no broker, or a broken one: the source says so, keeps its
// memory and its nerve, and stops when it is told to.
func TestLyingBroker(t *testing.T) {
	start := "\x01\x00\x00\x00\x00\x00\x0e\x00\x0a\x00\x0a\x00\x09\x00\x00\x00\x00\x00\x00\x00\x00\xce"
	for name, talk := range map[string]func(net.Conn){
		"silent": func(c net.Conn) { _, _ = io.Copy(io.Discard, c) },
		"closes": func(net.Conn) {},
		"HTTP":   func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") },
		"a frame of 4 GB": func(c net.Conn) {
			_, _ = io.WriteString(c, "\x01\x00\x00\xff\xff\xff\xff")
			_, _ = io.Copy(io.Discard, c)
		},
		"no SASL mechanisms": func(c net.Conn) { _, _ = io.WriteString(c, start); _, _ = io.Copy(io.Discard, c) },
		"zeros":              func(c net.Conn) { _, _ = c.Write(make([]byte, 1<<20)) },
	} {
		t.Run(name, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			go func() {
				for {
					c, err := ln.Accept()
					if err != nil {
						return
					}
					go func() { defer c.Close(); talk(c) }()
				}
			}()
			cfg := DefaultConfig()
			cfg.URL, cfg.Queue = secret.New("amqp://u:p@"+ln.Addr().String()+"/"), "q"
			f := &sourcetest.Fixture{Log: &sourcetest.Log{}, Counters: &sourcetest.Counters{}, Health: &sourcetest.Health{}}
			src, err := New(f.Env("x"), cfg)
			if err != nil {
				t.Fatal(err)
			}
			src.dialLimit = 100 * time.Millisecond
			ctx, cancel := context.WithCancel(context.Background())
			end := make(chan error, 1)
			go func() { end <- src.Run(ctx, f.Log.Emit) }()
			sourcetest.Wait(t, 5*time.Second, "it says so twice", func() bool { return f.Health.Told() >= 2 && f.Health.Err() != nil })
			cancel()
			select {
			case err := <-end:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(5 * time.Second):
				t.Error("it does not stop")
			}
		})
	}
}

// The broker is short of disk and takes nothing from publishers: messages are
// logged and acknowledged all the same, and dead letters wait.
func TestBlockedByAlarm(t *testing.T) {
	if testing.Short() {
		t.Skip("left out in short runs: it sets off an alarm of the broker")
	}
	ownNode(t)
	r := newRig(t, ctl(t, "url"), func(*Config) {})
	r.Log.Hold()
	r.Log.Reject(func(in normalize.Input) string {
		if strings.Contains(string(in.Raw), "bad") {
			return "no"
		}
		return ""
	})
	r.publish("", r.queue, amqp.Publishing{Body: []byte(`{"bad":1}`)})
	for i := range 20 {
		r.publish("", r.queue, amqp.Publishing{Body: sourcetest.DefaultPayload(sourcetest.Marker(i))})
	}
	sourcetest.Wait(t, 5*time.Second, "all are handed over", func() bool { return r.Log.Emitted() == 21 })
	ctl(t, "ctl", "set_disk_free_limit", "100000GB")
	defer ctl(t, "ctl", "set_disk_free_limit", "1MB")
	r.Log.Release()
	sourcetest.Wait(t, 10*time.Second, "it says that the broker takes nothing", func() bool { return r.Health.Err() != nil })
	ctl(t, "ctl", "set_disk_free_limit", "1MB")
	sourcetest.Wait(t, 30*time.Second, "the dead letter comes", func() bool { return r.depth(r.queue+deadSuffix) >= 1 })
	sourcetest.Wait(t, 10*time.Second, "it is well again", func() bool { return r.Health.Err() == nil })
	r.Stop()
	if n := r.depth(r.queue); n != 0 {
		t.Errorf("%d messages are left in the queue", n)
	}
}
