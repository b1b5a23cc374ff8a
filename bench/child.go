package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"golang.org/x/sys/unix"
)

// childEnv makes this program one of the things that Signalbox is beside, in a
// process of its own so that processor time can be compared.
const childEnv = "SIGNALBOX_BENCH_CHILD"

func child(name string) error {
	switch name {
	case "http":
		return serve(bare)
	case "fdatasync":
		c, err := newCommitter(os.Args[2])
		if err != nil {
			return err
		}
		return serve(c.handle)
	case "amqp":
		return consume(os.Args[1], os.Args[2], os.Args[3])
	}
	return fmt.Errorf("no child is called %q", name)
}

// peer runs a child that serves HTTP on a free address.
func (b *bench) peer(ctx context.Context, name string) (*process, string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, "", err
	}
	addr := freePort("tcp")
	cmd := exec.Command(self, addr, filepath.Join(b.dir, name+".data"))
	cmd.Env = append(os.Environ(), childEnv+"="+name)
	p := &process{}
	if err := p.run(cmd, filepath.Join(b.dir, name+".output")); err != nil {
		return nil, "", err
	}
	err = await(ctx, 10*time.Second, name+" listens", func() (bool, error) {
		resp, err := http.Post("http://"+addr+"/", "application/json", nil)
		if err != nil {
			return false, nil
		}
		resp.Body.Close()
		return true, nil
	})
	return p, addr, err
}

func serve(h http.HandlerFunc) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	srv := &http.Server{Addr: os.Args[1], Handler: h}
	go func() { <-ctx.Done(); srv.Close() }()
	if err := srv.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// bare reads the body and answers: the least that any webhook server does.
func bare(w http.ResponseWriter, r *http.Request) {
	if _, err := io.ReadAll(r.Body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	accept(w)
}

// committer appends bodies to a file; all that wait while the disk is busy
// share the next fdatasync. It does nothing else with a body.
type committer struct {
	file *os.File
	in   chan entry
}

type entry struct {
	body []byte
	done chan error
}

func newCommitter(path string) (*committer, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	c := &committer{file: f, in: make(chan entry, 4096)}
	go c.run()
	return c, nil
}

func (c *committer) handle(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	e := entry{body: append(body, '\n'), done: make(chan error, 1)}
	c.in <- e
	if err := <-e.done; err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	accept(w)
}

func (c *committer) run() {
	var buf []byte
	var waiting []entry
	for {
		waiting = append(waiting[:0], <-c.in)
		for more := true; more; {
			select {
			case e := <-c.in:
				waiting = append(waiting, e)
			default:
				more = false
			}
		}
		buf = buf[:0]
		for _, e := range waiting {
			buf = append(buf, e.body...)
		}
		_, err := c.file.Write(buf)
		if err == nil {
			err = unix.Fdatasync(int(c.file.Fd()))
		}
		for _, e := range waiting {
			e.done <- err
		}
	}
}

// bareAck is how many messages the bare consumer acknowledges at once, and
// prefetch what all consumers let the broker send ahead.
const (
	bareAck  = 64
	prefetch = 512
)

// consume takes n messages off a queue and does nothing with them. It prints
// the seconds from the first message to the last acknowledgement.
func consume(url, queue, number string) error {
	var n int
	if _, err := fmt.Sscan(number, &n); err != nil {
		return err
	}
	conn, err := amqp.Dial(url)
	if err != nil {
		return err
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	if err := ch.Qos(prefetch, 0, false); err != nil {
		return err
	}
	in, err := ch.Consume(queue, "", false, false, false, false, nil)
	if err != nil {
		return err
	}
	var begun time.Time
	for i := 1; i <= n; i++ {
		d, ok := <-in
		if !ok {
			return errors.New("the broker closed the channel")
		}
		if i == 1 {
			begun = time.Now()
		}
		if i%bareAck == 0 || i == n {
			if err := d.Ack(true); err != nil {
				return err
			}
		}
	}
	fmt.Printf("%.6f\n", time.Since(begun).Seconds())
	return nil
}
