// Package snmp takes in SNMP traps and informs: v1, v2c, and v3 with the
// user-based security model.
//
// What is kept of a message is its PDU as it came, in a v1 or v2c message with
// no community: neither communities nor v3's keys reach the log. Traps that the
// log cannot take at once wait in the kernel's buffer; what that drops is
// counted. An inform is answered when it is in the log, and not before.
//
// Messages of one address stay in order: a linkUp never overtakes its linkDown.
package snmp

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"signalbox/internal/normalize"
	"signalbox/internal/normalize/trap"
	"signalbox/internal/source"
)

const (
	maxBatch = 256
	// queueSize bounds what waits for one worker: datagrams of up to 64 kB.
	queueSize  = 128
	maxWorkers = 4
	// drainLimit is how long Run stays, when it must end, for what it has
	// read to be in the log.
	drainLimit = 3 * time.Second
)

// Source listens for traps and informs.
type Source struct {
	env    source.Env
	cfg    Config
	log    *slog.Logger
	names  *trap.Names // with the source's own MIB files; nil where it has none
	guard  *guard
	drops  atomic.Uint64
	warned warnings
}

// New makes the source. It reads secrets and MIB files, and opens nothing.
func New(env source.Env, cfg Config) (source.Source, error) {
	if env.Log == nil {
		env.Log = slog.New(slog.DiscardHandler)
	}
	g, err := newGuard(cfg, env.Name, time.Now)
	if err != nil {
		return nil, fmt.Errorf("source %s: %w", env.Name, err)
	}
	s := &Source{env: env, cfg: cfg, log: env.Log, guard: g}
	if cfg.MIBs != "" {
		names, problems, err := trap.LoadMIBs(os.DirFS(resolve(env.Dir, cfg.MIBs)))
		if err != nil {
			return nil, fmt.Errorf("source %s: mibs: %w", env.Name, err)
		}
		for _, p := range problems {
			s.log.Warn("mib file not used in full", "problem", p)
		}
		s.names = names
	}
	return s, nil
}

// datagram is what came in one UDP packet.
type datagram struct {
	bytes    []byte
	from     netip.AddrPort
	received time.Time
	sock     *net.UDPConn
}

// Run listens until ctx ends.
func (s *Source) Run(ctx context.Context, emit source.Emit) error {
	socks, err := s.listen(ctx)
	if err != nil {
		return err
	}
	defer closeAll(socks)
	r := &run{Source: s, emit: emit, answers: make(chan answer, 4*maxBatch), inFlight: map[string]*answer{}}
	queues := make([]chan datagram, min(runtime.GOMAXPROCS(0), maxWorkers))
	for i := range queues {
		queues[i] = make(chan datagram, queueSize)
	}

	readers, rctx := errgroup.WithContext(ctx)
	for _, sock := range socks {
		readers.Go(func() error { return s.read(rctx, sock, queues) })
	}
	stop := context.AfterFunc(rctx, func() {
		for _, sock := range socks {
			_ = sock.SetReadDeadline(time.Unix(1, 0)) // wakes the reader
		}
	})
	defer stop()

	// What has been read is handed over after ctx has ended too, for a while.
	drain, cancelDrain := context.WithCancel(context.WithoutCancel(ctx))
	defer cancelDrain()
	stopDrain := context.AfterFunc(rctx, func() { time.AfterFunc(drainLimit, cancelDrain) })
	defer stopDrain()

	var workers sync.WaitGroup
	for _, q := range queues {
		workers.Go(func() { r.work(drain, q) })
	}
	var responder sync.WaitGroup
	responder.Go(r.respond)

	err = readers.Wait()
	for _, q := range queues {
		close(q)
	}
	workers.Wait()
	r.waitForLog(drain)
	r.closeAnswers()
	responder.Wait()
	return err
}

func (s *Source) listen(ctx context.Context) (socks []*net.UDPConn, err error) {
	for _, addr := range s.cfg.Listen {
		var lc net.ListenConfig
		pc, err := lc.ListenPacket(ctx, "udp", addr)
		if err != nil {
			closeAll(socks)
			return nil, fmt.Errorf("source %s: listen: %w", s.env.Name, err)
		}
		sock := pc.(*net.UDPConn)
		socks = append(socks, sock)
		if err := prepare(sock, s.cfg.ReadBuffer); err != nil {
			s.log.WarnContext(ctx, "socket option refused", "address", addr, "err", err)
		}
		if s.env.Listening != nil {
			s.env.Listening("udp", sock.LocalAddr().String())
		}
	}
	if s.env.Health != nil {
		s.env.Health(nil)
	}
	return socks, nil
}

func closeAll(socks []*net.UDPConn) {
	for _, s := range socks {
		_ = s.Close() // nothing is buffered on our side
	}
}

// read moves datagrams from one socket to the workers. It waits when a worker
// is behind, so that the kernel's buffer fills, and then drops and counts.
func (s *Source) read(ctx context.Context, sock *net.UDPConn, queues []chan datagram) error {
	seed := maphash.MakeSeed()
	buf := make([]byte, 1<<16)
	oob := make([]byte, 128)
	var drops dropCount
	for {
		n, oobn, _, from, err := sock.ReadMsgUDPAddrPort(buf, oob)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return fmt.Errorf("source %s: read: %w", s.env.Name, err)
		}
		if more := drops.see(oob[:oobn]); more > 0 {
			s.env.Counters.KernelDrops(s.drops.Add(more))
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		d := datagram{bytes: append([]byte(nil), buf[:n]...), from: from, received: time.Now(), sock: sock}
		h := maphash.Comparable(seed, from.Addr())
		select {
		case queues[h%uint64(len(queues))] <- d:
		case <-ctx.Done():
			s.env.Counters.Received(1)
			s.env.Counters.Refused("unavailable", 1)
			return nil
		}
	}
}

// run is what one call of Run shares between its goroutines.
type run struct {
	*Source
	emit source.Emit

	mu       sync.Mutex
	inFlight map[string]*answer // informs handed over and not yet known to be logged
	pending  sync.WaitGroup     // calls of done that are due

	closeMu sync.RWMutex
	closed  bool
	answers chan answer
}

// work takes the datagrams of its addresses and hands them over in batches:
// whatever is there, so that one alone does not wait.
func (r *run) work(ctx context.Context, queue <-chan datagram) {
	for d := range queue {
		batch := make([]normalize.Input, 0, 8)
		answers := make([]*answer, 0, 8)
		for more := true; more; {
			if in, a, ok := r.take(d); ok {
				batch, answers = append(batch, in), append(answers, a)
			}
			if len(batch) == maxBatch {
				break
			}
			select {
			case d, more = <-queue:
			default:
				more = false
			}
		}
		if len(batch) > 0 {
			r.handOver(ctx, batch, answers)
		}
	}
}

func (r *run) handOver(ctx context.Context, batch []normalize.Input, answers []*answer) {
	r.pending.Add(1)
	err := r.emit(ctx, batch, func(receipts []source.Receipt) {
		defer r.pending.Done()
		for i, a := range answers {
			if a == nil {
				continue
			}
			latest := r.landed(a)
			if i < len(receipts) && receipts[i].Err == nil {
				r.answer(latest)
			}
		}
	})
	if err == nil {
		return
	}
	r.pending.Done()
	reason := "unavailable"
	if errors.Is(err, source.ErrBusy) {
		reason = "busy"
	}
	r.env.Counters.Refused(reason, len(batch))
	r.warn(reason, "traps refused", "err", err)
	for _, a := range answers {
		if a != nil {
			r.landed(a) // its sender asks again
		}
	}
}

// takeOff says whether an inform is new, or one that is still on its way to
// the log. A repetition takes the place of the one before: net-snmp gives it a
// new message id, and knows an answer by the last.
func (r *run) takeOff(a *answer) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if first := r.inFlight[a.key]; first != nil {
		*first = *a
		return false
	}
	r.inFlight[a.key] = a
	return true
}

// landed ends an inform's flight and returns what is to be answered.
func (r *run) landed(a *answer) answer {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.inFlight, a.key)
	return *a
}

// waitForLog waits for all calls of done, or for the end of ctx.
func (r *run) waitForLog(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		r.pending.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// warnings lets one message of a kind through every ten seconds.
type warnings struct {
	mu   sync.Mutex
	last map[string]time.Time
}

func (s *Source) warn(kind, msg string, args ...any) {
	w := &s.warned
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.last == nil {
		w.last = map[string]time.Time{}
	}
	now := time.Now()
	if last, ok := w.last[kind]; ok && now.Sub(last) < 10*time.Second {
		return
	}
	w.last[kind] = now
	s.log.Warn(msg, args...)
}
