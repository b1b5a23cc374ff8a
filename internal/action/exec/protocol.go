package exec

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"signalbox/internal/action"
)

// ask is one request to a handler: one line of JSON.
type ask struct {
	ID    string          `json:"id"` // to be repeated in the answer
	Event json.RawMessage `json:"event"`
	// Events are those that made up what the rule found, oldest first, where
	// there is more than one.
	Events  []json.RawMessage `json:"events,omitempty"`
	Run     string            `json:"run"`
	Rule    string            `json:"rule"`
	Step    string            `json:"step"`
	Attempt int               `json:"attempt"`
	Key     string            `json:"key"`
	Replay  bool              `json:"replay,omitempty"`
	Device  map[string]any    `json:"device,omitempty"`
	Args    map[string]any    `json:"args"`
}

// answer is what a handler says to it, one line too.
type answer struct {
	ID          *string         `json:"id"`
	OK          *bool           `json:"ok"`
	Output      json.RawMessage `json:"output"`
	Error       string          `json:"error"`
	Recoverable bool            `json:"recoverable"`
	RetryAfter  float64         `json:"retry_after"` // seconds
}

// maxRetryAfter bounds the wait that a handler may ask for.
const maxRetryAfter = time.Hour

// quoteLimit bounds what is quoted of a handler in an error, in bytes.
const quoteLimit = 200

// readAnswer reads the answer to the request id. An error means that the
// handler does not keep to the protocol, and quotes what it said, made safe by clean.
func readAnswer(line []byte, id string, clean func(s string, limit int) string) (answer, error) {
	var a answer
	quote := clean(string(line), quoteLimit)
	if err := json.Unmarshal(line, &a); err != nil {
		return a, fmt.Errorf("expected one JSON object a line on stdout, got %q (logs belong on stderr)", quote)
	}
	if a.ID == nil || a.OK == nil {
		return a, fmt.Errorf("expected an answer with id and ok, got %q", quote)
	}
	if *a.ID != id {
		return a, fmt.Errorf("expected the answer to request %s, got %q", id, quote)
	}
	return a, nil
}

// output is what the handler returned, or nil.
func (a answer) output() (any, error) {
	if len(a.Output) == 0 {
		return nil, nil
	}
	v, err := action.DecodeJSON(a.Output)
	if err != nil {
		return nil, fmt.Errorf("output: %w", err)
	}
	return v, nil
}

// wait is how long the handler asks to be left alone.
func (a answer) wait() time.Duration {
	if !(a.RetryAfter > 0) {
		return 0
	}
	return time.Duration(min(a.RetryAfter, maxRetryAfter.Seconds()) * float64(time.Second))
}

var errLongLine = errors.New("a line is longer than max_output")

// readLine reads one line of at most limit bytes, without its end.
func readLine(r *bufio.Reader, limit int) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > limit+1 {
			return nil, errLongLine
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err == io.EOF && len(line) > 0:
			return line, nil
		case err != nil:
			return nil, err
		}
		return bytes.TrimRight(line, "\r\n"), nil
	}
}
