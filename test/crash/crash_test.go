// Package crash kills the real binary under load and checks its books.
package crash

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gosnmp/gosnmp"
	amqp "github.com/rabbitmq/amqp091-go"

	"signalbox/test/harness"
	"signalbox/test/rabbit"
)

var (
	crashes = flag.Int("crashes", 3, "how often the server is killed")
	seed    = flag.Uint64("seed", 0, "of the moments at which it is killed; 0 for a new one")
)

const configuration = `
http: {listen: HTTPADDR}
sources:
  w: {kind: webhook, auth: {none: true}}
  s: {kind: syslog, tcp: SYSLOGADDR}
  t: {kind: snmp, listen: SNMPADDR, allow_any_community: true}
%s
rules: rules/
dedup: {within: 1s}
log: {min_free: 64MiB}
`

// Every event about an interface has a run of three steps: one that may be
// repeated, one that may not and leaves a line behind, and one that emits.
const rules = `
rules:
  - name: note
    on: interface_down
    lock: none
    do:
      - log: {message: "${event.device} ${event.interface}", level: debug}
  - name: act
    on: bgp_neighbor_down
    do:
      - log: {message: "${event.data.neighbor}", level: debug}
      - exec: {command: [/bin/sh, -c, 'echo "$SIGNALBOX_RUN" >> EFFECTS']}
      - emit: {type: device_unreachable, device: "${event.device}", data: {reason: "${event.data.neighbor}"}}
`

// acked is what senders know to be safe.
type acked struct {
	mu      sync.Mutex
	ids     map[string]bool // events that a webhook's 202 named
	informs map[string]bool // interface names of answered informs
	amqp    map[string]bool // message ids that the broker has taken
	syslog  int
}

func TestCrash(t *testing.T) {
	if testing.Short() {
		t.Skip("crash tests are left out by -short")
	}
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", *seed)
	rng := rand.New(rand.NewPCG(*seed, 1))
	syslogAddr, snmpAddr := harness.FreePort(t, "tcp"), harness.FreePort(t, "udp")
	broker, queue := rabbit.URL(t), fmt.Sprintf("crash-%d", *seed)
	mq := ""
	if broker != "" {
		mq = fmt.Sprintf("  q: {kind: rabbitmq, url: %q, queue: %s}\n", broker, queue)
	} else {
		t.Log("no RabbitMQ on this machine: its part is left out")
	}
	s := harness.New(t, map[string]string{
		"signalbox.yaml": strings.NewReplacer("SYSLOGADDR", syslogAddr, "SNMPADDR", snmpAddr).Replace(fmt.Sprintf(configuration, mq)),
	})
	effects := filepath.Join(s.Dir, "effects")
	s.Write("rules/rules.yaml", strings.ReplaceAll(rules, "EFFECTS", effects))
	a := &acked{ids: map[string]bool{}, informs: map[string]bool{}, amqp: map[string]bool{}}

	for i := range *crashes {
		s.StartReady()
		ctx, stop := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		for j := range 4 {
			wg.Go(func() { a.webhooks(ctx, s, fmt.Sprintf("w%d-%d", i, j)) })
		}
		wg.Go(func() { a.lines(ctx, syslogAddr, fmt.Sprintf("s%d", i)) })
		wg.Go(func() { a.sendInforms(ctx, snmpAddr, fmt.Sprintf("t%d", i)) })
		if broker != "" {
			wg.Go(func() { a.publish(ctx, broker, queue, fmt.Sprintf("q%d", i)) })
		}
		timer := time.NewTimer(time.Duration(rng.IntN(400)+20) * time.Millisecond)
		<-timer.C
		s.Kill()
		stop()
		wg.Wait()
	}

	s.StartReady()
	if broker != "" {
		rabbit.WaitEmpty(t, broker, queue)
	}
	l := s.Settled(2 * time.Minute)
	t.Logf("%d crashes: acknowledged %d webhooks, %d informs, %d AMQP messages, sent %d syslog lines; log has %d events, %d runs, %d in doubt",
		*crashes, len(a.ids), len(a.informs), len(a.amqp), a.syslog, l.Log.Logged, l.Log.Runs.Started, l.Log.Runs.InDoubt)
	a.check(t, s)
	checkEffects(t, effects, l.Log.Runs.InDoubt)
}

// check holds what senders know against the log.
func (a *acked) check(t *testing.T, s *harness.Server) {
	t.Helper()
	inLog, ifaces, sender := map[string]int{}, map[string]int{}, map[string]int{}
	runs := map[string]int{}
	undecided := 0
	for _, e := range s.Events() {
		inLog[string(e.Event.ID)]++
		ifaces[e.Event.Interface]++
		sender[e.Event.SenderID]++
		for _, r := range e.Runs {
			runs[r]++
		}
		switch {
		case e.Status == "pending":
			undecided++
		case e.Status == "decided" && len(e.Runs) != 1:
			t.Errorf("event %s has runs %v, want one", e.Event.ID, e.Runs)
		}
	}
	if undecided > 0 {
		t.Errorf("%d events are undecided", undecided)
	}
	for id := range a.ids {
		if inLog[id] != 1 {
			t.Errorf("event %s was acknowledged and is %d times in the log", id, inLog[id])
		}
	}
	for name := range a.informs {
		if ifaces[name] == 0 {
			t.Errorf("inform %s was answered and is not in the log", name)
		}
	}
	for id := range a.amqp {
		if sender[id] == 0 {
			t.Errorf("message %s was taken off the queue and is not in the log", id)
		}
	}
	for id, n := range runs {
		if n != 1 {
			t.Errorf("run %s belongs to %d events", id, n)
		}
	}
	if len(a.ids) == 0 || len(a.informs) == 0 {
		t.Error("nothing was acknowledged: the test has tested nothing")
	}
}

// checkEffects: a step that may not be repeated left its line at most once.
func checkEffects(t *testing.T, path string, inDoubt uint64) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for run := range strings.Lines(string(b)) {
		if seen[run] {
			t.Errorf("the step of run %s was done twice", strings.TrimSpace(run))
		}
		seen[run] = true
	}
	t.Logf("%d effects, %d runs in doubt", len(seen), inDoubt)
}

func (a *acked) webhooks(ctx context.Context, s *harness.Server, who string) {
	client := &http.Client{Timeout: 5 * time.Second}
	for n := 0; ctx.Err() == nil; n++ {
		body := fmt.Sprintf(`{"event_type":"interface_down","device":"sw-%s","interface":"Eth%d/1"}`, who, n)
		if n%20 == 0 {
			body = fmt.Sprintf(`{"event_type":"bgp_neighbor_down","device":"sw-%s","neighbor":"192.0.2.%d","peer_as":%d}`, who, n%250, 64512+n%1000)
		}
		status, ids, err := s.Post(client, "w", body)
		if err != nil || status != http.StatusAccepted {
			continue
		}
		a.mu.Lock()
		for _, id := range ids {
			a.ids[id] = true
		}
		a.mu.Unlock()
	}
}

func (a *acked) lines(ctx context.Context, addr, who string) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	defer conn.Close()
	var b strings.Builder
	for n := 0; ctx.Err() == nil; {
		b.Reset()
		for range 100 {
			// One in twenty sets a rule off; the others are what networks chatter.
			text := "%SYS-6-LOGGINGHOST_STARTSTOP: Logging to host 192.0.2.9 port 514 started"
			if n%20 == 0 {
				text = fmt.Sprintf("%%LINK-3-UPDOWN: Interface GigabitEthernet%d/0, changed state to down", n)
			}
			fmt.Fprintf(&b, "<187>%d: sw-%s: *Nov 24 10:00:00.000: %s\n", n, who, text)
			n++
		}
		if _, err := conn.Write([]byte(b.String())); err != nil {
			return
		}
		a.mu.Lock()
		a.syslog += 100
		a.mu.Unlock()
	}
}

func (a *acked) sendInforms(ctx context.Context, addr, who string) {
	host, port, _ := net.SplitHostPort(addr)
	var p int
	_, _ = fmt.Sscan(port, &p)
	g := &gosnmp.GoSNMP{Target: host, Port: uint16(p), Version: gosnmp.Version2c, Community: "public", Timeout: 300 * time.Millisecond, Retries: 0}
	if err := g.Connect(); err != nil {
		return
	}
	defer g.Conn.Close()
	for n := 0; ctx.Err() == nil; n++ {
		name := fmt.Sprintf("%s-if%d", who, n)
		_, err := g.SendTrap(gosnmp.SnmpTrap{IsInform: true, Variables: []gosnmp.SnmpPDU{
			{Name: ".1.3.6.1.6.3.1.1.4.1.0", Type: gosnmp.ObjectIdentifier, Value: ".1.3.6.1.6.3.1.1.5.3"},
			{Name: ".1.3.6.1.2.1.2.2.1.1.7", Type: gosnmp.Integer, Value: 7},
			{Name: ".1.3.6.1.2.1.2.2.1.2.7", Type: gosnmp.OctetString, Value: name},
		}})
		if err == nil {
			a.mu.Lock()
			a.informs[name] = true
			a.mu.Unlock()
		}
	}
}

func (a *acked) publish(ctx context.Context, url, queue, who string) {
	conn, err := amqp.Dial(url)
	if err != nil {
		return
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil || ch.Confirm(false) != nil {
		return
	}
	for n := 0; ctx.Err() == nil; n++ {
		id := fmt.Sprintf("%s-%d", who, n)
		conf, err := ch.PublishWithDeferredConfirmWithContext(ctx, "", queue, false, false, amqp.Publishing{
			MessageId: id, DeliveryMode: amqp.Persistent, ContentType: "application/json",
			Body: fmt.Appendf(nil, `{"event_type":"interface_down","device":"sw-%s","interface":"Eth%d/1"}`, who, n)})
		if err != nil {
			return
		}
		if ok, err := conf.WaitContext(ctx); err == nil && ok {
			a.mu.Lock()
			a.amqp[id] = true
			a.mu.Unlock()
		}
	}
}
