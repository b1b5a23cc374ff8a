package syslog

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/net/ipv4"

	"signalbox/internal/normalize"
)

const (
	datagrams = 64       // read with one system call
	queueMost = 32 << 20 // bytes read and not passed on yet
	overhead  = 256      // what a message costs beside its bytes
	peersKept = 4096     // addresses whose text is kept
	// The smallest limit on a message leaves room to see that one is longer.
	largestDatagram = 65507
)

// udp is the UDP listener. One goroutine does nothing but empty the kernel's
// buffer, since what does not fit there is lost; a queue with a bound is
// between it and the one that passes on.
type udp struct {
	s     *Source
	conn  *net.UDPConn
	queue *queue
	peers map[netip.AddrPort]string
}

func (s *Source) listenUDP(ctx context.Context) (*udp, error) {
	var asked, got int
	lc := net.ListenConfig{Control: bufferControl(s.cfg.ReadBuffer, &got)}
	pc, err := lc.ListenPacket(ctx, "udp", s.cfg.UDP)
	if err != nil {
		return nil, fmt.Errorf("listen for syslog: %w", err)
	}
	if asked = s.cfg.ReadBuffer; got > 0 && got < asked {
		s.env.Log.Warn("the kernel gives less receive buffer than read_buffer asks for: bursts will be dropped; raise net.core.rmem_max",
			"read_buffer", asked, "given", got)
	}
	return &udp{s: s, conn: pc.(*net.UDPConn), queue: newQueue(queueMost), peers: map[netip.AddrPort]string{}}, nil
}

// run reads until ctx ends and what the kernel holds then is read too.
func (u *udp) run(ctx, late context.Context, out *outlet) {
	u.s.env.Listening("udp", u.conn.LocalAddr().String())
	stop := context.AfterFunc(ctx, func() { _ = u.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	defer u.conn.Close()

	var parts sync.WaitGroup
	parts.Go(func() {
		for batch := u.queue.take(); batch != nil; batch = u.queue.take() {
			u.deliver(late, out, batch)
		}
	})
	stopDrops := make(chan struct{})
	parts.Go(func() { u.watchDrops(stopDrops) })
	u.read(ctx)
	close(stopDrops)
	u.queue.close()
	parts.Wait()
}

// deliver passes a batch on. It waits for a log that is behind or away while
// the queue and then the kernel's buffer fill, but not for ever: old messages
// would keep out all of the new ones.
func (u *udp) deliver(late context.Context, out *outlet, batch []normalize.Input) {
	limit, cancel := context.WithTimeout(late, u.s.holdUDP)
	defer cancel()
	out.send(limit, batch)
}

func (u *udp) read(ctx context.Context) {
	pc := ipv4.NewPacketConn(u.conn)
	size := min(u.s.cfg.MaxBytes+1, largestDatagram)
	room := make([]byte, datagrams*size)
	msgs := make([]ipv4.Message, datagrams)
	for i := range msgs {
		msgs[i].Buffers = [][]byte{room[i*size : (i+1)*size : (i+1)*size]}
	}
	var until time.Time
	wait, quiet := firstWait, 0
	for {
		n, err := pc.ReadBatch(msgs, 0)
		if n > 0 {
			u.take(msgs[:n], time.Now())
		}
		switch {
		case ctx.Err() != nil:
			// What the kernel has is ours; then it is quiet, or enough.
			if until.IsZero() {
				until = time.Now().Add(drainMost)
			}
			if err != nil {
				quiet++
			}
			if quiet == drainReads || time.Now().After(until) || ended(err) {
				return
			}
			_ = u.conn.SetReadDeadline(time.Now().Add(drainQuiet))
		case err == nil:
			wait = firstWait
		case ended(err):
			return
		case !errors.Is(err, os.ErrDeadlineExceeded):
			u.s.env.Log.Error("syslog: read", "listener", "udp", "err", err)
			pause(ctx, &wait)
		}
	}
}

// take copies the datagrams out of the room that they were read to, all in one
// piece, and queues them.
func (u *udp) take(msgs []ipv4.Message, received time.Time) {
	total := 0
	for i := range msgs {
		total += min(msgs[i].N, u.s.cfg.MaxBytes)
	}
	own := make([]byte, 0, total)
	batch := make([]normalize.Input, 0, len(msgs))
	for i := range msgs {
		raw := msgs[i].Buffers[0][:min(msgs[i].N, u.s.cfg.MaxBytes)]
		if len(raw) == 0 {
			continue // an empty datagram is a probe, not a message
		}
		from := len(own)
		own = append(own, raw...)
		batch = append(batch, u.s.input(own[from:len(own):len(own)], u.peer(msgs[i].Addr), received, msgs[i].N > u.s.cfg.MaxBytes))
	}
	if len(batch) > 0 {
		u.s.env.Counters.Received(len(batch))
		u.queue.put(batch, total+overhead*len(batch))
	}
}

// peer is the text of an address, kept since writing it costs more than all
// else that is done with a datagram.
func (u *udp) peer(a net.Addr) string {
	ap := peerAddress(a)
	p, ok := u.peers[ap]
	if !ok {
		if len(u.peers) >= peersKept {
			clear(u.peers)
		}
		p = ap.String()
		u.peers[ap] = p
	}
	return p
}

// watchDrops asks the kernel how many datagrams it dropped on this socket, for
// want of room in its buffer or of memory.
func (u *udp) watchDrops(stop <-chan struct{}) {
	raw, err := u.conn.SyscallConn()
	if err != nil {
		return
	}
	var before uint32
	var total uint64
	look := func() {
		now, ok := drops(raw)
		if !ok || now == before {
			return
		}
		total += uint64(now - before) // the kernel's counter goes round
		before = now
		u.s.env.Counters.KernelDrops(total)
		u.s.env.Log.Warn("the kernel dropped syslog datagrams: raise read_buffer and net.core.rmem_max; with memory_errors, net.ipv4.udp_mem",
			"dropped", total, "memory_errors", memErrors())
	}
	t := time.NewTicker(u.s.pollDrops)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			look()
		case <-stop:
			look()
			return
		}
	}
}

// queue holds batches between reading and passing on, up to a number of bytes.
type queue struct {
	most int

	mu     sync.Mutex
	change sync.Cond
	items  []queued
	bytes  int
	closed bool
}

type queued struct {
	batch []normalize.Input
	bytes int
}

func newQueue(most int) *queue {
	q := &queue{most: most}
	q.change.L = &q.mu
	return q
}

// put waits for room. One batch alone always has room.
func (q *queue) put(batch []normalize.Input, bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.items) > 0 && q.bytes+bytes > q.most {
		q.change.Wait()
	}
	q.items = append(q.items, queued{batch, bytes})
	q.bytes += bytes
	q.change.Broadcast()
}

// take gives what is waiting, up to maxBatch messages. It waits for the first
// only; nil means that the queue is closed and empty.
func (q *queue) take() []normalize.Input {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.items) == 0 && !q.closed {
		q.change.Wait()
	}
	if len(q.items) == 0 {
		return nil
	}
	batch := q.items[0].batch
	n := 1
	for n < len(q.items) && len(batch)+len(q.items[n].batch) <= maxBatch {
		batch = append(batch, q.items[n].batch...)
		n++
	}
	for _, it := range q.items[:n] {
		q.bytes -= it.bytes
	}
	rest := copy(q.items, q.items[n:])
	clear(q.items[rest:])
	q.items = q.items[:rest]
	q.change.Broadcast()
	return batch
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.change.Broadcast()
}
