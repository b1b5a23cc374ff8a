package syslog

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"signalbox/internal/source"
	"signalbox/internal/source/sourcetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const within = 10 * time.Second

// places gives the address of each listener once it is there.
type places struct {
	mu sync.Mutex
	at map[string]string
	ch chan struct{}
}

func (p *places) tell(network, address string) {
	p.mu.Lock()
	p.at[network] = address
	close(p.ch)
	p.ch = make(chan struct{})
	p.mu.Unlock()
}

func (p *places) wait(network string) string {
	for end := time.After(within); ; {
		p.mu.Lock()
		at, ch := p.at[network], p.ch
		p.mu.Unlock()
		if at != "" {
			return at
		}
		select {
		case <-ch:
		case <-end:
			return "no listener for " + network
		}
	}
}

// sender is a device that speaks one transport. It dials when it first sends.
type sender struct {
	t       *testing.T
	network string
	places  *places
	tls     *tls.Config
	counted bool

	conn net.Conn
}

func (s *sender) dial() net.Conn {
	if s.conn != nil {
		return s.conn
	}
	at := s.places.wait(s.network)
	var err error
	switch s.network {
	case "tls":
		s.conn, err = tls.Dial("tcp", at, s.tls)
	default:
		s.conn, err = net.Dial(s.network, at)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return s.conn
}

func (s *sender) Send(payload []byte) {
	c := s.dial()
	switch {
	case s.network == "udp":
	case s.counted:
		payload = fmt.Appendf(nil, "%d %s", len(payload), payload)
	default:
		payload = append(bytes.Clone(payload), '\n')
	}
	if _, err := c.Write(payload); err != nil {
		s.t.Errorf("send by %s: %v", s.network, err)
	}
}

func (s *sender) Acked() int { return 0 }

func (s *sender) Close() {
	if s.conn != nil {
		_ = s.conn.Close()
	}
}

func line(marker string) []byte {
	return fmt.Appendf(nil, "<189>45: %s: Nov 24 10:00:00.123 CET: %%LINK-3-UPDOWN: Interface GigabitEthernet0/1, changed state to down", marker)
}

// setUp makes a source on loopback ports that the system chooses.
func setUp(t *testing.T, env source.Env, change func(*Config)) (*Source, *places) {
	t.Helper()
	p := &places{at: map[string]string{}, ch: make(chan struct{})}
	env.Listening = p.tell
	cfg := DefaultConfig()
	change(&cfg)
	s, err := build(env, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s, p
}

// running is a source at work for one test.
type running struct {
	log      *sourcetest.Log
	counters *sourcetest.Counters
	health   *sourcetest.Health
	places   *places
	stop     func()
}

func start(t *testing.T, change func(*Config)) *running {
	t.Helper()
	return startWith(t, change, func(*Source) {})
}

func startWith(t *testing.T, change func(*Config), adjust func(*Source)) *running {
	t.Helper()
	r := &running{log: &sourcetest.Log{}, counters: &sourcetest.Counters{}, health: &sourcetest.Health{}}
	env := source.Env{Name: "campus", Counters: r.counters, Health: r.health.Set}
	s, p := setUp(t, env, change)
	adjust(s)
	r.places = p
	ctx, cancel := context.WithCancel(context.Background())
	end := make(chan error, 1)
	go func() { end <- s.Run(ctx, r.log.Emit) }()
	var once sync.Once
	r.stop = func() {
		once.Do(func() {
			cancel()
			r.log.Release()
			select {
			case err := <-end:
				if err != nil {
					t.Errorf("Run: %v", err)
				}
			case <-time.After(within):
				t.Error("Run did not return")
			}
		})
	}
	t.Cleanup(r.stop)
	return r
}

func (r *running) durable() (out []string) {
	for _, in := range r.log.Durable() {
		out = append(out, string(in.Raw))
	}
	return out
}

// wait waits for n messages on disk, and gives all that were handed over, in
// order.
func (r *running) wait(t *testing.T, n int) (seen []string) {
	t.Helper()
	sourcetest.Wait(t, within, fmt.Sprintf("%d messages in the log", n), func() bool { return len(r.log.Durable()) >= n })
	for _, in := range r.log.Seen() {
		seen = append(seen, string(in.Raw))
	}
	return seen
}
