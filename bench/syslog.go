package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

// lines are what devices send: ten, all of which mappings know, and no two the
// same, so that none is dropped as a duplicate before it is judged.
var lines = func() []string {
	link := "<187>" + "4711: sw-%03d: *Nov 24 10:00:00.000: %%LINK-3-UPDOWN: Interface GigabitEthernet" + slot + "/0, changed state to down"
	proto := "<189>" + "4711: sw-%03d: *Nov 24 10:00:00.000: %%LINEPROTO-5-UPDOWN: Line protocol on Interface GigabitEthernet" + slot + "/0, changed state to up"
	bgp := "<189>" + "4711: sw-%03d: *Nov 24 10:00:00.000: %%BGP-5-ADJCHANGE: neighbor 192.0.2.7 vpn vrf v" + slot + " Down Hold timer expired"
	login := "<189>" + "4711: sw-%03d: *Nov 24 10:00:00.000: %%SYS-5-CONFIG_I: Configured from console by u" + slot + " on vty0 (192.0.2.9)"
	var out []string
	for i, f := range []string{link, proto, link, login, proto, link, bgp, proto, link, login} {
		out = append(out, fmt.Sprintf(f, i))
	}
	return out
}()

// linkDown is the line that sets off runs where a rule wants it: one for each
// of 500 devices.
func linkDown(devices int) []string {
	out := make([]string, devices)
	for i := range out {
		out[i] = fmt.Sprintf("<187>4711: sw-%03d: *Nov 24 10:00:00.000: %%LINK-3-UPDOWN: Interface GigabitEthernet"+slot+"/0, changed state to down", i)
	}
	return out
}

// flood sends n lines over conns TCP connections as fast as they are taken.
func flood(ctx context.Context, addr string, kinds []string, first, n, conns int) error {
	var wg sync.WaitGroup
	errs := make([]error, conns)
	share := n / conns
	for i := range conns {
		mine := share
		if i == conns-1 {
			mine = n - i*share
		}
		wg.Go(func() { errs[i] = floodOne(ctx, addr, kinds, first+i*share, mine) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func floodOne(ctx context.Context, addr string, kinds []string, next, n int) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	// Messages that are sent one write each would measure the sender.
	const many = 500
	chunk := chunkOf(kinds, many)
	for ; n > 0; n -= many {
		if n < many {
			chunk = chunkOf(kinds, n)
		}
		next = chunk.next(next)
		if _, err := conn.Write(chunk.bytes); err != nil {
			return err
		}
	}
	return nil
}

// sizeOf is how many bytes flood sends.
func sizeOf(kinds []string, n, conns int) int {
	share, size := n/conns, 0
	for i := range conns {
		if i == conns-1 {
			share = n - i*share
		}
		for j := range share {
			size += len(kinds[j%500%len(kinds)]) + 1
		}
	}
	return size
}

func chunkOf(kinds []string, n int) *template {
	var text strings.Builder
	for i := range n {
		text.WriteString(kinds[i%len(kinds)])
		text.WriteByte('\n')
	}
	return newTemplate([]byte(text.String()))
}

const tcpConns = 4

func syslogTCP(ctx context.Context, b *bench) ([]row, error) {
	n := b.pick(1_500_000, 40_000)
	rows, mine, err := signalboxTCP(ctx, b, n)
	if err != nil {
		return rows, err
	}
	for _, durable := range []bool{false, true} {
		m := n
		if durable {
			m = b.pick(10_000, 1000)
		}
		r, v, err := rsyslogTCP(ctx, b, durable, m)
		if err != nil {
			return rows, err
		}
		name := "rsyslog from memory"
		if durable {
			name = "rsyslog made durable"
		}
		rows[0].beside += times(mine/v, name) + "; "
		rows = append(rows, r)
	}
	rows[0].beside = strings.TrimSuffix(rows[0].beside, "; ")
	return rows, nil
}

func signalboxTCP(ctx context.Context, b *bench, n int) ([]row, float64, error) {
	addr := freePort("tcp")
	s, err := b.start(ctx, "tcp", site("  s: {kind: syslog, tcp: "+addr+"}\n"))
	if err != nil {
		return nil, 0, err
	}
	defer s.close()
	wait := s.profile(ctx, "tcp", b.seconds(6))
	begun, cpu := time.Now(), s.cpu()
	if err := flood(ctx, addr, lines, 0, n, tcpConns); err != nil {
		return nil, 0, err
	}
	if err := s.awaitLogged(ctx, "s", uint64(n), 2*time.Minute); err != nil {
		return nil, 0, err
	}
	took := time.Since(begun)
	wait()
	if _, err := s.settle(ctx, time.Minute); err != nil {
		return nil, 0, err
	}
	decided := time.Since(begun)
	used := s.cpu() - cpu
	l, err := s.audit(ctx)
	if err != nil {
		return nil, 0, err
	}
	mapped, all, err := s.mapped(ctx)
	if err != nil {
		return nil, 0, err
	}
	v := perSecond(n, took)
	return []row{
		row{what: "Signalbox: parsed, mapped and durable", figure: rate(v, "messages"), cpu: each(used, n)}.want("≥ 200,000/s", v >= 200_000),
		{what: "the same, until all are decided too", figure: rate(perSecond(n, decided), "messages")},
		row{what: "of those sent: in the log / mapped / duplicates", figure: fmt.Sprintf("%s / %s / %s of %s", count(l.Log.Logged), count(mapped), count(l.Log.Duplicate), count(n))}.
			want("all", int(l.Log.Logged) == n && mapped == n && all == n),
	}, v, nil
}

func rsyslogTCP(ctx context.Context, b *bench, durable bool, n int) (row, float64, error) {
	rs, err := b.rsyslog(ctx, durable)
	if err != nil {
		return row{}, 0, err
	}
	defer rs.close()
	begun, cpu := time.Now(), rs.cpu()
	if err := flood(ctx, rs.tcp, lines, 0, n, tcpConns); err != nil {
		return row{}, 0, err
	}
	if err := rs.awaitBytes(ctx, int64(sizeOf(lines, n, tcpConns)), time.Minute); err != nil {
		return row{}, 0, err
	}
	v := perSecond(n, time.Since(begun))
	return row{what: rs.what() + ", to a file", figure: rate(v, "messages"), cpu: each(rs.cpu()-cpu, n)}, v, nil
}

// ladder sends datagrams at one rate after the other and says what was lost.
type ladder struct {
	rates []int
	d     time.Duration
	unit  string
	addr  string
	kinds []string
	goal  int // the rate that must pass without loss; 0 for none
}

func (l ladder) climb(ctx context.Context, s *server, source string) (rows []row, best int, err error) {
	out, err := dialUDP(l.addr, l.kinds, 0)
	if err != nil {
		return nil, 0, err
	}
	defer out.conn.Close()
	for _, want := range l.rates {
		before, err := s.source(ctx, source)
		if err != nil {
			return rows, best, err
		}
		cpu := s.cpu()
		wait := func() {}
		if want == l.goal || l.goal == 0 && want == l.rates[len(l.rates)-1] {
			wait = s.profile(ctx, source, l.d)
		}
		sent, took, err := pace(ctx, want, l.d, out.send)
		if err != nil {
			return rows, best, err
		}
		logged, dropped, err := s.arrived(ctx, source, before.Logged+before.Rejected, uint64(sent))
		if err != nil {
			return rows, best, err
		}
		wait()
		if _, err := s.settle(ctx, time.Minute); err != nil {
			return rows, best, err
		}
		r := row{what: fmt.Sprintf("Signalbox, %s sent", rate(perSecond(sent, took), l.unit)), cpu: each(s.cpu()-cpu, sent),
			figure: fmt.Sprintf("%s of %s logged; the kernel dropped %s", count(logged), count(sent), count(dropped-before.KernelDrops))}
		if want == l.goal {
			r = r.want(fmt.Sprintf("%s/s with no drop", count(want)), int(logged) == sent && perSecond(sent, took) > 0.98*float64(want))
		}
		if int(logged) == sent {
			best = max(best, int(perSecond(sent, took)))
		}
		rows = append(rows, r)
	}
	_, err = s.audit(ctx)
	return rows, best, err
}

// arrived waits until all that was sent is logged, or nothing more comes.
func (s *server) arrived(ctx context.Context, source string, before, sent uint64) (logged, dropped uint64, err error) {
	last, still := uint64(0), time.Now()
	err = await(ctx, 30*time.Second, "all is logged or lost", func() (bool, error) {
		st, err := s.source(ctx, source)
		logged, dropped = st.Logged+st.Rejected-before, st.KernelDrops
		if logged != last {
			last, still = logged, time.Now()
		}
		return logged >= sent || time.Since(still) > 2*time.Second && st.InFlight == 0, err
	})
	return logged, dropped, err
}

func syslogUDP(ctx context.Context, b *bench) ([]row, error) {
	addr := freePort("udp")
	s, err := b.start(ctx, "udp", site("  s: {kind: syslog, udp: "+addr+"}\n"))
	if err != nil {
		return nil, err
	}
	defer s.close()
	l := ladder{rates: []int{50_000, 100_000, 150_000, 200_000}, d: b.seconds(4), unit: "messages", addr: addr, kinds: lines, goal: 100_000}
	rows, best, err := l.climb(ctx, s, "s")
	rows = append(rows, row{what: "Signalbox, the highest of them with no drop", figure: rate(float64(best), "messages")})
	if err != nil {
		return rows, err
	}
	for _, p := range []struct {
		durable bool
		rate    int
	}{{false, 100_000}, {true, 5000}} {
		r, err := rsyslogUDP(ctx, b, p.durable, p.rate)
		if err != nil {
			return rows, err
		}
		rows = append(rows, r)
	}
	return rows, nil
}

func rsyslogUDP(ctx context.Context, b *bench, durable bool, perSec int) (row, error) {
	rs, err := b.rsyslog(ctx, durable)
	if err != nil {
		return row{}, err
	}
	defer rs.close()
	out, err := dialUDP(rs.udp, lines, 0)
	if err != nil {
		return row{}, err
	}
	defer out.conn.Close()
	cpu := rs.cpu()
	sent, took, err := pace(ctx, perSec, b.seconds(4), out.send)
	if err != nil {
		return row{}, err
	}
	written, err := rs.awaitLines(ctx, sent, 20*time.Second)
	return row{what: fmt.Sprintf("%s, %s sent", rs.what(), rate(perSecond(sent, took), "messages")), cpu: each(rs.cpu()-cpu, sent),
		figure: fmt.Sprintf("%s of %s in the file", count(written), count(sent))}, err
}
