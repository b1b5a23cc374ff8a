package syslog

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"signalbox/internal/normalize"
)

const (
	handshakeTime = 10 * time.Second
	firstBuffer   = 4 << 10  // a quiet device costs no more
	fullBuffer    = 64 << 10 // a busy one is read in chunks of this
	// A stop reads on while bytes are waiting: who was not read to the end gets
	// a reset, and what lies in the kernel is lost.
	drainQuiet = 20 * time.Millisecond
	drainMost  = time.Second
	// The first reads after a stop may end at once by the stop's own deadline;
	// so many must end without a byte.
	drainReads = 3
)

// stream is a listener for TCP, or for TLS over it.
type stream struct {
	s      *Source
	l      net.Listener
	secure bool
	guests *guests
}

// run accepts connections until ctx ends, and returns when all are closed.
func (st *stream) run(ctx, late context.Context, out *outlet) {
	network := "tcp"
	if st.secure {
		network = "tls"
	}
	st.s.env.Listening(network, st.l.Addr().String())
	stop := context.AfterFunc(ctx, func() { _ = st.l.Close() })
	defer stop()
	defer st.l.Close()
	var open sync.WaitGroup
	defer open.Wait()
	wait := firstWait
	for {
		c, err := st.l.Accept()
		if err != nil {
			if ctx.Err() != nil || ended(err) {
				return
			}
			// Out of file descriptors, most likely: others may close some.
			st.s.env.Log.Error("syslog: accept", "listener", network, "err", err)
			if !pause(ctx, &wait) {
				return
			}
			continue
		}
		wait = firstWait
		peer := peerAddress(c.RemoteAddr())
		if !st.guests.enter(peer.Addr()) {
			_ = c.Close()
			st.s.warnFull.Do(func() {
				st.s.env.Log.Warn("syslog connection turned away: too many",
					"peer", peer.String(), "max_connections", st.s.cfg.MaxConnections,
					"max_connections_per_peer", st.s.cfg.MaxConnectionsPerPeer)
			})
			continue
		}
		open.Go(func() {
			defer st.guests.leave(peer.Addr())
			st.serve(ctx, late, out, c, peer.String())
		})
	}
}

// serve reads one connection to its end. A slow or mad sender hurts nobody but
// itself.
func (st *stream) serve(ctx, late context.Context, out *outlet, c net.Conn, peer string) {
	defer c.Close()
	if st.secure {
		t := tls.Server(c, st.s.tls.config())
		hello, cancel := context.WithTimeout(ctx, handshakeTime)
		err := t.HandshakeContext(hello)
		cancel()
		if err != nil {
			st.s.env.Log.Info("syslog: TLS handshake", "peer", peer, "err", err)
			return
		}
		c = t
	}
	// A stop ends a Read that waits; reader.deadline decides what comes then.
	stop := context.AfterFunc(ctx, func() { _ = c.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	r := &reader{s: st.s, c: c, peer: peer, out: out, f: framer{max: st.s.cfg.MaxBytes}}
	if err := r.run(ctx, late); err != nil {
		st.s.env.Log.Debug("syslog connection ended", "peer", peer, "err", err)
	}
}

// reader turns one connection into batches.
type reader struct {
	s    *Source
	c    net.Conn
	peer string
	out  *outlet
	f    framer

	frames []frame
	until  time.Time // while stopping: when to stop reading
	quiet  int       // while stopping: reads without a byte
}

func (r *reader) run(ctx, late context.Context) error {
	buf := make([]byte, firstBuffer)
	fill := 0
	for {
		if !r.deadline(ctx) {
			r.cut(late, buf[:fill], time.Now(), true)
			return nil
		}
		n, err := r.c.Read(buf[fill:])
		fill += n
		if n > 0 || err != nil {
			eof := err != nil && !r.stopping(ctx, err)
			used, ok := r.cut(late, buf[:fill], time.Now(), eof)
			if eof || !ok {
				return err
			}
			fill = copy(buf, buf[used:fill])
		}
		if err != nil && n == 0 {
			if r.quiet++; r.quiet == drainReads {
				r.until = time.Now()
			}
		}
		// The buffer holds a whole message and its count at the least.
		if fill == len(buf) || n > len(buf)/2 && len(buf) < fullBuffer {
			buf = append(make([]byte, 0, 2*len(buf)), buf[:fill]...)
			buf = buf[:cap(buf)]
		}
	}
}

// deadline sets the time limit of the next Read. It is false when reading is
// over.
func (r *reader) deadline(ctx context.Context) bool {
	now := time.Now()
	if ctx.Err() != nil {
		if r.until.IsZero() {
			r.until = now.Add(drainMost)
		}
		_ = r.c.SetReadDeadline(now.Add(drainQuiet))
		return now.Before(r.until)
	}
	if idle := r.s.cfg.IdleTimeout; idle > 0 {
		_ = r.c.SetReadDeadline(now.Add(idle))
		if ctx.Err() != nil {
			_ = r.c.SetReadDeadline(now) // the stop's own deadline was undone
		}
	}
	return true
}

// stopping says whether err is nothing but our own stop.
func (r *reader) stopping(ctx context.Context, err error) bool {
	return ctx.Err() != nil && errors.Is(err, os.ErrDeadlineExceeded)
}

// cut finds the messages in buf and passes them on in batches. used is how much
// of buf is done with.
func (r *reader) cut(late context.Context, buf []byte, received time.Time, eof bool) (used int, ok bool) {
	for {
		r.frames = r.frames[:0]
		for len(r.frames) < maxBatch {
			fr, to, found := r.f.next(buf, used, eof)
			used = to
			if !found {
				break
			}
			if fr.end > fr.start {
				r.frames = append(r.frames, fr)
			}
		}
		if len(r.frames) == 0 {
			return used, true
		}
		if !r.out.send(late, r.batch(buf, received)) {
			return used, false
		}
	}
}

// batch copies the messages out of buf, all in one piece.
func (r *reader) batch(buf []byte, received time.Time) []normalize.Input {
	first, last := r.frames[0].start, r.frames[len(r.frames)-1].end
	own := append(make([]byte, 0, last-first), buf[first:last]...)
	batch := make([]normalize.Input, len(r.frames))
	for i, fr := range r.frames {
		raw := own[fr.start-first : fr.end-first : fr.end-first]
		batch[i] = r.s.input(raw, r.peer, received, fr.cut)
	}
	r.s.env.Counters.Received(len(batch))
	return batch
}

// guests counts the connections that are open, in all and by address.
type guests struct {
	most, mostEach int

	mu   sync.Mutex
	all  int
	each map[netip.Addr]int
}

func newGuests(most, mostEach int) *guests {
	return &guests{most: most, mostEach: mostEach, each: map[netip.Addr]int{}}
}

func (g *guests) enter(a netip.Addr) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.all >= g.most || g.each[a] >= g.mostEach {
		return false
	}
	g.all++
	g.each[a]++
	return true
}

func (g *guests) leave(a netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.all--
	if g.each[a]--; g.each[a] == 0 {
		delete(g.each, a)
	}
}

// peerAddress is an address without the ::ffff: that a socket for both families
// puts before IPv4.
func peerAddress(a net.Addr) netip.AddrPort {
	var ap netip.AddrPort
	switch a := a.(type) {
	case *net.TCPAddr:
		ap = a.AddrPort()
	case *net.UDPAddr:
		ap = a.AddrPort()
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
