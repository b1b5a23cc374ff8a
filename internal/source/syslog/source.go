// Package syslog is the source that devices send syslog to: UDP (RFC 5426),
// TCP with octet counting or line ends (RFC 6587), and TLS (RFC 5425).
//
// It takes framing off and passes messages on as they came; it looks into none,
// and refuses none for what is in it. What the promise "nothing is lost" can
// mean differs by transport. None has an acknowledgement. Over TCP a device is
// slowed down while the log is behind, and what was read is kept until the log
// has it; what was in flight when the process is killed is lost. Over UDP the
// kernel's buffer bridges a while, and what it drops is read from it and
// reported.
//
// Messages are not parsed here (normalize.Input.Parsed stays nil): parsing
// costs half a microsecond, emit is called by as many goroutines as there are
// connections, and over UDP the goroutine that empties the kernel's buffer
// must do nothing else.
package syslog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"signalbox/internal/normalize"
	"signalbox/internal/source"
)

// drainTime is how long a stop may take: the batches that were read, and their
// receipts.
const drainTime = 5 * time.Second

// Source listens for syslog. Make one with New, run it once.
type Source struct {
	env source.Env
	cfg Config
	tls *keyPair // nil without TLS

	pollDrops time.Duration // how often the kernel is asked
	holdUDP   time.Duration // how long a UDP batch waits for the log

	warnFull, warnCut rate.Sometimes
}

// New checks the configuration and reads the TLS files. It opens no socket;
// Run does.
func New(env source.Env, cfg Config) (source.Source, error) { return build(env, cfg) }

func build(env source.Env, cfg Config) (*Source, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if env.Log == nil {
		env.Log = slog.New(slog.DiscardHandler)
	}
	if env.Health == nil {
		env.Health = func(error) {}
	}
	if env.Listening == nil {
		env.Listening = func(string, string) {}
	}
	s := &Source{
		env: env, cfg: cfg,
		pollDrops: time.Second,
		holdUDP:   30 * time.Second,
		warnFull:  rate.Sometimes{Interval: 10 * time.Second},
		warnCut:   rate.Sometimes{Interval: 10 * time.Second},
	}
	if cfg.TLS != nil {
		pair, err := loadKeyPair(env.Dir, *cfg.TLS)
		if err != nil {
			return nil, err
		}
		s.tls = pair
	}
	return s, nil
}

// Run listens until ctx ends. It returns an error only where it cannot listen.
// On a stop it takes no more connections, gives what was read to emit, and
// waits for the receipts for some seconds.
func (s *Source) Run(ctx context.Context, emit source.Emit) error {
	parts, err := s.listen(ctx)
	if err != nil {
		return err
	}
	// What was read before the stop goes on for a while after it.
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(drainTime, cancel) })
	defer stop()

	out := newOutlet(s.env, emit)
	var resender, running sync.WaitGroup
	resender.Go(func() { out.resend(late) })
	for _, run := range parts {
		running.Go(func() { run(ctx, late, out) })
	}
	running.Wait()
	out.settle(late)
	cancel()
	resender.Wait()
	return nil
}

// part is one listener at work: until ctx ends it reads, until late ends it
// passes on.
type part func(ctx, late context.Context, out *outlet)

// listen opens all listeners, or none.
func (s *Source) listen(ctx context.Context) (parts []part, err error) {
	var closers []func() error
	defer func() {
		if err != nil {
			for _, c := range closers {
				_ = c()
			}
		}
	}()
	if s.cfg.UDP != "" {
		u, err := s.listenUDP(ctx)
		if err != nil {
			return nil, err
		}
		closers = append(closers, u.conn.Close)
		parts = append(parts, u.run)
	}
	guests := newGuests(s.cfg.MaxConnections, s.cfg.MaxConnectionsPerPeer)
	stream := func(address string, secure bool) error {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
		if err != nil {
			return fmt.Errorf("listen for syslog: %w", err)
		}
		closers = append(closers, l.Close)
		st := &stream{s: s, l: l, secure: secure, guests: guests}
		parts = append(parts, st.run)
		return nil
	}
	if s.cfg.TCP != "" {
		if err := stream(s.cfg.TCP, s.cfg.TLS != nil && s.cfg.TLS.Listen == ""); err != nil {
			return nil, err
		}
	}
	if s.cfg.TLS != nil && s.cfg.TLS.Listen != "" {
		if err := stream(s.cfg.TLS.Listen, true); err != nil {
			return nil, err
		}
	}
	return parts, nil
}

// input makes a message of raw, which nobody else may change.
func (s *Source) input(raw []byte, peer string, received time.Time, cut bool) normalize.Input {
	in := normalize.Input{
		Source: s.env.Name, Form: normalize.Syslog,
		Raw: raw, Peer: peer, Received: received,
	}
	if cut {
		in.Meta = cutMeta
		s.env.Counters.Unparsed(peer)
		s.warnCut.Do(func() {
			s.env.Log.Warn("syslog message cut off", "peer", peer, "max_bytes", s.cfg.MaxBytes)
		})
	}
	return in
}

// cutMeta marks a message that is longer than max_bytes. It is shared: Meta is
// read only.
var cutMeta = map[string]string{"truncated": "max_bytes"}

// ended says whether err means that the connection or listener is closed.
func ended(err error) bool { return errors.Is(err, net.ErrClosed) }
