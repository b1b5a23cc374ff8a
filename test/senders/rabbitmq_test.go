package senders

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"signalbox/test/harness"
	"signalbox/test/rabbit"
)

// python finds a Python that has a module; Debian's packages are for Debian's
// own, which need not be the first of PATH.
func python(t *testing.T, module string) string {
	t.Helper()
	for _, name := range []string{"/usr/bin/python3", "python3"} {
		if exec.Command(name, "-c", "import "+module).Run() == nil {
			return name
		}
	}
	t.Skipf("no Python with %s: run scripts/install-test-deps.sh", module)
	return ""
}

// publication is one message, as the scripts in testdata read it.
type publication struct {
	Key         string            `json:"routing_key"`
	Body        string            `json:"body"`
	ID          string            `json:"message_id,omitempty"`
	ContentType string            `json:"content_type,omitempty"`
	Headers     map[string]string `json:"headers,omitempty"`
}

// client is one of the two Python clients.
type client struct{ module, script string }

var clients = []client{{"pika", "testdata/publish_pika.py"}, {"aio_pika", "testdata/publish_aio_pika.py"}}

func lines(t *testing.T, messages []publication) string {
	t.Helper()
	var b strings.Builder
	for _, m := range messages {
		line, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s\n", line)
	}
	return b.String()
}

// publish sends messages and waits until the broker has confirmed all.
func (c client) publish(t *testing.T, url, exchange string, messages ...publication) {
	t.Helper()
	status, out := command(t, lines(t, messages), python(t, c.module), c.script, url, exchange)
	if status != 0 {
		t.Fatalf("%s: exit status %d\n%s", c.script, status, out)
	}
}

const queues = `
  classic: {kind: rabbitmq, url: "URL", queue: network_classic, bindings: [{exchange: network, routing_key: "classic.#"}]}
  quorum: {kind: rabbitmq, url: "URL", queue: network_quorum, type: quorum, bindings: [{exchange: network, routing_key: "quorum.#"}]}
  w: {kind: webhook, auth: {none: true}}
`

// TestRabbitMQ has one broker for all: it is down when Signalbox starts, comes
// up, takes messages of both Python clients, and is stopped under load.
func TestRabbitMQ(t *testing.T) {
	if testing.Short() {
		t.Skip("left out by -short")
	}
	broker := rabbit.New(t)
	if broker == nil {
		t.Skip("RabbitMQ is not installed: run scripts/install-test-deps.sh")
	}
	for _, c := range clients {
		python(t, c.module)
	}
	s := start(t, queues, "", "URL", broker.URL)
	for _, source := range []string{"classic", "quorum"} {
		s.Eventually(source+" says that the broker is down", limit, func() bool { return intake(t, s, source).Error != "" })
	}
	if status := s.MustCLI("status"); !strings.Contains(status, "connection refused") {
		t.Errorf("the status does not say what is wrong:\n%s", status)
	} else if strings.Contains(status, "signalbox-test") {
		t.Errorf("the broker's password is in the status:\n%s", status)
	}
	if code, _ := curl(t, "http://"+s.HTTP+"/webhook/w", "-H", asJSON, "-d", object("Eth9/9")); code != "202" {
		t.Errorf("a webhook is answered %s while the broker is down", code)
	}
	broker.Start()
	connected(t, s)

	logged := 1
	for _, queue := range []string{"classic", "quorum"} {
		for _, c := range clients {
			t.Run(c.module+", "+queue+" queue", func(t *testing.T) { logged += publishForms(t, s, broker.URL, c, queue) })
		}
		t.Run("poison, "+queue+" queue", func(t *testing.T) { poison(t, s, broker.URL, queue) })
	}
	t.Run("stopped under load", func(t *testing.T) { logged += underLoad(t, s, broker) })
	l := s.Settled(limit)
	if l.Log.Logged < uint64(logged) || l.Log.Runs.Succeeded != l.Log.Runs.Started {
		t.Errorf("%d events in the log, want %d or more; %d runs, of which %d succeeded", l.Log.Logged, logged, l.Log.Runs.Started, l.Log.Runs.Succeeded)
	}
}

func connected(t *testing.T, s *harness.Server) {
	t.Helper()
	for _, source := range []string{"classic", "quorum"} {
		harness.Eventually(t, source+" is connected", time.Minute, func() bool { return intake(t, s, source).Error == "" })
	}
}

// publishForms sends an event in every form that a message may have.
func publishForms(t *testing.T, s *harness.Server, url string, c client, queue string) int {
	who := c.module + "-" + queue
	event := func(iface string) string {
		return fmt.Sprintf(`{"event_type":"interface_down","device":"sw-%s","interface":%q}`, who, iface)
	}
	key := queue + ".interface"
	c.publish(t, url, "network",
		publication{Key: key, ID: who + "-1", Body: event("Eth1/1")},
		publication{Key: key, ID: who + "-2", Body: "[" + event("Eth1/2") + "," + event("Eth2/2") + "]"},
		publication{Key: key, Body: `{"reason":"link lost"}`, Headers: map[string]string{
			"cloudEvents:specversion": "1.0", "cloudEvents:id": who + "-3", "cloudEvents:source": "/monitor",
			"cloudEvents:type": "interface_down", "cloudEvents:subject": "sw-" + who + "/Eth1/3"}},
		publication{Key: key, Body: `{"reason":"link lost"}`, Headers: map[string]string{
			"cloudEvents_specversion": "1.0", "cloudEvents_id": who + "-4", "cloudEvents_source": "/monitor",
			"cloudEvents_type": "interface_down", "cloudEvents_subject": "sw-" + who + "/Eth1/4"}},
		publication{Key: key, ContentType: "application/cloudevents+json",
			Body: fmt.Sprintf(`{"specversion":"1.0","id":"%s-5","source":"/monitor","type":"interface_down","subject":"sw-%s/Eth1/5","data":{}}`, who, who)},
		publication{Key: key, ID: who + "-1", Body: event("Eth1/1")}, // once more
	)
	for _, w := range []want{
		{iface: "Eth1/2", raw: event("Eth1/2"), exact: true},
		{iface: "Eth2/2", raw: event("Eth2/2"), exact: true},
		{iface: "Eth1/3", raw: `"reason":"link lost"`, id: who + "-3"},
		{iface: "Eth1/4", raw: `"reason":"link lost"`, id: who + "-4"},
		{iface: "Eth1/5", raw: `"subject":"sw-` + who + `/Eth1/5"`, id: who + "-5"},
	} {
		w.source, w.typ, w.device = queue, "interface_down", "sw-"+who
		one(t, s, w)
	}
	// The same message id again is in the log and decided once.
	harness.Eventually(t, "the repeated message is decided", limit, func() bool {
		statuses := map[string]int{}
		for _, e := range s.Events("--device", "sw-"+who) {
			if e.Event.SenderID == who+"-1" {
				statuses[e.Status]++
			}
		}
		return statuses["decided"] == 1 && statuses["duplicate"] == 1
	})
	return 7
}

// poison sends what cannot become an event: the dead-letter queue has it, with
// the reason, and so has the log, as rejected: it is none of those that are
// logged.
func poison(t *testing.T, s *harness.Server, url, queue string) {
	body := "interface Eth1/1 is down, by " + queue
	clients[0].publish(t, url, "network", publication{Key: queue + ".interface", ID: "poison-" + queue, Body: body})
	conn, err := amqp.Dial(url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	var letter amqp.Delivery
	harness.Eventually(t, "the dead letter is there", limit, func() bool {
		var ok bool
		letter, ok, err = ch.Get("network_"+queue+".dead-letter", true)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	})
	reason, _ := letter.Headers["x-signalbox-reason"].(string)
	if string(letter.Body) != body || letter.MessageId != "poison-"+queue || !strings.Contains(reason, "JSON") {
		t.Errorf("dead letter %q %q with the reason %q", letter.MessageId, letter.Body, reason)
	}
	id, _ := letter.Headers["x-signalbox-event"].(string)
	harness.Eventually(t, "the log has it as rejected", limit, func() bool {
		for _, e := range s.Events("--status", "rejected") {
			if string(e.Event.ID) == id && string(e.Event.Raw) == body {
				return true
			}
		}
		return false
	})
}

// load is a client that publishes until it is told to end.
type load struct {
	client    client
	fed       int          // messages given to it; read it when ended has spoken
	confirmed atomic.Int64 // messages that the broker has confirmed
	ended     chan error
}

// Write counts the lines that the client prints.
func (l *load) Write(p []byte) (int, error) {
	l.confirmed.Add(int64(strings.Count(string(p), "\n")))
	return len(p), nil
}

func (l *load) id(n int) string { return fmt.Sprintf("load-%s-%d", l.client.module, n) }

// start gives the client messages as fast as it takes them, and after stop a
// last hundred.
func (l *load) start(t *testing.T, url, key string, stop <-chan struct{}) {
	t.Helper()
	cmd := exec.Command(python(t, l.client.module), l.client.script, url, "network")
	cmd.Stdout = l
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	go func() {
		out := json.NewEncoder(in)
		for last := 100; last > 0 && err == nil; l.fed++ {
			select {
			case <-stop:
				last--
			default:
			}
			err = out.Encode(publication{Key: key, ID: l.id(l.fed),
				Body: fmt.Sprintf(`{"event_type":"interface_down","device":"sw-%s","interface":"Eth%d/1"}`, l.client.module, l.fed)})
		}
		in.Close()
		l.ended <- errors.Join(err, cmd.Wait())
	}()
}

// underLoad stops the broker and starts it again while both clients publish,
// each to a queue of another type. All that they were confirmed is in the log,
// and decided once.
func underLoad(t *testing.T, s *harness.Server, broker *rabbit.Node) (logged int) {
	stop := make(chan struct{})
	var loads []*load
	for i, c := range clients {
		l := &load{client: c, ended: make(chan error, 1)}
		l.start(t, broker.URL, []string{"quorum", "classic"}[i]+".interface", stop)
		loads = append(loads, l)
	}
	harness.Eventually(t, "both clients publish", limit, func() bool {
		return loads[0].confirmed.Load() > 50 && loads[1].confirmed.Load() > 50
	})
	broker.Stop()
	before := []int64{loads[0].confirmed.Load(), loads[1].confirmed.Load()}
	broker.Start()
	for i, l := range loads {
		harness.Eventually(t, l.client.module+" publishes again", time.Minute, func() bool { return l.confirmed.Load() > before[i]+50 })
	}
	close(stop)
	for _, l := range loads {
		select {
		case err := <-l.ended:
			if err != nil || l.confirmed.Load() != int64(l.fed) {
				t.Errorf("%s: %v; %d of %d confirmed", l.client.module, err, l.confirmed.Load(), l.fed)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%s has not ended", l.client.module)
		}
		logged += l.fed
	}
	connected(t, s)
	rabbit.WaitEmpty(t, broker.URL, "network_classic")
	rabbit.WaitEmpty(t, broker.URL, "network_quorum")
	s.Settled(time.Minute)
	decidedOnce(t, s, loads)
	return logged
}

// decidedOnce: every message of the loads is in the log and decided once, also
// where the broker delivered it again.
func decidedOnce(t *testing.T, s *harness.Server, loads []*load) {
	t.Helper()
	decided, again := map[string]int{}, 0
	for _, e := range s.Events("--type", "interface_down") {
		switch {
		case !strings.HasPrefix(e.Event.SenderID, "load-"):
		case e.Status == "decided" && len(e.Runs) == 1:
			decided[e.Event.SenderID]++
		case e.Status == "duplicate":
			again++
		default:
			t.Errorf("%s is %s, runs %v", e.Event.SenderID, e.Status, e.Runs)
		}
	}
	for _, l := range loads {
		for n := range l.fed {
			if id := l.id(n); decided[id] != 1 {
				t.Errorf("message %s was confirmed, and is decided %d times", id, decided[id])
			}
		}
	}
	t.Logf("%d messages decided once; %d were delivered again", len(decided), again)
}
