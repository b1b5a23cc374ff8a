// Package source is the contract between Signalbox and the outside feeds that
// events come from: what a source must do, how it is built from its
// configuration, and how it acknowledges. Every source passes sourcetest.Run.
package source

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"

	"signalbox/internal/normalize"
)

// Source turns one outside feed into messages until ctx ends. Run returns nil
// on a clean stop; an error stops Signalbox, so a feed that is away (a broker
// that is down) is not an error: the source says so through Env.Health, keeps
// trying with backoff, and loses nothing.
type Source interface {
	Run(ctx context.Context, emit Emit) error
}

// Emit hands over messages in order. It blocks while the log is behind: that
// is the backpressure; a source that can answer "busy" gives a ctx with a
// deadline. A nil error means that done will be called exactly once, from
// another goroutine, with one Receipt a message, when all of them are durable
// or refused; acknowledge the peer there, never before. A non-nil error means
// that nothing was taken and done will not be called: ErrUnavailable, or
// ErrBusy where ctx ended while waiting for room. Emit may be called from many
// goroutines at once. done must not block.
type Emit func(ctx context.Context, batch []normalize.Input, done func([]Receipt)) error

// Receipt is what became of one message. With Err nil it is on disk.
type Receipt struct {
	ID string // the event's id
	// Rejected is the reason why the event is in the log as rejected ("" where
	// it passed): it is safe there, and the sender may be told.
	Rejected string
	Err      error // ErrUnavailable: not known to be in the log; send it again
}

var (
	// ErrBusy means that a bound is reached: slow down and send again.
	ErrBusy = errors.New("too many events in flight")
	// ErrUnavailable means that the log cannot be written at present.
	ErrUnavailable = errors.New("event log unavailable")
	// ErrDiskFull is the reason for ErrUnavailable that senders may be told.
	ErrDiskFull = errors.New("its disk is full")
)

// Counters is where a source counts what never became a message. All methods
// are safe for many goroutines and cheap.
type Counters interface {
	// Received counts messages read from the peer, before Emit.
	Received(n int)
	// Refused counts messages that were not taken, by a short constant reason
	// ("auth", "too_large", "malformed", "busy", "unavailable").
	Refused(reason string, n int)
	// KernelDrops sets the total that the kernel says it dropped on the
	// source's sockets since start.
	KernelDrops(total uint64)
	// Unparsed counts a message that was kept though its parser could not make
	// sense of it all, by sender (bounded by the receiver).
	Unparsed(peer string)
}

// Env is what a source gets from Signalbox.
type Env struct {
	Name     string // configured name
	Log      *slog.Logger
	Counters Counters
	// Handle mounts an HTTP handler for POST /webhook/<name> on the main
	// listener.
	Handle func(h http.Handler)
	// Health tells what the source's state is; nil means well. Shown by
	// /readyz, the API and the metrics.
	Health func(err error)
	// Listening tells an address that the source listens on ("udp
	// 127.0.0.1:5514"), once it does.
	Listening func(network, address string)
	// MappingHeaders names the headers that a mapping reads: the source keeps
	// them in Input.Meta. May be nil.
	MappingHeaders func(mapping string) []string
	// SplitPayload takes one JSON object apart where the mapping says that it
	// carries several events; nil for one. The parts are events like any other,
	// bounded by the source's limits. May be nil.
	SplitPayload func(mapping string, raw []byte) ([][]byte, error)
	// Secret resolves a reference to a secret.
	Secret func(name string) (string, error)
	// Dir is the folder of the configuration file: relative paths start there.
	Dir string
}

// Builder makes a source of one kind from its configuration. node decodes into
// the source's own config type and reports every problem with its place.
type Builder func(env Env, decode func(into any) error) (Source, error)

// Registry holds the kinds of sources of this binary. It is a value: no init
// registration.
type Registry struct{ builders map[string]Builder }

// NewRegistry returns an empty registry.
func NewRegistry() *Registry { return &Registry{builders: map[string]Builder{}} }

// Register teaches r to build one kind of source from its own config type C.
// defaults gives the configuration that the user's is laid over; build gets it
// after strict decoding (unknown keys are errors) and validation.
func Register[C any](r *Registry, kind string, defaults func() C, build func(Env, C) (Source, error)) {
	if _, dup := r.builders[kind]; dup {
		panic("source: " + kind + " registered twice")
	}
	r.builders[kind] = func(env Env, decode func(any) error) (Source, error) {
		cfg := defaults()
		if err := decode(&cfg); err != nil {
			return nil, err
		}
		if v, ok := any(cfg).(interface{ Validate() error }); ok {
			if err := v.Validate(); err != nil {
				return nil, err
			}
		}
		return build(env, cfg)
	}
}

// Build makes a source of the named kind. ok is false where there is no such
// kind.
func (r *Registry) Build(kind string, env Env, decode func(any) error) (s Source, ok bool, err error) {
	b, ok := r.builders[kind]
	if !ok {
		return nil, false, nil
	}
	s, err = b(env, decode)
	return s, true, err
}

// Kinds lists what can be built, sorted.
func (r *Registry) Kinds() []string {
	out := make([]string, 0, len(r.builders))
	for k := range r.builders {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
