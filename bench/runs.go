package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// acting is a configuration whose rule sets off a run of one step for each
// interface_down.
func acting(sources, step string) map[string]string {
	files := site(sources)
	files["rules/site.yaml"] = "rules:\n  - name: note\n    on: interface_down\n    do:\n      - log: " + step + "\n"
	return files
}

// runs is the whole chain at full speed: TCP, mapping, log, decision, journal,
// action, journal. It is done when the books say that every run has ended.
func runs(ctx context.Context, b *bench) ([]row, error) {
	addr := freePort("tcp")
	s, err := b.start(ctx, "runs", acting("  s: {kind: syslog, tcp: "+addr+"}\n", `{message: "${event.interface}", level: debug}`))
	if err != nil {
		return nil, err
	}
	defer s.close()
	n := b.pick(400_000, 8000)
	wait := s.profile(ctx, "runs", b.seconds(10))
	begun, cpu := time.Now(), s.cpu()
	if err := flood(ctx, addr, linkDown(500), 0, n, tcpConns); err != nil {
		return nil, err
	}
	if err := s.awaitLogged(ctx, "s", uint64(n), 2*time.Minute); err != nil {
		return nil, err
	}
	logged := time.Since(begun)
	if l, err := s.settle(ctx, 90*time.Second); err != nil {
		v := perSecond(int(l.Log.Runs.Succeeded), time.Since(begun))
		return []row{row{what: "runs, of which not all ended in time", figure: rate(v, "runs")}.want("≥ 20,000/s", false)}, err
	}
	took, used := time.Since(begun), s.cpu()-cpu
	wait()
	l, err := s.audit(ctx)
	if err != nil {
		return nil, err
	}
	v := perSecond(n, took)
	return []row{
		row{what: "runs through the whole chain, log action, journalled", figure: rate(v, "runs"), cpu: each(used, n)}.want("≥ 20,000/s", v >= 20_000),
		{what: "the same, until all events were in the log", figure: rate(perSecond(n, logged), "events")},
		row{what: "runs that the ledger has as succeeded", figure: fmt.Sprintf("%s of %s", count(l.Log.Runs.Succeeded), count(n))}.want("all", int(l.Log.Runs.Succeeded) == n),
	}, nil
}

// latency is from the moment before a sender writes an event to the moment at
// which the action of its run starts. Both are read from this machine's clock:
// the sender keeps the first, by the number in the interface's name; the action
// log writes the second into its file, to the nanosecond, before it does
// anything else. The file's cost is in the figure of the events after it.
func latency(ctx context.Context, b *bench) ([]row, error) {
	var rows []row
	for _, source := range []string{"syslog over TCP", "webhooks"} {
		for _, rate := range []int{1000, 5000} {
			r, err := b.latency(ctx, source, rate)
			if err != nil {
				return rows, fmt.Errorf("%s at %d/s: %w", source, rate, err)
			}
			rows = append(rows, r)
		}
	}
	return rows, nil
}

func (b *bench) latency(ctx context.Context, source string, perSec int) (row, error) {
	addr := freePort("tcp")
	s, err := b.start(ctx, "latency", acting("  s: {kind: syslog, tcp: "+addr+"}\n  w: {kind: webhook, auth: {none: true}}\n",
		`{message: "${event.interface}", level: debug, file: actions.log}`))
	if err != nil {
		return row{}, err
	}
	defer s.close()
	d := b.seconds(8)
	sent := make([]atomic.Int64, perSec*int(d.Seconds()+2)) // Unix ns, by number
	send := b.sendLines
	if source == "webhooks" {
		send = b.sendWebhooks
		addr = s.http
	}
	wait := s.profile(ctx, fmt.Sprintf("latency-%s-%d", source[:6], perSec), d)
	cpu := s.cpu()
	n, attained, err := send(ctx, addr, perSec, d, sent)
	if err != nil {
		return row{}, err
	}
	if err := s.awaitStarts(ctx, n); err != nil {
		return row{}, err
	}
	used := s.cpu() - cpu
	wait()
	if _, err := s.audit(ctx); err != nil {
		return row{}, err
	}
	took, err := s.starts(sent, n/10)
	if err != nil {
		return row{}, err
	}
	p50, p99, most := percentile(took, 50), percentile(took, 99), took[len(took)-1]
	r := row{what: fmt.Sprintf("%s, %s events/s (attained %s)", source, count(perSec), count(attained)), cpu: each(used, n),
		figure: fmt.Sprintf("p50 %s, p99 %s, most %s", ms(p50), ms(p99), ms(most))}
	if perSec == 5000 {
		r = r.want("p99 ≤ 5 ms", p99 <= 5*time.Millisecond && attained > 0.98*5000)
	}
	return r, nil
}

// sendLines writes each line by itself, as a device does.
func (b *bench) sendLines(ctx context.Context, addr string, perSec int, d time.Duration, sent []atomic.Int64) (int, float64, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return 0, 0, err
	}
	defer conn.Close()
	var kinds []*template
	for _, l := range linkDown(500) {
		kinds = append(kinds, newTemplate([]byte(l+"\n")))
	}
	i := 0
	n, took, err := pace(ctx, perSec, d, func(due int) error {
		for range due {
			t := kinds[i%len(kinds)]
			t.next(i)
			sent[i].Store(time.Now().UnixNano())
			i++
			if _, err := conn.Write(t.bytes); err != nil {
				return err
			}
		}
		return nil
	})
	return n, perSecond(n, took), err
}

// sendWebhooks hands numbers to connections; each answers for one at a time.
func (b *bench) sendWebhooks(ctx context.Context, addr string, perSec int, d time.Duration, sent []atomic.Int64) (int, float64, error) {
	due := make(chan int, perSec)
	var wg sync.WaitGroup
	var failed atomic.Pointer[error]
	for range b.conns {
		c, err := dialHTTP(addr, "/webhook/w", len(webhookOf(0)))
		if err != nil {
			return 0, 0, err
		}
		wg.Go(func() {
			defer c.close()
			for i := range due {
				t := newTemplate([]byte(webhookOf(i)))
				t.next(i)
				sent[i].Store(time.Now().UnixNano())
				if err := c.post(t.bytes); err != nil {
					failed.Store(&err)
					return
				}
			}
		})
	}
	i := 0
	n, _, err := pace(ctx, perSec, d, func(k int) error {
		for range k {
			select {
			case due <- i:
			case <-ctx.Done():
				return ctx.Err()
			}
			i++
		}
		return nil
	})
	close(due)
	wg.Wait()
	if p := failed.Load(); p != nil && err == nil {
		err = *p
	}
	if n == 0 || err != nil {
		return n, 0, err
	}
	return n, perSecond(n, time.Duration(sent[n-1].Load()-sent[0].Load())), nil
}

// webhookOf is an event of one of 500 devices, always of the same length.
func webhookOf(i int) string {
	return fmt.Sprintf(`{"event_type":"interface_down","device":"sw-%03d","interface":"Eth`+slot+`/1"}`, i%500)
}

// awaitStarts waits until n runs have ended.
func (s *server) awaitStarts(ctx context.Context, n int) error {
	return await(ctx, time.Minute, "all runs have ended", func() (bool, error) {
		l, err := s.settle(ctx, time.Minute)
		return int(l.Log.Runs.Succeeded) >= n, err
	})
}

// starts reads when actions started, leaving out the first skip events, which
// find everything cold.
func (s *server) starts(sent []atomic.Int64, skip int) ([]time.Duration, error) {
	f, err := os.Open(filepath.Join(s.dir, "actions.log"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var took []time.Duration
	in := bufio.NewScanner(f)
	for in.Scan() {
		var line struct {
			Time    time.Time
			Message string
		}
		if err := json.Unmarshal(in.Bytes(), &line); err != nil {
			return nil, err
		}
		i := number(line.Message)
		if i < 0 || i >= len(sent) || sent[i].Load() == 0 {
			return nil, fmt.Errorf("an action for what nobody sent: %s", in.Text())
		}
		if i >= skip {
			took = append(took, time.Duration(line.Time.UnixNano()-sent[i].Load()))
		}
	}
	if len(took) == 0 {
		return nil, fmt.Errorf("no action started")
	}
	return took, in.Err()
}
