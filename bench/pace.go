package main

import (
	"context"
	"net"
	"runtime"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// pace calls send with how many are due, so that perSecond are sent for d. It
// sleeps by the kernel's clock: Go's timers are only good to a millisecond in a
// process that has nothing else to do. It gives what was sent.
func pace(ctx context.Context, perSecond int, d time.Duration, send func(n int) error) (sent int, took time.Duration, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	begun := time.Now()
	total := int(float64(perSecond) * d.Seconds())
	for sent < total && ctx.Err() == nil {
		due := min(total, int(float64(perSecond)*time.Since(begun).Seconds())) - sent
		if due > 0 {
			if err := send(due); err != nil {
				return sent, time.Since(begun), err
			}
			sent += due
		}
		ts := unix.NsecToTimespec(int64(100 * time.Microsecond))
		_ = unix.Nanosleep(&ts, nil)
	}
	return sent, time.Since(begun), ctx.Err()
}

// datagrams sends templates as datagrams, many with one system call.
type datagrams struct {
	conn net.Conn
	out  *ipv4.PacketConn
	msgs []ipv4.Message
	t    []*template
	next int
}

// dialUDP makes a sender of the kinds of message in turn, numbered from first.
func dialUDP(addr string, kinds []string, first int) (*datagrams, error) {
	conn, err := net.Dial("udp", addr)
	if err != nil {
		return nil, err
	}
	d := &datagrams{conn: conn, out: ipv4.NewPacketConn(conn.(*net.UDPConn)), next: first}
	for i := range 60 {
		t := newTemplate([]byte(kinds[i%len(kinds)]))
		d.t = append(d.t, t)
		d.msgs = append(d.msgs, ipv4.Message{Buffers: [][]byte{t.bytes}})
	}
	return d, nil
}

func (d *datagrams) send(n int) error {
	for n > 0 {
		k := min(n, len(d.msgs))
		for _, t := range d.t[:k] {
			d.next = t.next(d.next)
		}
		for done := 0; done < k; {
			m, err := d.out.WriteBatch(d.msgs[done:k], 0)
			if err != nil {
				return err
			}
			done += m
		}
		n -= k
	}
	return nil
}
