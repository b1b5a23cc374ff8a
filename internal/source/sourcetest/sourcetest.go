// Package sourcetest is the suite that every source passes. A source's own test
// describes its protocol with a Harness and calls Run:
//
//	func TestSuite(t *testing.T) {
//		sourcetest.Run(t, sourcetest.Harness{Start: start, Bad: []byte("{")})
//	}
//
// Log, Counters and Health serve a source's further tests as well.
package sourcetest

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"signalbox/internal/source"
)

// Peer is the other side of the protocol: an honest sender.
type Peer interface {
	// Send hands one message to the source and returns without waiting for the
	// acknowledgement. What the source refuses, the peer sends again until it
	// is acknowledged, as far as its protocol can; except for Harness.Bad.
	Send(payload []byte)
	// Acked is how many messages the source has acknowledged so far.
	Acked() int
	// Close ends the peer, with all its goroutines.
	Close()
}

// Harness fits the suite to one kind of source.
type Harness struct {
	// Start builds a source in env and its peer. The suite calls the source's
	// Run; the peer waits in Send until the source can take messages.
	Start func(t *testing.T, env source.Env) (source.Source, Peer)
	// Payload makes a good message that contains marker. By default it is the
	// JSON object of a webhook.
	Payload func(marker string) []byte
	// Bad is a message that the source cannot take, nil where there is none.
	Bad []byte
	// Unacknowledged is set where the protocol cannot acknowledge (UDP, plain
	// TCP syslog): Acked is not asked, and what is refused is lost and counted.
	Unacknowledged bool
	// Away takes the peer away (a broker that stops), and Back brings it back.
	// Nil where the source is who listens.
	Away, Back func(t *testing.T)
	// Slow is how long the source may take to find a peer that came back.
	Slow time.Duration
	// IgnoreLeaks names goroutines that are not the source's.
	IgnoreLeaks []goleak.Option
}

// Fixture is a source that runs under the suite's log.
type Fixture struct {
	Log      *Log
	Counters *Counters
	Health   *Health
	Peer     Peer

	t    *testing.T
	stop context.CancelFunc
	end  chan error
	once sync.Once
}

// Env gives a source.Env that tells its counters and health to f.
func (f *Fixture) Env(name string) source.Env {
	return source.Env{
		Name: name, Log: slog.New(slog.DiscardHandler), Counters: f.Counters, Health: f.Health.Set,
		Handle: func(http.Handler) {}, Listening: func(string, string) {},
		Secret: func(n string) (string, error) { return os.Getenv(n), nil },
	}
}

// StartFixture builds and runs a source. It is stopped when the test ends.
func (h Harness) StartFixture(t *testing.T) *Fixture {
	t.Helper()
	f := &Fixture{Log: &Log{}, Counters: &Counters{}, Health: &Health{}, t: t, end: make(chan error, 1)}
	src, peer := h.Start(t, f.Env("suite"))
	f.Peer = peer
	ctx, cancel := context.WithCancel(context.Background())
	f.stop = cancel
	go func() { f.end <- src.Run(ctx, f.Log.Emit) }()
	t.Cleanup(func() { f.Stop() })
	return f
}

// Stop stops the source and the peer, and fails the test where Run does not
// return nil in time.
func (f *Fixture) Stop() {
	f.once.Do(func() {
		f.stop()
		f.Log.Release()
		select {
		case err := <-f.end:
			if err != nil {
				f.t.Errorf("Run returned %v on a clean stop", err)
			}
		case <-time.After(deadline):
			f.t.Errorf("Run did not return within %v of its context's end", deadline)
		}
		f.Peer.Close()
		f.Log.done.Wait()
	})
}

// patience is the least that a condition is waited for, however soon it should
// hold: a machine that is busy with other tests is slow, not wrong.
const patience = 30 * time.Second

// Wait waits until cond holds, and fails the test where it does not.
func Wait(t *testing.T, within time.Duration, what string, cond func() bool) {
	t.Helper()
	within = max(within, patience)
	end := time.Now().Add(within)
	for pause := time.Millisecond; !cond(); {
		if time.Now().After(end) {
			t.Fatalf("after %v still not: %s", within, what)
		}
		<-time.After(pause)
		pause = min(2*pause, 50*time.Millisecond)
	}
}

// never fails the test where cond comes to hold in a short while.
func never(t *testing.T, what string, cond func() bool) {
	t.Helper()
	end := time.Now().Add(100 * time.Millisecond)
	for time.Now().Before(end) {
		if cond() {
			t.Fatalf("it came to be that %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// DefaultPayload is a message in Signalbox's own JSON form.
func DefaultPayload(marker string) []byte {
	return fmt.Appendf(nil, `{"event_type":"interface_down","device":%q,"interface":"Eth1/1","timestamp":1640000000}`, marker)
}

// Marker names the i-th message of a test, in one length and without a prefix
// of another.
func Marker(i int) string { return fmt.Sprintf("switch-%06d", i) }

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	if h.Payload == nil {
		h.Payload = DefaultPayload
	}
	if h.Slow == 0 {
		h.Slow = deadline
	}
	tests := []struct {
		name string
		run  func(*testing.T, Harness, *Fixture)
		need bool
	}{
		{"AckAfterDurable", ackAfterDurable, !h.Unacknowledged},
		{"Fields", fields, true},
		{"BusyThenWell", busyThenWell, !h.Unacknowledged},
		{"LostAnswer", lostAnswer, !h.Unacknowledged},
		{"RefusalsAreCounted", refusalsAreCounted, h.Unacknowledged},
		{"BadAmongGood", badAmongGood, h.Bad != nil},
		{"StopDrains", stopDrains, true},
		{"AwayAndBack", awayAndBack, h.Away != nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if !tt.need {
				t.Skip("does not apply to this protocol")
			}
			ignore := append([]goleak.Option{goleak.IgnoreCurrent()}, h.IgnoreLeaks...)
			f := h.StartFixture(t)
			tt.run(t, h, f)
			f.Stop()
			if bad := f.Log.changed(); len(bad) > 0 {
				t.Errorf("Raw was written to after Emit, of %d messages, the first: %q", len(bad), bad[0])
			}
			f.balance(t)
			if err := goleak.Find(ignore...); err != nil {
				t.Errorf("goroutines outlive the source: %v", err)
			}
		})
	}
}

// balance checks the books: received = emitted + refused.
func (f *Fixture) balance(t *testing.T) {
	t.Helper()
	received, refused := f.Counters.Totals()
	if emitted := f.Log.Emitted(); received != emitted+refused {
		t.Errorf("the books do not balance: received %d, emitted %d, refused %d", received, emitted, refused)
	}
}

func (f *Fixture) sendMany(h Harness, from, to int) {
	for i := from; i < to; i++ {
		f.Peer.Send(h.Payload(Marker(i)))
	}
}

// all waits until the messages from to are on disk.
func (f *Fixture) all(t *testing.T, within time.Duration, from, to int) {
	t.Helper()
	Wait(t, within, fmt.Sprintf("messages %d to %d are all in the log", from, to-1), func() bool {
		var text bytes.Buffer
		for _, in := range f.Log.Durable() {
			text.Write(in.Raw)
			text.WriteByte('\n')
		}
		for i := from; i < to; i++ {
			if !bytes.Contains(text.Bytes(), []byte(Marker(i))) {
				return false
			}
		}
		return true
	})
}

func (f *Fixture) acked(t *testing.T, n int) {
	t.Helper()
	Wait(t, deadline, fmt.Sprintf("%d messages are acknowledged", n), func() bool { return f.Peer.Acked() >= n })
}

func ackAfterDurable(t *testing.T, h Harness, f *Fixture) {
	f.Log.Hold()
	f.sendMany(h, 0, 3)
	Wait(t, deadline, "the log is given 3 messages", func() bool { return f.Log.Emitted() >= 3 })
	never(t, "a message was acknowledged before it was on disk", func() bool { return f.Peer.Acked() > 0 })
	f.Log.Release()
	f.acked(t, 3)
}

func fields(t *testing.T, h Harness, f *Fixture) {
	before := time.Now()
	f.sendMany(h, 0, 1)
	f.all(t, deadline, 0, 1)
	in := f.Log.Durable()[0]
	if in.Source != "suite" {
		t.Errorf("Source %q, want the configured name", in.Source)
	}
	if in.Form == "" {
		t.Error("Form is empty")
	}
	if in.Peer == "" {
		t.Error("Peer is empty")
	}
	if in.Received.Before(before.Add(-time.Second)) || in.Received.After(time.Now()) {
		t.Errorf("Received is %v, it was sent at %v", in.Received, before)
	}
}

func busyThenWell(t *testing.T, h Harness, f *Fixture) {
	f.Log.FailNext(3, source.ErrBusy)
	f.sendMany(h, 0, 10)
	f.all(t, h.Slow, 0, 10)
	f.acked(t, 10)
	f.Log.FailNext(3, source.ErrUnavailable)
	f.sendMany(h, 10, 20)
	f.all(t, h.Slow, 10, 20)
	f.acked(t, 20)
}

func lostAnswer(t *testing.T, h Harness, f *Fixture) {
	f.Log.LoseNext(2, source.ErrUnavailable)
	f.sendMany(h, 0, 10)
	f.all(t, h.Slow, 0, 10)
	f.acked(t, 10)
}

func refusalsAreCounted(t *testing.T, h Harness, f *Fixture) {
	f.Log.FailNext(1, source.ErrUnavailable)
	f.sendMany(h, 0, 1)
	Wait(t, deadline, "the message is counted as refused, or taken later", func() bool {
		_, refused := f.Counters.Totals()
		return refused > 0 || len(f.Log.Durable()) > 0
	})
	f.sendMany(h, 1, 5)
	f.all(t, deadline, 1, 5)
}

func badAmongGood(t *testing.T, h Harness, f *Fixture) {
	for i := range 10 {
		f.sendMany(h, i, i+1)
		f.Peer.Send(h.Bad)
	}
	f.all(t, deadline, 0, 10)
	Wait(t, deadline, "the bad messages are counted", func() bool {
		received, _ := f.Counters.Totals()
		return received >= 20
	})
}

func stopDrains(t *testing.T, h Harness, f *Fixture) {
	f.Log.Hold()
	f.sendMany(h, 0, 5)
	Wait(t, deadline, "the log is given 5 messages", func() bool { return f.Log.Emitted() >= 5 })
	f.stop()
	never(t, "Run returned while the log had messages to answer", func() bool { return len(f.end) > 0 })
	f.Log.Release()
	f.all(t, deadline, 0, 5)
	if !h.Unacknowledged {
		f.acked(t, 5)
	}
}

func awayAndBack(t *testing.T, h Harness, f *Fixture) {
	f.sendMany(h, 0, 5)
	f.all(t, h.Slow, 0, 5)
	Wait(t, h.Slow, "the source says that it is well", func() bool { return f.Health.Err() == nil })
	h.Away(t)
	Wait(t, h.Slow, "the source says that its peer is away", func() bool { return f.Health.Err() != nil })
	h.Back(t)
	f.sendMany(h, 5, 10)
	f.all(t, h.Slow, 5, 10)
	Wait(t, h.Slow, "the source says that it is well again", func() bool { return f.Health.Err() == nil })
}
