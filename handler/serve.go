package handler

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"signalbox/event"
)

// wireRequest and wireAnswer are the protocol: one JSON object a line, one
// answer to each request, in order.
type wireRequest struct {
	ID      string         `json:"id"`
	Event   event.Event    `json:"event"`
	Events  []event.Event  `json:"events"`
	Run     string         `json:"run"`
	Rule    string         `json:"rule"`
	Step    string         `json:"step"`
	Attempt int            `json:"attempt"`
	Key     string         `json:"key"`
	Replay  bool           `json:"replay"`
	Device  map[string]any `json:"device"`
	Args    map[string]any `json:"args"`
}

type wireAnswer struct {
	ID          string  `json:"id"`
	OK          bool    `json:"ok"`
	Output      any     `json:"output,omitempty"`
	Error       string  `json:"error,omitempty"`
	Recoverable bool    `json:"recoverable,omitempty"`
	RetryAfter  float64 `json:"retry_after,omitempty"` // seconds
}

// Main serves mux on stdin and stdout until Signalbox ends it, and exits with
// status 1 where that fails. It is all that a main function needs.
func Main(mux *Mux) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := Serve(ctx, mux)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Serve answers the requests on stdin, one at a time, until stdin ends or ctx
// does. While it serves, os.Stdout is stderr, so that a Func that prints does
// not break the protocol: what it prints is in Signalbox's log.
func Serve(ctx context.Context, mux *Mux) error {
	out := os.Stdout
	os.Stdout = os.Stderr
	defer func() { os.Stdout = out }()
	return ServeOn(ctx, mux, os.Stdin, out)
}

// ServeOn is Serve on other streams. When ctx ends while a read of in is under
// way, ServeOn returns, and the read goes on until in gives something or ends.
func ServeOn(ctx context.Context, mux *Mux, in io.Reader, out io.Writer) error {
	type line struct {
		text []byte
		err  error
	}
	lines := make(chan line)
	go func() {
		r := bufio.NewReader(in)
		for {
			text, err := r.ReadBytes('\n')
			select {
			case lines <- line{text, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case l := <-lines:
			if len(l.text) > 0 && l.text[len(l.text)-1] == '\n' {
				if err := answer(ctx, mux, l.text, out); err != nil {
					return fmt.Errorf("handler: %w", err)
				}
			}
			if errors.Is(l.err, io.EOF) {
				return nil
			}
			if l.err != nil {
				return fmt.Errorf("handler: %w", l.err)
			}
		}
	}
}

// answer handles one line. Its errors are those of the streams; all others are
// told to Signalbox.
func answer(ctx context.Context, mux *Mux, line []byte, out io.Writer) error {
	var req wireRequest
	if err := json.Unmarshal(line, &req); err != nil {
		return fmt.Errorf("request: %w", err)
	}
	ctx = context.WithValue(ctx, requestKey{}, Request{
		Run: req.Run, Rule: req.Rule, Step: req.Step, Attempt: req.Attempt, Key: req.Key,
		Replay: req.Replay, Device: req.Device, Args: req.Args, Events: req.Events,
	})
	a := wireAnswer{ID: req.ID, OK: true}
	output, err := mux.Call(ctx, req.Event)
	if err != nil {
		after, again := IsRecoverable(err)
		a = wireAnswer{ID: req.ID, Error: err.Error(), Recoverable: again, RetryAfter: after.Seconds()}
	}
	a.Output = output
	b, err := json.Marshal(a)
	if err != nil {
		b, err = json.Marshal(wireAnswer{ID: req.ID, Error: fmt.Sprintf("the output of the handler of %s is not JSON: %v", req.Event.Type, err)})
		if err != nil {
			return err
		}
	}
	_, err = out.Write(append(b, '\n'))
	return err
}
