package rabbitmq

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	amqp "github.com/rabbitmq/amqp091-go"

	"signalbox/internal/normalize"
	"signalbox/internal/secret"
	"signalbox/internal/source"
	"signalbox/internal/source/sourcetest"
)

// sender is a publisher that repeats what the broker does not confirm.
type sender struct {
	t     *testing.T
	url   string
	queue string
	proxy *proxy
	admin *admin
}

func (p *sender) Send(payload []byte) {
	// The queue is there once the source has connected.
	sourcetest.Wait(p.t, 20*time.Second, "the message is published", func() bool {
		return p.admin.tryPublish("in."+p.queue, "net.events", amqp.Publishing{Body: payload, ContentType: "application/json"}) == nil
	})
}

func (p *sender) Acked() int { return p.proxy.total() }
func (p *sender) Close()     { p.admin.close(); p.proxy.close() }

func TestSuite(t *testing.T) {
	u := broker(t)
	var line *proxy
	sourcetest.Run(t, sourcetest.Harness{
		Start: func(t *testing.T, env source.Env) (source.Source, sourcetest.Peer) {
			q := queueName(t)
			a := newAdmin(t, u)
			// The test publishes from the start: queue, exchange and binding
			// are made by the source, and exist here before it.
			a.queue(q, nil)
			if err := a.ch.ExchangeDeclare("in."+q, "topic", true, true, false, false, nil); err != nil {
				t.Fatal(err)
			}
			if err := a.ch.QueueBind(q, "net.#", "in."+q, false, nil); err != nil {
				t.Fatal(err)
			}
			p, through := newProxy(t, u)
			line = p
			cfg := DefaultConfig()
			cfg.URL, cfg.Queue = secret.New(through), q
			cfg.Bindings = []Binding{{Exchange: "in." + q, RoutingKey: "net.#"}}
			src, err := New(env, cfg)
			if err != nil {
				t.Fatal(err)
			}
			return src, &sender{t: t, url: u, queue: q, proxy: p, admin: a}
		},
		Bad:  []byte(`{"device":`),
		Away: func(*testing.T) { line.cut(true) },
		Back: func(*testing.T) { line.back() },
		Slow: 20 * time.Second,
	})
}

// rig is a source on a queue of its own.
type rig struct {
	*sourcetest.Fixture
	*admin
	queue string
}

type noPeer struct{}

func (noPeer) Send([]byte) {}
func (noPeer) Acked() int  { return 0 }
func (noPeer) Close()      {}

func newRig(t *testing.T, u string, change func(*Config)) *rig {
	t.Helper()
	r := &rig{queue: queueName(t), admin: newAdmin(t, u)}
	cfg := DefaultConfig()
	cfg.URL, cfg.Queue = secret.New(u), r.queue
	change(&cfg)
	r.Fixture = start(t, cfg)
	sourcetest.Wait(t, 10*time.Second, "the source consumes", func() bool { return r.Health.Told() > 0 })
	return r
}

func start(t *testing.T, cfg Config) *sourcetest.Fixture {
	t.Helper()
	return sourcetest.Harness{Start: func(t *testing.T, env source.Env) (source.Source, sourcetest.Peer) {
		if err := cfg.Validate(); err != nil {
			t.Fatal(err)
		}
		src, err := New(env, cfg)
		if err != nil {
			t.Fatal(err)
		}
		return src, noPeer{}
	}}.StartFixture(t)
}

func TestMessages(t *testing.T) {
	r := newRig(t, broker(t), func(c *Config) {
		c.Mapping, c.Headers = "netbox", []string{"site"}
		c.Bindings = []Binding{{Exchange: "x." + c.Queue, RoutingKey: "net.*"}}
	})
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	const ce = `{"specversion":"1.0","id":"7","source":"/net","type":"x","traceparent":"` + trace + `"}`
	x := "x." + r.queue
	meta := func(more ...string) map[string]string {
		m := map[string]string{"exchange": x, "routing_key": "net.a"}
		for i := 0; i < len(more); i += 2 {
			m[more[i]] = more[i+1]
		}
		return m
	}
	tests := []struct {
		name string
		pub  amqp.Publishing
		want []normalize.Input
	}{
		{"plain", amqp.Publishing{Body: []byte(`{"a":1}`), MessageId: "m1", Headers: amqp.Table{"site": "lon", "traceparent": trace, "other": "x"}},
			[]normalize.Input{{Raw: []byte(`{"a":1}`), SenderID: "m1", TraceParent: trace, Meta: meta("site", "lon")}}},
		{"array", amqp.Publishing{Body: []byte(`[{"a":1}, {"a":2}]`), MessageId: "m2", Type: "t", AppId: "nb"},
			[]normalize.Input{
				{Raw: []byte(`{"a":1}`), SenderID: "m2/0", Meta: meta("type", "t", "app_id", "nb")},
				{Raw: []byte(`{"a":2}`), SenderID: "m2/1", Meta: meta("type", "t", "app_id", "nb")},
			}},
		{"structured", amqp.Publishing{Body: []byte(ce), ContentType: "application/cloudevents+json; charset=utf-8"},
			[]normalize.Input{{Raw: []byte(ce), SenderID: "/net 7", TraceParent: trace, Meta: meta()}}},
		{"batch", amqp.Publishing{Body: []byte("[" + ce + "]"), ContentType: "application/cloudevents-batch+json"},
			[]normalize.Input{{Raw: []byte(ce), SenderID: "/net 7", TraceParent: trace, Meta: meta()}}},
		{"binary", amqp.Publishing{Body: []byte(`{"mtu":9000}`), ContentType: "application/json", Headers: amqp.Table{
			"cloudEvents:specversion": "1.0", "cloudEvents:id": "9", "cloudEvents:source": "/net", "cloudEvents:type": "x",
			"cloudEvents:time": time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), "cloudEvents:count": int32(3)}},
			[]normalize.Input{{Raw: []byte(`{"count":"3","datacontenttype":"application/json","id":"9","source":"/net","specversion":"1.0","time":"2026-01-02T03:04:05Z","type":"x","data":{"mtu":9000}}`),
				SenderID: "/net 9", Meta: meta()}}},
		{"binary, underscores", amqp.Publishing{ContentType: "application/json", Headers: amqp.Table{
			"cloudEvents_specversion": "1.0", "cloudEvents_id": "9", "cloudEvents_source": "/net", "cloudEvents_type": "x"}},
			[]normalize.Input{{Raw: []byte(`{"datacontenttype":"application/json","id":"9","source":"/net","specversion":"1.0","type":"x"}`),
				SenderID: "/net 9", Meta: meta()}}},
		{"an empty array is nothing", amqp.Publishing{Body: []byte("[]")}, nil},
		{"not JSON, for the log to reject", amqp.Publishing{Body: []byte("link down")},
			[]normalize.Input{{Raw: []byte("link down"), Meta: meta()}}},
	}
	seen := 0
	for _, tt := range tests {
		r.publish(x, "net.a", tt.pub)
		sourcetest.Wait(t, 5*time.Second, tt.name+" is logged", func() bool { return len(r.Log.Durable()) >= seen+len(tt.want) })
		got := r.Log.Durable()[seen:]
		seen += len(got)
		for i := range got {
			if got[i].Received.IsZero() || got[i].Peer == "" {
				t.Errorf("%s: no time or peer: %+v", tt.name, got[i])
			}
			got[i].Received, got[i].Peer = time.Time{}, ""
			tt.want[i].Source, tt.want[i].Form, tt.want[i].Mapping = "suite", normalize.Payload, "netbox"
		}
		if d := cmp.Diff(tt.want, append([]normalize.Input(nil), got...)); d != "" {
			t.Errorf("%s: %s", tt.name, d)
		}
	}
	r.Stop()
	if n := r.depth(r.queue); n != 0 {
		t.Errorf("%d messages are left in the queue", n)
	}
}

func TestDeadLetters(t *testing.T) {
	for _, kind := range []string{"classic", "quorum"} {
		t.Run(kind, func(t *testing.T) {
			r := newRig(t, broker(t), func(c *Config) { c.Type, c.MaxEvent, c.MaxBody = kind, 1000, 2000 })
			r.Log.Reject(func(in normalize.Input) string {
				if bytes.Contains(in.Raw, []byte("bad")) || !json.Valid(in.Raw) {
					return "data.interface: a string was expected"
				}
				return ""
			})
			long := strings.Repeat("x", 3000)
			for i := range 50 { // good ones between
				r.publish("", r.queue, amqp.Publishing{Body: sourcetest.DefaultPayload(sourcetest.Marker(i))})
				switch i {
				case 10:
					r.publish("", r.queue, amqp.Publishing{Body: []byte(`{"bad":1}`), MessageId: "rejected", UserId: "", Expiration: "60000", Headers: amqp.Table{"k": "v"}})
				case 20:
					r.publish("", r.queue, amqp.Publishing{Body: []byte(`[{},{"bad":2}]`), MessageId: "one of two"})
				case 30:
					r.publish("", r.queue, amqp.Publishing{Body: []byte(long), MessageId: "long"})
				case 40:
					r.publish("", r.queue, amqp.Publishing{Body: []byte(`{"device":`), MessageId: "broken"})
				}
			}
			sourcetest.Wait(t, 10*time.Second, "the good ones are logged", func() bool { return len(r.Log.Durable()) >= 54 })
			dead := r.queue + ".dead-letter"
			want := map[string]string{
				"rejected": "data.interface: a string", "one of two": "event 2 of 2: data.interface", "long": "3000 bytes", "broken": "not valid JSON",
			}
			got := map[string]amqp.Delivery{}
			sourcetest.Wait(t, 10*time.Second, "4 dead letters are there", func() bool {
				if d, ok := r.get(dead); ok {
					got[d.MessageId] = d
				}
				return len(got) == 4
			})
			for id, reason := range want {
				d := got[id]
				if text, _ := d.Headers[headerReason].(string); !strings.Contains(text, reason) {
					t.Errorf("%s: reason %q, want %q", id, text, reason)
				}
				if d.Headers[headerQueue] != r.queue || d.Headers[headerSource] != "suite" || d.DeliveryMode != amqp.Persistent || d.Expiration != "" {
					t.Errorf("%s: %+v", id, d)
				}
			}
			if d := got["rejected"]; string(d.Body) != `{"bad":1}` || d.Headers["k"] != "v" || d.Headers[headerEvent] == nil {
				t.Errorf("the copy is not the message: %+v", d)
			}
			r.Stop()
			if n := r.depth(r.queue); n != 0 {
				t.Errorf("%d messages are left in the queue", n)
			}
			received, refused := r.Counters.Totals()
			if received != 55 || refused != 1 {
				t.Errorf("received %d, refused %d", received, refused)
			}
		})
	}
}

// Without an exchange of ours, and with one that nobody reads, the message goes
// where the queue's own arguments say.
func TestRejectedToTheQueuesOwnExchange(t *testing.T) {
	u := broker(t)
	for _, exchange := range []string{"", "amq.headers", "no.such.exchange"} {
		t.Run(exchange, func(t *testing.T) {
			a := newAdmin(t, u)
			q := queueName(t)
			a.queue(q+".own", nil)
			a.queue(q, amqp.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": q + ".own"})
			cfg := DefaultConfig()
			cfg.URL, cfg.Queue, cfg.Declare, cfg.DeadLetter.Exchange = secret.New(u), q, false, exchange
			if exchange == "no.such.exchange" { // it is deleted while we run
				if err := a.ch.ExchangeDeclare(exchange, "fanout", false, false, false, false, nil); err != nil {
					t.Fatal(err)
				}
			}
			f := start(t, cfg)
			sourcetest.Wait(t, 10*time.Second, "the source consumes", func() bool { return f.Health.Told() > 0 && f.Health.Err() == nil })
			if exchange == "no.such.exchange" {
				if err := a.ch.ExchangeDelete(exchange, false, false); err != nil {
					t.Fatal(err)
				}
			}
			f.Log.Reject(func(normalize.Input) string { return "no" })
			for range 3 {
				a.publish("", q, amqp.Publishing{Body: []byte(`{"bad":1}`)})
			}
			sourcetest.Wait(t, 10*time.Second, "the messages are rejected", func() bool { return a.depth(q+".own") == 3 })
		})
	}
}

func TestPassive(t *testing.T) {
	u := broker(t)
	a := newAdmin(t, u)
	q := queueName(t)
	cfg := DefaultConfig()
	cfg.URL, cfg.Queue, cfg.Declare = secret.New(u), q, false
	f := start(t, cfg)
	sourcetest.Wait(t, 10*time.Second, "it says that the queue is missing", func() bool { return f.Health.Err() != nil })
	if text := f.Health.Err().Error(); !strings.Contains(text, q) || !strings.Contains(text, "declare") {
		t.Errorf("it says %q", text)
	}
	a.queue(q, amqp.Table{"x-queue-type": "quorum"})
	a.publish("", q, amqp.Publishing{Body: []byte("{}")})
	sourcetest.Wait(t, 10*time.Second, "the message is logged once the queue is there", func() bool { return len(f.Log.Durable()) == 1 })
	sourcetest.Wait(t, 10*time.Second, "it is well", func() bool { return f.Health.Err() == nil })
	f.Stop()
	if _, err := a.ch.QueueDeclarePassive(q+deadSuffix, true, false, false, false, nil); !isCode(err, amqp.NotFound) {
		t.Errorf("it declared a dead-letter queue: %v", err)
	}
}

// A queue that exists is taken as it is.
func TestExistingQueue(t *testing.T) {
	r := newRig(t, broker(t), func(c *Config) {
		a := newAdmin(t, broker(t))
		a.queue(c.Queue, amqp.Table{"x-max-length": int32(1000)})
		c.Type = "quorum"
	})
	r.publish("", r.queue, amqp.Publishing{Body: []byte("{}")})
	sourcetest.Wait(t, 10*time.Second, "the message is logged", func() bool { return len(r.Log.Durable()) == 1 })
}

func TestQueueDeleted(t *testing.T) {
	r := newRig(t, broker(t), func(c *Config) { c.Bindings = []Binding{{Exchange: "amq.topic", RoutingKey: c.Queue}} })
	if _, err := r.ch.QueueDelete(r.queue, false, false, false); err != nil {
		t.Fatal(err)
	}
	sourcetest.Wait(t, 10*time.Second, "the topology is made anew", func() bool {
		return r.tryPublish("amq.topic", r.queue, amqp.Publishing{Body: []byte("{}")}) == nil && len(r.Log.Durable()) > 0
	})
}

func TestPrefetchHoldsBack(t *testing.T) {
	r := newRig(t, broker(t), func(c *Config) { c.Prefetch = 10 })
	r.Log.Hold()
	for i := range 50 {
		r.publish("", r.queue, amqp.Publishing{Body: sourcetest.DefaultPayload(sourcetest.Marker(i))})
	}
	sourcetest.Wait(t, 10*time.Second, "10 are taken and 40 wait", func() bool { return r.Log.Emitted() == 10 && r.depth(r.queue) == 40 })
	r.Log.Release()
	sourcetest.Wait(t, 10*time.Second, "all are logged", func() bool { return len(r.Log.Durable()) == 50 })
	r.Stop()
	if n := r.depth(r.queue); n != 0 {
		t.Errorf("%d are left", n)
	}
}

func TestTLS(t *testing.T) {
	ownNode(t)
	u := ctl(t, "tls-url")
	ca := node.dir + "/tls/ca.pem"
	q := queueName(t)
	cfg := DefaultConfig()
	cfg.URL, cfg.Queue = secret.New(u), q
	bad := start(t, cfg)
	sourcetest.Wait(t, 10*time.Second, "a CA that is not known is refused", func() bool {
		return bad.Health.Err() != nil && strings.Contains(bad.Health.Err().Error(), "certificate")
	})
	bad.Stop()
	cfg.TLS = TLS{CA: ca, Cert: node.dir + "/tls/client.pem", Key: node.dir + "/tls/client.key"}
	good := start(t, cfg)
	sourcetest.Wait(t, 10*time.Second, "it is well", func() bool { return good.Health.Told() > 0 && good.Health.Err() == nil })
	newAdmin(t, ctl(t, "url")).publish("", q, amqp.Publishing{Body: []byte("{}")})
	sourcetest.Wait(t, 10*time.Second, "the message is logged", func() bool { return len(good.Log.Durable()) == 1 })
}

func TestRefusedByTheBroker(t *testing.T) {
	u, err := url.Parse(broker(t))
	if err != nil {
		t.Fatal(err)
	}
	const canary = "c4nary-pa55word"
	for name, change := range map[string]func(*url.URL){
		"refuses the user": func(u *url.URL) { u.User = url.UserPassword("nobody", canary) },
		"vhost \"nowhere\"": func(u *url.URL) {
			u.Path = "/nowhere"
		},
	} {
		v := *u
		change(&v)
		cfg := DefaultConfig()
		cfg.URL, cfg.Queue = secret.New(v.String()), "q"
		f := start(t, cfg)
		sourcetest.Wait(t, 10*time.Second, "it says "+name, func() bool { return f.Health.Err() != nil })
		if text := f.Health.Err().Error(); !strings.Contains(text, name) || strings.Contains(text, canary) {
			t.Errorf("it says %q, want %q", text, name)
		}
		f.Stop()
	}
}

func TestDownAtStart(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	cfg := DefaultConfig()
	cfg.URL, cfg.Queue = secret.New("amqp://u:c4nary@"+addr+"/"), "q"
	f := start(t, cfg)
	sourcetest.Wait(t, 5*time.Second, "it says so", func() bool { return f.Health.Err() != nil })
	if text := f.Health.Err().Error(); strings.Contains(text, "c4nary") || !strings.Contains(text, addr) {
		t.Errorf("it says %q", text)
	}
}

// A Python program as people have it publishes, and one of its messages is not
// JSON.
func TestPika(t *testing.T) {
	python := "/usr/bin/python3"
	if err := exec.Command(python, "-c", "import pika").Run(); err != nil {
		t.Skip("left out: python3-pika is not installed")
	}
	u := broker(t)
	q := queueName(t)
	// The publisher comes first and declares the queue as it likes.
	out, err := exec.Command(python, "testdata/publish.py", u, q).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cfg := DefaultConfig()
	cfg.URL, cfg.Queue = secret.New(u), q
	f := start(t, cfg)
	sourcetest.Wait(t, 10*time.Second, "100 messages are logged", func() bool { return len(f.Log.Durable()) == 100 })
	// The log may answer in another order than it was asked.
	all := f.Log.Durable()
	n := slices.IndexFunc(all, func(in normalize.Input) bool { return in.SenderID == "pika-0" })
	if n < 0 || !strings.Contains(string(all[n].Raw), `"device": "switch-000"`) {
		t.Errorf("the first is at %d of %d", n, len(all))
	}
	f.Stop()
	out, err = exec.Command(python, "testdata/publish.py", u, q).CombinedOutput()
	if err != nil {
		t.Errorf("the publisher cannot declare its queue any more: %v: %s", err, out)
	}
}

// The broker is stopped and killed under load, and nothing is lost.
func TestBrokerGoneUnderLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("left out in short runs: it stops and starts a broker")
	}
	ownNode(t)
	u := ctl(t, "url")
	// A quorum queue declared some seconds before a kill -9 comes back without
	// a leader in RabbitMQ 3.10, so the kill is tried with a classic one.
	for how, kind := range map[string]string{"stop": "quorum", "kill": "classic"} {
		t.Run(how, func(t *testing.T) {
			r := newRig(t, u, func(c *Config) { c.Type = kind })
			if how == "kill" {
				// The broker writes down that there is a queue some time after
				// it has said so: one that is killed before forgets the queue
				// and all that it confirmed.
				ctl(t, "ctl", "eval", "mnesia:sync_log(), mnesia:dump_log().")
			}
			const n = 2000
			published := make(chan error, 1)
			go func() { published <- publishAll(u, r.queue, n) }()
			sourcetest.Wait(t, 20*time.Second, "the load runs", func() bool { return len(r.Log.Durable()) > 100 })
			ctl(t, how)
			sourcetest.Wait(t, 10*time.Second, "it says that the broker is away", func() bool { return r.Health.Err() != nil })
			ctl(t, "start")
			if err := <-published; err != nil {
				t.Fatal(err)
			}
			logged := func() map[string]bool {
				ids := map[string]bool{}
				for _, in := range r.Log.Durable() {
					ids[in.SenderID] = true
				}
				return ids
			}
			t.Cleanup(func() {
				if ids := logged(); t.Failed() && len(ids) < n {
					t.Logf("%d of %d are logged, it says %v, and the queue holds %d", len(ids), n, r.Health.Err(), newAdmin(t, u).depth(r.queue))
				}
			})
			sourcetest.Wait(t, 60*time.Second, "every confirmed message is logged", func() bool { return len(logged()) == n })
			if err := r.Health.Err(); err != nil {
				t.Errorf("it says %v", err)
			}
			r.Stop()
			if d := newAdmin(t, u).depth(r.queue); d != 0 {
				t.Errorf("%d messages are left in the queue", d)
			}
		})
	}
}

// publishAll publishes n messages, each until it is confirmed and was not
// returned: a broker confirms what it could not route, too.
func publishAll(u, queue string, n int) error {
	var ch *amqp.Channel
	var conn *amqp.Connection
	var returned chan amqp.Return
	defer func() {
		if conn != nil {
			conn.Close()
		}
	}()
	end := time.Now().Add(90 * time.Second)
	for i := 0; i < n; {
		if time.Now().After(end) {
			return fmt.Errorf("only %d of %d messages were confirmed", i, n)
		}
		if ch == nil || ch.IsClosed() {
			var err error
			if conn, err = amqp.Dial(u); err != nil {
				<-time.After(100 * time.Millisecond)
				continue
			}
			if ch, err = conn.Channel(); err != nil {
				continue
			}
			if err = ch.Confirm(false); err != nil {
				continue
			}
			returned = ch.NotifyReturn(make(chan amqp.Return, 1))
		}
		c, err := ch.PublishWithDeferredConfirm("", queue, true, false, amqp.Publishing{
			DeliveryMode: amqp.Persistent, MessageId: fmt.Sprint("load-", i), Body: sourcetest.DefaultPayload(sourcetest.Marker(i)),
		})
		if err != nil || !c.Wait() {
			continue
		}
		// What is returned is so before it is confirmed.
		select {
		case _, open := <-returned:
			if open {
				<-time.After(10 * time.Millisecond)
			}
		default:
			i++
		}
	}
	return nil
}
