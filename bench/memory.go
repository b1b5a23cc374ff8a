package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"
)

// Memory is the resident set of the process, as the kernel counts it: the mapped
// parts of the binary are in it.

// one makes an item of what gives one row.
func one(f func(context.Context, *bench) (row, error)) func(context.Context, *bench) ([]row, error) {
	return func(ctx context.Context, b *bench) ([]row, error) {
		r, err := f(ctx, b)
		if r.what == "" {
			return nil, err
		}
		return []row{r}, err
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// idleMemory has the sources of the quick start.
func idleMemory(ctx context.Context, b *bench) (row, error) {
	s, err := b.start(ctx, "idle", site(fmt.Sprintf("  w: {kind: webhook, auth: {none: true}}\n  s: {kind: syslog, udp: %s, tcp: %s}\n  t: {kind: snmp, listen: %s, communities: [public]}\n",
		freePort("udp"), freePort("tcp"), freePort("udp"))))
	if err != nil {
		return row{}, err
	}
	defer s.close()
	if err := pause(ctx, b.seconds(15)); err != nil {
		return row{}, err
	}
	all, anon := s.rss()
	return row{what: "idle, sources of the quick start, after 15 s", figure: fmt.Sprintf("%s (%s without mapped files)", mb(all), mb(anon))}.
		want("≤ 80 MB", all <= 80e6), nil
}

// keysMemory fills the global window.
func keysMemory(ctx context.Context, b *bench) (row, error) {
	addr := freePort("tcp")
	files := site("  s: {kind: syslog, tcp: " + addr + "}\n")
	files["signalbox.yaml"] += "dedup: {within: 1h}\n"
	s, err := b.start(ctx, "keys", files)
	if err != nil {
		return row{}, err
	}
	defer s.close()
	n := b.pick(1_000_000, 20_000)
	if err := flood(ctx, addr, linkDown(500), 0, n, tcpConns); err != nil {
		return row{}, err
	}
	if err := s.awaitLogged(ctx, "s", uint64(n), time.Minute); err != nil {
		return row{}, err
	}
	if _, err := s.settle(ctx, time.Minute); err != nil {
		return row{}, err
	}
	peak, _ := s.rss()
	if err := pause(ctx, b.seconds(30)); err != nil {
		return row{}, err
	}
	all, anon := s.rss()
	_, err = s.audit(ctx)
	return row{what: fmt.Sprintf("with %s dedup keys, 30 s after the last", count(n)),
		figure: fmt.Sprintf("%s (%s without mapped files); at the last %s", mb(all), mb(anon), mb(peak))}.want("≤ 200 MB", all <= 200e6), err
}

// loadedMemory sends 20,000 events/s while engine, workers and books read the
// log, and the command line follows events and runs. One event in twenty has a
// run.
func loadedMemory(ctx context.Context, b *bench) (row, error) {
	addr := freePort("tcp")
	files := acting("  s: {kind: syslog, tcp: "+addr+"}\n", `{message: "${event.interface}", level: debug}`)
	s, err := b.start(ctx, "loaded", files)
	if err != nil {
		return row{}, err
	}
	defer s.close()
	events, err := s.follower("events")
	if err != nil {
		return row{}, err
	}
	defer events.kill()
	runs, err := s.follower("runs")
	if err != nil {
		return row{}, err
	}
	defer runs.kill()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return row{}, err
	}
	defer conn.Close()
	out := &lineSender{conn: conn, kinds: mixed()}
	err = await(ctx, 10*time.Second, "the followers see an event and a run", func() (bool, error) {
		return events.n.Load() > 0 && runs.n.Load() > 0, out.send(20) // one with a run
	})
	if err != nil {
		return row{}, err
	}
	before := out.n
	wait := s.profile(ctx, "memory-load", b.seconds(20))
	samples := make(chan []uint64)
	stop := make(chan struct{})
	go s.sample(stop, samples)
	cpu := s.cpu()
	sent, took, err := pace(ctx, 20_000, b.seconds(60), out.send)
	if err == nil {
		err = s.awaitLogged(ctx, "s", uint64(before+sent), time.Minute)
	}
	close(stop)
	rss := <-samples
	wait()
	if err != nil {
		return row{}, err
	}
	if _, err := s.settle(ctx, time.Minute); err != nil {
		return row{}, err
	}
	used := s.cpu() - cpu
	followed := "all"
	if err := await(ctx, 15*time.Second, "followers", func() (bool, error) { return events.n.Load() >= int64(before+sent), nil }); err != nil {
		followed = count(events.n.Load() - int64(before))
	}
	_, err = s.audit(ctx)
	most := slices.Max(rss)
	slices.Sort(rss)
	return row{what: fmt.Sprintf("at %s for %.0f s, followed", rate(perSecond(sent, took), "events"), took.Seconds()), cpu: each(used, sent),
		figure: fmt.Sprintf("most %s, median %s; events --follow got %s of %s, runs --follow %s lines", mb(most), mb(rss[len(rss)/2]), followed, count(sent), count(runs.n.Load()))}.
		want("≤ 400 MB", most <= 400e6), err
}

// mixed is an interface_down and nineteen others, for each of 500 devices: runs
// of one device are done one after the other.
func mixed() []*template {
	var kinds []*template
	for _, down := range linkDown(500) {
		kinds = append(kinds, newTemplate([]byte(down+"\n")))
		for range 19 {
			kinds = append(kinds, newTemplate([]byte(lines[1]+"\n"))) // interface_up
		}
	}
	return kinds
}

type lineSender struct {
	conn  net.Conn
	kinds []*template
	n     int
	buf   []byte
}

func (l *lineSender) send(due int) error {
	l.buf = l.buf[:0]
	for range due {
		t := l.kinds[l.n%len(l.kinds)]
		t.next(l.n)
		l.n++
		l.buf = append(l.buf, t.bytes...)
	}
	_, err := l.conn.Write(l.buf)
	return err
}

// sample takes the resident memory four times a second.
func (s *server) sample(stop <-chan struct{}, out chan<- []uint64) {
	t := time.NewTicker(250 * time.Millisecond)
	defer t.Stop()
	var all []uint64
	for {
		rss, _ := s.rss()
		all = append(all, rss)
		select {
		case <-t.C:
		case <-stop:
			out <- all
			return
		}
	}
}

// follower is a command that follows, and how many lines it has printed.
type follower struct {
	process
	n atomic.Int64
}

func (s *server) follower(what string) (*follower, error) {
	f := &follower{}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	cmd := exec.Command(s.b.bin, what, "--follow", "--json", "--data", s.data)
	cmd.Stdout = w
	if err := f.run(cmd, filepath.Join(s.dir, what+".output")); err != nil {
		r.Close()
		return nil, err
	}
	go func() {
		defer r.Close()
		buf := make([]byte, 64<<10)
		for {
			n, err := r.Read(buf)
			f.n.Add(int64(bytes.Count(buf[:n], []byte{'\n'})))
			if err != nil {
				return
			}
		}
	}()
	return f, nil
}
