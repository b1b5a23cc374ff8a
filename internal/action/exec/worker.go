package exec

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"
)

// worker is one life of one process of a pool.
type worker struct {
	pool     *pool
	proc     *process
	stdin    *os.File
	lines    chan said
	asked    bool // it has got a request, so its death is not one at start
	answered bool // it has done some work
}

// said is one line of the process's stdout, or why there is no further one.
type said struct {
	line []byte
	err  error
}

// live starts the process and serves requests until it dies, breaks the
// protocol, or ctx ends. The error says how it ended.
func (w *worker) live(ctx context.Context) error {
	env, err := w.pool.env()
	if err != nil {
		return err
	}
	var files []*os.File
	defer func() {
		for _, f := range files {
			_ = f.Close()
		}
	}()
	pipe := func() (r, wr *os.File) {
		r, wr, e := os.Pipe()
		if e != nil {
			err = errors.Join(err, e)
			return nil, nil
		}
		files = append(files, r, wr)
		return r, wr
	}
	inR, inW := pipe()
	outR, outW := pipe()
	errR, errW := pipe()
	if err != nil {
		return err
	}
	w.stdin = inW
	cmd := &exec.Cmd{Path: w.pool.path, Args: w.pool.cfg.Command, Env: env, Dir: w.pool.dir,
		Stdin: inR, Stdout: outW, Stderr: errW}
	w.proc, err = start(cmd)
	if err != nil {
		return fmt.Errorf("did not start: %w", err)
	}
	_, _, _ = inR.Close(), outW.Close(), errW.Close() // the process has its own

	quit := make(chan struct{})
	w.lines = make(chan said)
	var wg sync.WaitGroup
	wg.Go(func() { w.read(outR, quit) })
	wg.Go(func() { w.pool.logLines(ctx, errR) })
	defer func() {
		close(quit)
		// Who left the group may still hold the other ends; do not wait for it.
		_ = outR.SetReadDeadline(time.Now())
		_ = errR.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		wg.Wait()
	}()
	err = w.serve(ctx)
	if ctx.Err() != nil {
		w.retire()
		return nil
	}
	w.proc.kill()
	if w.proc.err != nil && errors.Is(err, errGone) {
		err = fmt.Errorf("%w (%w)", err, w.proc.err)
	}
	return err
}

// retire ends a process in good order: end of input, SIGTERM, SIGKILL.
func (w *worker) retire() {
	_ = w.stdin.Close()
	t := time.NewTimer(w.pool.cfg.Grace)
	defer t.Stop()
	for {
		select {
		case <-w.proc.done:
			return
		case <-t.C:
			w.proc.stop(w.pool.cfg.Grace)
			return
		case s := <-w.lines: // a farewell, of no meaning; or the end
			if s.err != nil {
				w.lines = nil
			}
		}
	}
}

// read passes on the lines of stdout, and last of all an error.
func (w *worker) read(from io.Reader, quit <-chan struct{}) {
	r := bufio.NewReader(from)
	for {
		line, err := readLine(r, w.pool.cfg.MaxOutput)
		select {
		case w.lines <- said{line, err}:
		case <-quit:
			return
		}
		if err != nil {
			return
		}
	}
}

var errGone = errors.New("the process ended")

// serve takes requests one after the other. It returns when the process is of
// no use any more.
func (w *worker) serve(ctx context.Context) error {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-w.proc.done:
			return errGone
		case s := <-w.lines:
			if s.err != nil {
				return w.silent(s.err)
			}
			return fmt.Errorf("wrote %q to stdout without being asked (logs belong on stderr)", w.pool.clean(string(s.line), quoteLimit))
		case req := <-w.pool.requests:
			w.asked = true
			a, err := w.ask(ctx, req)
			if err != nil {
				w.proc.kill() // before the reply, which may bring a repetition
			}
			if errors.Is(err, errGone) {
				err = fmt.Errorf("%w before it answered (%s)", errGone, w.proc.cmd.ProcessState)
			}
			req.reply <- reply{answer: a, err: err}
			if err != nil {
				return err
			}
			w.answered = true
		}
	}
	return ctx.Err()
}

// silent says why there is no line of stdout.
func (w *worker) silent(err error) error {
	if errors.Is(err, errLongLine) {
		return fmt.Errorf("wrote a line of more than %d bytes (max_output)", w.pool.cfg.MaxOutput)
	}
	return errGone
}

// lastWords is how long the answer of a process that has ended may take to
// come out of the pipe.
const lastWords = 500 * time.Millisecond

// ask writes one request and waits for its answer. After an error the process
// is in a state that nobody knows and must not be asked again.
func (w *worker) ask(ctx context.Context, req *request) (answer, error) {
	limit := req.timeout
	if d, ok := req.ctx.Deadline(); ok {
		limit = min(limit, max(time.Until(d), 0))
	}
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	_ = w.stdin.SetWriteDeadline(time.Now().Add(limit))
	if _, err := w.stdin.Write(req.line); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return answer{}, fmt.Errorf("did not read its request within %s and was killed", limit)
		}
		return answer{}, errGone
	}
	stop, gone := ctx.Done(), w.proc.done
	for {
		select {
		case s := <-w.lines:
			if s.err != nil {
				return answer{}, w.silent(s.err)
			}
			return readAnswer(s.line, req.id, w.pool.clean)
		case <-gone:
			gone = nil
			timeout.Reset(lastWords)
		case <-stop:
			// Signalbox stops: what is under way may end, within the grace.
			stop = nil
			timeout.Reset(min(limit, w.pool.cfg.Grace))
		case <-req.ctx.Done():
			return answer{}, fmt.Errorf("was killed: %w", req.ctx.Err())
		case <-timeout.C:
			if gone == nil {
				return answer{}, errGone
			}
			return answer{}, fmt.Errorf("did not answer within %s and was killed", limit)
		}
	}
}

// logLines logs what a handler says on stderr: bounded, escaped, and not more
// than some lines a second of the whole pool.
func (p *pool) logLines(ctx context.Context, from io.Reader) {
	const limit = 4 << 10
	r := bufio.NewReaderSize(from, limit)
	for {
		line, err := r.ReadSlice('\n')
		if len(line) > 0 {
			p.logLine(ctx, line)
		}
		for errors.Is(err, bufio.ErrBufferFull) { // the rest of a long line
			_, err = r.ReadSlice('\n')
		}
		if err != nil {
			return
		}
	}
}

func (p *pool) logLine(ctx context.Context, line []byte) {
	if !p.quiet.Allow() {
		p.unlogged.Add(1)
		return
	}
	for len(line) > 0 && (line[len(line)-1] == '\n' || line[len(line)-1] == '\r') {
		line = line[:len(line)-1]
	}
	attrs := []any{"line", p.clean(string(line), 1<<10)}
	if n := p.unlogged.Swap(0); n > 0 {
		attrs = append(attrs, "lines_left_out", n)
	}
	p.log.InfoContext(ctx, "handler says", attrs...)
}
