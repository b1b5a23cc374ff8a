// Package rabbit gives tests a real RabbitMQ: the one that
// SIGNALBOX_RABBITMQ_URL names, or a private node of scripts/rabbitmq.sh.
package rabbit

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"signalbox/test/harness"
)

// notInstalled is the exit status of scripts/rabbitmq.sh where there is none.
const notInstalled = 77

// URL gives the broker's URL, or "" where RabbitMQ is not installed. A node that
// it starts ends with the test.
func URL(t testing.TB) string {
	t.Helper()
	if url := os.Getenv("SIGNALBOX_RABBITMQ_URL"); url != "" {
		return url
	}
	n := New(t)
	if n == nil {
		return ""
	}
	n.Start()
	return n.URL
}

// Node is a private broker, which a test may stop and start. It ends with the
// test.
type Node struct {
	URL         string
	t           testing.TB
	script, dir string
}

// New prepares a node, which does not run yet, and gives nil where RabbitMQ is
// not installed.
func New(t testing.TB) *Node {
	t.Helper()
	n := &Node{t: t, script: script(t), dir: t.TempDir()}
	if out, err := exec.Command(n.script, "prepare", n.dir).CombinedOutput(); err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() == notInstalled {
			return nil
		}
		t.Fatalf("rabbitmq.sh prepare: %v\n%s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command(n.script, "clean", n.dir).Run() })
	out, err := exec.Command(n.script, "url", n.dir).Output()
	if err != nil {
		t.Fatalf("rabbitmq.sh url: %v", err)
	}
	n.URL = strings.TrimSpace(string(out))
	return n
}

// Stop ends the node; queues and messages stay.
func (n *Node) Stop() { n.run("stop") }

// Kill ends the node at once, as a power cut would.
func (n *Node) Kill() { n.run("kill") }

// Start starts the node, also again, and waits until it takes connections.
func (n *Node) Start() { n.run("start") }

func (n *Node) run(command string) {
	n.t.Helper()
	if out, err := exec.Command(n.script, command, n.dir).CombinedOutput(); err != nil {
		n.t.Fatalf("rabbitmq.sh %s: %v\n%s", command, err, out)
	}
}

func script(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		path := filepath.Join(dir, "scripts", "rabbitmq.sh")
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	t.Fatal("scripts/rabbitmq.sh is not above this folder")
	return ""
}

// WaitEmpty waits until nothing is in the queue, ready or unacknowledged. (A
// queue that its consumer has closed gives unacknowledged messages back, so it
// asks twice.)
func WaitEmpty(t testing.TB, url, queue string) {
	t.Helper()
	conn, err := amqp.Dial(url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	empty := 0
	harness.Eventually(t, "the queue is empty", time.Minute, func() bool {
		ch, err := conn.Channel()
		if err != nil {
			return false
		}
		defer ch.Close()
		q, err := ch.QueueDeclarePassive(queue, false, false, false, false, nil)
		if err != nil || q.Messages > 0 {
			empty = 0
			return false
		}
		empty++
		return empty > 10
	})
}
