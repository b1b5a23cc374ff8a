package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"go.yaml.in/yaml/v4"
	"golang.org/x/sync/errgroup"

	"signalbox/event"
	"signalbox/internal/action/emit"
	"signalbox/internal/api"
	"signalbox/internal/config"
	"signalbox/internal/intake"
	"signalbox/internal/metrics"
	"signalbox/internal/source"
)

// feed is one source with its books.
type feed struct {
	name, kind string
	src        source.Source
	metrics    *metrics.Set
	log        *slog.Logger

	received, logged, rejected, drops atomic.Uint64

	mu       sync.Mutex
	refused  map[string]uint64
	unparsed map[string]uint64
	health   error
}

// maxPeers bounds the senders that a feed counts unparsed messages for.
const maxPeers = 256

func (f *feed) Received(n int) {
	f.received.Add(uint64(n))
	f.metrics.Received(f.name, n)
}

func (f *feed) Refused(reason string, n int) {
	f.mu.Lock()
	f.refused[reason] += uint64(n)
	f.mu.Unlock()
	f.metrics.Refused(f.name, reason, n)
}

func (f *feed) KernelDrops(total uint64) {
	f.drops.Store(total)
	f.metrics.KernelDrops(f.name, total)
}

func (f *feed) Unparsed(peer string) {
	if host, _, err := net.SplitHostPort(peer); err == nil {
		peer = host
	}
	f.mu.Lock()
	if _, known := f.unparsed[peer]; !known && len(f.unparsed) >= maxPeers {
		peer = "other"
	}
	f.unparsed[peer]++
	f.mu.Unlock()
	f.metrics.Unparsed(f.name, peer)
}

func (f *feed) setHealth(err error) {
	f.mu.Lock()
	before := f.health
	f.health = err
	f.mu.Unlock()
	f.metrics.SourceUp(f.name, err == nil)
	switch {
	case err != nil && before == nil:
		f.log.Error("source is not well; it keeps trying", "source", f.name, "err", err)
	case err == nil && before != nil:
		f.log.Info("source is well again", "source", f.name)
	}
}

func (f *feed) status() api.SourceStatus {
	st := api.SourceStatus{Name: f.name, Kind: f.kind,
		Logged: f.logged.Load(), Rejected: f.rejected.Load(), KernelDrops: f.drops.Load()}
	f.mu.Lock()
	st.Refused, st.Unparsed = maps.Clone(f.refused), maps.Clone(f.unparsed)
	if f.health != nil {
		st.Error = f.health.Error()
	}
	f.mu.Unlock()
	// Received last: it is counted first, so what is in flight is never below 0.
	st.Received = f.received.Load()
	st.InFlight = int64(st.Received) - int64(st.Logged) - int64(st.Rejected)
	for _, n := range st.Refused {
		st.InFlight -= int64(n)
	}
	return st
}

// unconfigured is the feed of webhooks whose name no configuration has, and
// ourselves the one of events that Signalbox makes and puts back.
const (
	unconfigured = "unconfigured"
	ourselves    = "signalbox"
)

// feeds is all sources with their books.
type feeds struct {
	metrics *metrics.Set
	log     *slog.Logger

	mu        sync.RWMutex
	byName    map[string]*feed
	listening map[string]string
}

func newFeeds(m *metrics.Set, log *slog.Logger) *feeds {
	return &feeds{metrics: m, log: log, byName: map[string]*feed{}, listening: map[string]string{}}
}

func (fs *feeds) add(name, kind string) *feed {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f := fs.byName[name]; f != nil {
		return f
	}
	f := &feed{name: name, kind: kind, metrics: fs.metrics, log: fs.log, refused: map[string]uint64{}, unparsed: map[string]uint64{}}
	fs.byName[name] = f
	fs.metrics.Source(name, kind == "syslog" || kind == "snmp")
	return f
}

func (fs *feeds) get(name string) *feed {
	fs.mu.RLock()
	f := fs.byName[name]
	fs.mu.RUnlock()
	if f == nil {
		f = fs.add(unconfigured, "webhook")
	}
	return f
}

// The feeds are the intake's observer. What an event made itself (emitted, put
// back) was received in that moment.
func (fs *feeds) Accepted(source, _ string) { fs.get(source).logged.Add(1) }
func (fs *feeds) Rejected(source, typ string) {
	fs.get(source).rejected.Add(1)
	fs.metrics.Event(typ, "rejected")
}
func (fs *feeds) Unparsed(source, peer string) { fs.get(source).Unparsed(peer) }
func (fs *feeds) Lost(source string, n int)    { fs.get(source).Refused("unavailable", n) }

func (fs *feeds) listens(what, address string) {
	fs.mu.Lock()
	fs.listening[what] = address
	fs.mu.Unlock()
}

func (fs *feeds) addresses() map[string]string {
	fs.mu.RLock()
	defer fs.mu.RUnlock()
	return maps.Clone(fs.listening)
}

func (fs *feeds) all() []*feed {
	fs.mu.RLock()
	defer fs.mu.RUnlock()
	out := make([]*feed, 0, len(fs.byName))
	for _, name := range slices.Sorted(maps.Keys(fs.byName)) {
		out = append(out, fs.byName[name])
	}
	return out
}

func (fs *feeds) status() []api.SourceStatus {
	var out []api.SourceStatus
	for _, f := range fs.all() {
		out = append(out, f.status())
	}
	return out
}

// build makes all sources of the configuration and reports every mistake in
// their sections. env gives what all sources share.
func (fs *feeds) build(cfg *config.Config, reg *source.Registry, env source.Env, handle func(name string, h http.Handler)) error {
	var mistakes config.Problems
	for _, name := range slices.Sorted(maps.Keys(cfg.Sources)) {
		node := cfg.Sources[name].Node
		kind, problem := sourceKind(cfg.Path, name, node, reg)
		if problem != nil {
			mistakes = append(mistakes, *problem)
			continue
		}
		f := fs.add(name, kind)
		e := env
		e.Name, e.Log, e.Counters = name, fs.log.With("source", name), f
		e.Handle = func(h http.Handler) { handle(name, h) }
		e.Health = f.setHealth
		e.Listening = func(network, address string) { fs.listens(name+" "+kind+" "+network, address) }
		src, _, err := reg.Build(kind, e, func(into any) error {
			if ps := config.Decode(cfg.Path, withoutKind(node), into); len(ps) > 0 {
				return ps
			}
			return nil
		})
		if err != nil {
			mistakes = append(mistakes, sourceProblems(cfg.Path, name, node, err)...)
			continue
		}
		f.src = src
		f.metrics.SourceUp(name, true)
	}
	if len(mistakes) > 0 {
		return mistakes
	}
	return nil
}

func sourceKind(path, name string, node *yaml.Node, reg *source.Registry) (string, *config.Problem) {
	if node.Kind != yaml.MappingNode {
		return "", &config.Problem{File: path, Line: node.Line, Col: node.Column, Message: "sources." + name + ": want a mapping with kind"}
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value != "kind" {
			continue
		}
		v := node.Content[i+1]
		if !slices.Contains(reg.Kinds(), v.Value) {
			return "", &config.Problem{File: path, Line: v.Line, Col: v.Column,
				Message: fmt.Sprintf("sources.%s: no kind of source is called %q%s", name, v.Value, config.Likely(v.Value, reg.Kinds()))}
		}
		return v.Value, nil
	}
	return "", &config.Problem{File: path, Line: node.Line, Col: node.Column,
		Message: fmt.Sprintf("sources.%s: kind is missing%s", name, config.Likely("", reg.Kinds()))}
}

// withoutKind is the section without the key that only we read.
func withoutKind(n *yaml.Node) *yaml.Node {
	c := *n
	c.Content = nil
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value != "kind" {
			c.Content = append(c.Content, n.Content[i], n.Content[i+1])
		}
	}
	return &c
}

func sourceProblems(path, name string, node *yaml.Node, err error) config.Problems {
	var ps config.Problems
	if errors.As(err, &ps) {
		return ps
	}
	list := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		list = joined.Unwrap()
	}
	for _, e := range list {
		ps = append(ps, config.Problem{File: path, Line: node.Line, Col: node.Column, Message: "sources." + name + ": " + e.Error()})
	}
	return ps
}

// run runs all sources until ctx ends.
func (fs *feeds) run(ctx context.Context, emit source.Emit) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, f := range fs.all() {
		if f.src == nil {
			continue
		}
		g.Go(func() error {
			if err := f.src.Run(ctx, emit); err != nil {
				return fmt.Errorf("source %s: %w", f.name, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// Emit takes an event that an action made.
func (d *daemon) Emit(ctx context.Context, ev event.Event) (event.ID, error) {
	ev.Source = ourselves
	d.feeds.get(ourselves).Received(1)
	id, err := d.intake.EmitEvent(ctx, ev)
	var rejected *intake.RejectedError
	if errors.As(err, &rejected) {
		err = &emit.RejectedError{ID: rejected.ID, Reason: rejected.Reason}
	}
	return id, err
}
