package rabbitmq

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// node is the private RabbitMQ of this test run.
var node struct {
	once sync.Once
	dir  string
	skip string
}

const script = "../../../scripts/rabbitmq.sh"

func TestMain(m *testing.M) {
	code := m.Run()
	if node.dir != "" {
		_ = exec.Command(script, "clean", node.dir).Run()
	}
	os.Exit(code)
}

// broker gives the URL of a real RabbitMQ: SIGNALBOX_RABBITMQ_URL, or a node
// that is started for the tests. Without either the test is left out.
func broker(t testing.TB) string {
	t.Helper()
	if u := os.Getenv("SIGNALBOX_RABBITMQ_URL"); u != "" {
		return u
	}
	ownNode(t)
	return ctl(t, "url")
}

// ownNode starts a node that the test may stop.
func ownNode(t testing.TB) {
	t.Helper()
	node.once.Do(func() {
		dir, err := os.MkdirTemp("", "signalbox-rabbitmq-")
		if err != nil {
			node.skip = err.Error()
			return
		}
		node.dir = dir
		out, err := exec.Command(script, "start", dir).CombinedOutput()
		if err != nil {
			node.skip = strings.TrimSpace(string(out)) + " (" + err.Error() + ")"
		}
	})
	if node.skip != "" {
		t.Skip("left out, no RabbitMQ: " + node.skip)
	}
}

func ctl(t testing.TB, command string, args ...string) string {
	t.Helper()
	out, err := exec.Command(script, append([]string{command, node.dir}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("rabbitmq.sh %s: %v: %s", command, err, out)
	}
	return strings.TrimSpace(string(out))
}

// admin is a connection of the test's own.
type admin struct {
	t    *testing.T
	conn *amqp.Connection
	ch   *amqp.Channel
	mu   sync.Mutex
}

func newAdmin(t *testing.T, u string) *admin {
	t.Helper()
	conn, err := amqp.Dial(u)
	if err != nil {
		t.Fatal(err)
	}
	ch, err := conn.Channel()
	if err == nil {
		err = ch.Confirm(false)
	}
	if err != nil {
		t.Fatal(err)
	}
	a := &admin{t: t, conn: conn, ch: ch}
	t.Cleanup(a.close)
	return a
}

func (a *admin) close() { _ = a.conn.Close() }

func (a *admin) publish(exchange, key string, p amqp.Publishing) {
	a.t.Helper()
	if err := a.tryPublish(exchange, key, p); err != nil {
		a.t.Errorf("publish: %v", err)
	}
}

func (a *admin) tryPublish(exchange, key string, p amqp.Publishing) error {
	p.DeliveryMode = amqp.Persistent
	a.mu.Lock()
	defer a.mu.Unlock()
	c, err := a.ch.PublishWithDeferredConfirm(exchange, key, true, false, p)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	ok, err := c.WaitContext(ctx)
	if err == nil && !ok {
		err = errors.New("not taken")
	}
	return err
}

func (a *admin) queue(name string, args amqp.Table) {
	a.t.Helper()
	if _, err := a.ch.QueueDeclare(name, true, false, false, false, args); err != nil {
		a.t.Fatal(err)
	}
}

// depth is how many messages wait in a queue.
func (a *admin) depth(name string) int {
	a.t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	q, err := a.ch.QueueDeclarePassive(name, true, false, false, false, nil)
	if err != nil {
		a.t.Fatalf("queue %s: %v", name, err)
	}
	return q.Messages
}

// get takes one message of a queue.
func (a *admin) get(name string) (amqp.Delivery, bool) {
	a.t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	d, ok, err := a.ch.Get(name, true)
	if err != nil {
		a.t.Fatal(err)
	}
	return d, ok
}

// proxy stands between the source and the broker. It counts what the source
// acknowledges, and can cut the line.
type proxy struct {
	to string
	ln net.Listener
	wg sync.WaitGroup

	mu    sync.Mutex
	away  bool
	conns map[net.Conn]bool
	acked int
}

// newProxy gives a proxy and the URL through it.
func newProxy(t *testing.T, u string) (*proxy, string) {
	t.Helper()
	parsed, err := url.Parse(u)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{to: parsed.Host, ln: ln, conns: map[net.Conn]bool{}}
	p.wg.Go(p.accept)
	t.Cleanup(p.close)
	parsed.Host = ln.Addr().String()
	return p, parsed.String()
}

func (p *proxy) accept() {
	for {
		c, err := p.ln.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() { p.serve(c) })
	}
}

func (p *proxy) serve(c net.Conn) {
	defer c.Close()
	b, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer b.Close()
	p.mu.Lock()
	if p.away {
		p.mu.Unlock()
		return
	}
	p.conns[c], p.conns[b] = true, true
	p.mu.Unlock()
	var both sync.WaitGroup
	line := &ackLine{p: p, open: map[uint64]bool{}}
	both.Go(func() { line.copy(b, c, line.fromSource); b.Close(); c.Close() })
	both.Go(func() { line.copy(c, b, line.fromBroker); b.Close(); c.Close() })
	both.Wait()
	p.mu.Lock()
	delete(p.conns, c)
	delete(p.conns, b)
	p.mu.Unlock()
}

// cut ends all connections, and refuses new ones while away.
func (p *proxy) cut(away bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = away
	for c := range p.conns {
		c.Close()
	}
}

func (p *proxy) back() { p.mu.Lock(); p.away = false; p.mu.Unlock() }

func (p *proxy) total() int { p.mu.Lock(); defer p.mu.Unlock(); return p.acked }

func (p *proxy) close() {
	p.ln.Close()
	p.cut(true)
	p.wg.Wait()
}

// ackLine follows the deliveries and acknowledgements of one connection with
// one consuming channel.
type ackLine struct {
	p    *proxy
	mu   sync.Mutex
	open map[uint64]bool
}

func (l *ackLine) copy(to io.Writer, from io.Reader, look func([]byte)) {
	r := &frameReader{r: from}
	for {
		frame, err := r.next()
		if err != nil {
			return
		}
		look(frame)
		if _, err := to.Write(frame); err != nil {
			return
		}
	}
}

// method gives the arguments of a method frame of class basic (60).
func method(frame []byte, id uint16) []byte {
	if len(frame) < 12 || frame[0] != 1 || binary.BigEndian.Uint16(frame[7:]) != 60 || binary.BigEndian.Uint16(frame[9:]) != id {
		return nil
	}
	return frame[11 : len(frame)-1]
}

func (l *ackLine) fromBroker(frame []byte) {
	if args := method(frame, 60); args != nil { // basic.deliver
		tag := binary.BigEndian.Uint64(args[1+int(args[0]):])
		l.mu.Lock()
		l.open[tag] = true
		l.mu.Unlock()
	}
}

func (l *ackLine) fromSource(frame []byte) {
	args := method(frame, 80) // basic.ack
	if args == nil {
		return
	}
	tag, multiple := binary.BigEndian.Uint64(args), args[8]&1 == 1
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for t := range l.open {
		if t == tag || multiple && t <= tag {
			delete(l.open, t)
			n++
		}
	}
	l.p.mu.Lock()
	l.p.acked += n
	l.p.mu.Unlock()
}

// frameReader cuts a stream into AMQP frames; the protocol header is one too.
type frameReader struct {
	r io.Reader
}

func (f *frameReader) next() ([]byte, error) {
	head := make([]byte, 7)
	if _, err := io.ReadFull(f.r, head); err != nil {
		return nil, err
	}
	rest := 1
	if string(head[:4]) != "AMQP" {
		rest = int(binary.BigEndian.Uint32(head[3:])) + 1
	}
	frame := append(head, make([]byte, rest)...)
	_, err := io.ReadFull(f.r, frame[7:])
	return frame, err
}

func queueName(t *testing.T) string {
	return strings.ReplaceAll(t.Name(), "/", ".") + "." + filepath.Base(os.TempDir()) + time.Now().Format(".150405.000000")
}
