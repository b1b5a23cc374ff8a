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
	dir := t.TempDir()
	script := script(t)
	if out, err := exec.Command(script, "start", dir).CombinedOutput(); err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() == notInstalled {
			return ""
		}
		t.Fatalf("rabbitmq.sh start: %v\n%s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command(script, "clean", dir).Run() })
	out, err := exec.Command(script, "url", dir).Output()
	if err != nil {
		t.Fatalf("rabbitmq.sh url: %v", err)
	}
	return strings.TrimSpace(string(out))
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
