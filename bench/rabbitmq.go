package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

//go:embed aiopika_consumer.py
var aiopika string

// broker is a private RabbitMQ node of scripts/rabbitmq.sh, or the one that
// SIGNALBOX_RABBITMQ_URL names.
type broker struct {
	url   string
	conn  *amqp.Connection
	close func()
	runs  int
}

func startBroker(ctx context.Context, b *bench) (*broker, error) {
	br := &broker{url: os.Getenv("SIGNALBOX_RABBITMQ_URL"), close: func() {}}
	if br.url == "" {
		root, err := moduleRoot(ctx)
		if err != nil {
			return nil, err
		}
		script, dir := filepath.Join(root, "scripts", "rabbitmq.sh"), filepath.Join(b.dir, "broker")
		if out, err := exec.CommandContext(ctx, script, "start", dir).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("rabbitmq.sh start: %w\n%s", err, out)
		}
		br.close = func() { _ = exec.Command(script, "clean", dir).Run() }
		out, err := exec.CommandContext(ctx, script, "url", dir).Output()
		if err != nil {
			br.close()
			return nil, err
		}
		br.url = strings.TrimSpace(string(out))
	}
	var err error
	if br.conn, err = amqp.Dial(br.url); err != nil {
		br.close()
	}
	return br, err
}

// fill makes a durable queue with n persistent messages, all confirmed.
func (br *broker) fill(n int) (queue string, err error) {
	br.runs++
	queue = fmt.Sprintf("signalbox-bench-%d-%d", os.Getpid(), br.runs)
	ch, err := br.conn.Channel()
	if err != nil {
		return "", err
	}
	defer ch.Close()
	if err := ch.Confirm(false); err != nil {
		return "", err
	}
	if _, err := ch.QueueDeclare(queue, true, false, false, false, nil); err != nil {
		return "", err
	}
	body := newTemplate([]byte(webhookBody))
	confirms := make([]*amqp.DeferredConfirmation, n)
	for i := range n {
		body.next(i)
		confirms[i], err = ch.PublishWithDeferredConfirm("", queue, false, false, amqp.Publishing{DeliveryMode: amqp.Persistent,
			ContentType: "application/json", MessageId: fmt.Sprintf("%s-%d", queue, i), Body: body.bytes})
		if err != nil {
			return "", err
		}
	}
	for _, c := range confirms {
		if !c.Wait() {
			return "", fmt.Errorf("the broker refused a message")
		}
	}
	return queue, nil
}

// drop deletes the queue; it must be empty.
func (br *broker) drop(queue string) error {
	ch, err := br.conn.Channel()
	if err != nil {
		return err
	}
	defer ch.Close()
	if _, err := ch.QueueDelete(queue, false, true, false); err != nil {
		return fmt.Errorf("not all messages were acknowledged: %w", err)
	}
	_, err = ch.QueueDelete(queue+".dead-letter", false, false, false)
	return err
}

func rabbitMQ(ctx context.Context, b *bench) ([]row, error) {
	br, err := startBroker(ctx, b)
	if err != nil {
		return nil, err
	}
	defer br.close()
	defer br.conn.Close()
	var bare, mine, python []float64
	var mineCPU, bareCPU, pythonCPU time.Duration
	n, few := b.pick(60_000, 2000), b.pick(15_000, 500)
	turns := b.pick(2, 1)
	for range turns {
		v, cpu, err := br.external(b, n, "bare")
		if err != nil {
			return nil, err
		}
		bare, bareCPU = append(bare, v), bareCPU+cpu
		if v, cpu, err = br.signalbox(ctx, b, n); err != nil {
			return nil, err
		}
		mine, mineCPU = append(mine, v), mineCPU+cpu
		if v, cpu, err = br.external(b, few, "python"); err != nil {
			return nil, err
		}
		python, pythonCPU = append(python, v), pythonCPU+cpu
	}
	m, g, p := median(mine), median(bare), median(python)
	return []row{
		{what: "bare Go consumer (amqp091, prefetch 512, multiple ack)", figure: rate(g, "messages"), cpu: each(bareCPU, turns*n)},
		{what: "asyncio + aio-pika consumer (prefetch 512)", figure: rate(p, "messages"), cpu: each(pythonCPU, turns*few)},
		row{what: "Signalbox: mapped, durable, then acknowledged", figure: rate(m, "messages"), cpu: each(mineCPU, turns*n),
			beside: times(m/g, "bare Go")}.want("≥ 0.80 × bare Go", m >= 0.8*g),
		row{what: "the same", figure: rate(m, "messages"), beside: times(m/p, "aio-pika")}.want("≥ 6 × aio-pika", m >= 6*p),
	}, nil
}

// external runs a consumer that prints the seconds it took.
func (br *broker) external(b *bench, n int, which string) (float64, time.Duration, error) {
	queue, err := br.fill(n)
	if err != nil {
		return 0, 0, err
	}
	self, err := os.Executable()
	if err != nil {
		return 0, 0, err
	}
	cmd := exec.Command(self, br.url, queue, fmt.Sprint(n))
	cmd.Env = append(os.Environ(), childEnv+"=amqp")
	if which == "python" {
		script := filepath.Join(b.dir, "aiopika_consumer.py")
		if err := os.WriteFile(script, []byte(aiopika), 0o600); err != nil {
			return 0, 0, err
		}
		cmd = exec.Command("/usr/bin/python3", script, br.url, queue, fmt.Sprint(n))
	}
	out, err := cmd.Output()
	if err != nil {
		if exit, ok := err.(*exec.ExitError); ok {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return 0, 0, fmt.Errorf("%s consumer: %w", which, err)
	}
	var seconds float64
	if _, err := fmt.Sscan(string(out), &seconds); err != nil {
		return 0, 0, fmt.Errorf("%s consumer printed %q: %w", which, out, err)
	}
	return float64(n) / seconds, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), br.drop(queue)
}

// signalbox starts one on a full queue. Its time is from the last look at which
// it had nothing until all is logged.
func (br *broker) signalbox(ctx context.Context, b *bench, n int) (float64, time.Duration, error) {
	queue, err := br.fill(n)
	if err != nil {
		return 0, 0, err
	}
	s, err := b.start(ctx, "rabbitmq", site(fmt.Sprintf("  q: {kind: rabbitmq, url: %q, queue: %s}\n", br.url, queue)))
	if err != nil {
		return 0, 0, err
	}
	defer s.close()
	begun, cpu := time.Now(), s.cpu()
	head := uint64(0) // logged at the first look, where it was quicker than that
	first := true
	wait := s.profile(ctx, "rabbitmq", b.seconds(3))
	err = await(ctx, 2*time.Minute, "all is logged", func() (bool, error) {
		st, err := s.source(ctx, "q")
		if first || st.Logged == 0 {
			begun, cpu, head, first = time.Now(), s.cpu(), st.Logged, false
		}
		return st.Logged+st.Rejected >= uint64(n), err
	})
	took := time.Since(begun)
	if err != nil {
		return 0, 0, err
	}
	wait()
	l, err := s.audit(ctx)
	if err != nil {
		return 0, 0, err
	}
	used := s.cpu() - cpu
	if int(l.Log.Logged) != n {
		return 0, 0, fmt.Errorf("%d of %d are in the log", l.Log.Logged, n)
	}
	s.stop(20 * time.Second)
	return float64(uint64(n)-head) / took.Seconds(), used, br.drop(queue)
}

func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "signalbox").Output()
	return strings.TrimSpace(string(out)), err
}
