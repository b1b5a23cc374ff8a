// Package daemon puts the parts together and runs them: sources, the log, the
// engine, the worker and the API, from start to an orderly stop.
package daemon

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"signalbox/internal/api"
	"signalbox/internal/config"
	"signalbox/internal/eventlog"
	"signalbox/internal/intake"
	"signalbox/internal/metrics"
	"signalbox/internal/plugins"
	"signalbox/internal/record"
	"signalbox/internal/source"
	"signalbox/internal/worker"
)

// Options are what serve is called with.
type Options struct {
	Config  string // path of signalbox.yaml
	Data    string // data folder; made where it is not there
	Version string
	Log     *slog.Logger
	Out     io.Writer // the banner
}

// daemon is a running Signalbox.
type daemon struct {
	opt     Options
	cfg     config.Config
	logger  *slog.Logger
	started time.Time
	ready   atomic.Bool
	logged  atomic.Uint64 // records, for limitMemory
	loading atomic.Bool   // rules are being compiled
	built   atomic.Bool   // decider and worker are there: the log asks about them from the first moment

	metrics *metrics.Set
	log     *eventlog.Log
	intake  *intake.Intake
	feeds   *feeds
	actions *plugins.Actions
	rules   *ruleStore
	decider *decider
	worker  *worker.Worker
	labour  *labour
	books   *bookkeeper
	api     *api.Server
	http    *listener

	mu          sync.Mutex
	loaded      *Loaded
	reloadError string
	reloading   sync.Mutex
	explaining  chan struct{} // has room for those under way
}

// Run starts Signalbox and runs it until ctx ends; then it drains within the
// configured limit. The error says why it could not start or had to stop.
func Run(ctx context.Context, opt Options) error {
	d := &daemon{opt: opt, logger: opt.Log, started: time.Now(), metrics: metrics.New(), explaining: make(chan struct{}, explainers)}
	var err error
	if d.cfg, err = config.Load(opt.Config); err != nil {
		return err
	}
	for _, dir := range []string{"state", "snmp"} {
		if err := os.MkdirAll(filepath.Join(opt.Data, dir), 0o700); err != nil {
			return fmt.Errorf("data folder: %w", err)
		}
	}
	d.feeds = newFeeds(d.metrics, d.logger)
	for _, name := range []string{unconfigured, ourselves} {
		d.feeds.add(name, "internal")
	}
	if d.actions, err = plugins.NewActions(&d.cfg, plugins.Env{Log: d.logger, Emitter: d}); err != nil {
		return err
	}
	if d.loaded, err = Load(&d.cfg, d.actions.Registry.Specs()); err != nil {
		return err
	}
	for _, t := range d.loaded.Catalogue.Types() {
		d.metrics.Know(t.Name)
	}
	d.countFromZero(d.loaded)
	for _, spec := range d.actions.Registry.Specs() {
		d.metrics.Actions(spec.Name)
	}
	for _, w := range d.loaded.Warnings {
		d.logger.Warn(w)
	}
	limitMemory(ctx, d.logged.Load, d.loading.Load)
	return d.run(ctx)
}

// run opens the log and everything that stands on it.
func (d *daemon) run(ctx context.Context) (err error) {
	lc, err := logConfig(&d.cfg, d.opt.Data)
	if err != nil {
		return err
	}
	lc.Metrics, lc.Undone, lc.OnCorrupt = logMetrics{d}, d.undone, d.corrupt
	state := stateDir(filepath.Join(d.opt.Data, "state"))
	d.rules = newRuleStore(d.actions.Registry.Specs(), state, d.logger)
	d.rules.offer(d.loaded)
	early := restoreEngine(state, d.rules.load)
	defer func() { <-early.done }()
	if d.log, err = d.openLog(ctx, lc); err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err = errors.Join(err, d.log.Close(ctx))
	}()
	lost, release, err := d.log.Lead(ctx, func(active string) {
		d.logger.Warn("standing by: another node is active; this one takes over when it ends", "active", active)
	})
	if err != nil {
		return err
	}
	defer release()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case err := <-lost:
			d.logger.Error("stopping: this node may not be the active one any more", "err", err)
			cancel(err)
		case <-ctx.Done():
		}
	}()
	defer func() {
		if cause := context.Cause(ctx); errors.Is(cause, eventlog.ErrLeaseLost) {
			err = errors.Join(cause, err)
		}
	}()
	d.intake = intake.New(d.log, d.edge(), d.feeds)
	d.books = newBookkeeper(d.log, state, d.logger)
	if d.decider, err = resumeDecider(d.log, d.books, early, state, d.metrics, d.logger); err != nil {
		return err
	}
	d.decider.form = d.rules.form
	if err := d.hire(state); err != nil {
		return err
	}
	if err := d.serveHTTP(); err != nil {
		return err
	}
	return d.parts(ctx)
}

// openLog opens the log. An external server that is away is waited for: it is
// no reason to end, as a broker that is away is none.
func (d *daemon) openLog(ctx context.Context, lc eventlog.Config) (*eventlog.Log, error) {
	for wait := time.Second; ; wait = min(2*wait, 30*time.Second) {
		l, err := eventlog.Open(ctx, lc, d.logger)
		if err == nil || lc.URL == "" || errors.Is(err, eventlog.ErrCorrupt) || errors.Is(err, eventlog.ErrLocked) {
			return l, err
		}
		d.logger.Error("the external log cannot be opened; trying again", "err", err, "again_in", wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// hire makes the worker.
func (d *daemon) hire(state stateDir) error {
	cfg := worker.DefaultConfig()
	cfg.Journal, cfg.Rules, cfg.Actions, cfg.Scope = d.log, d.rules, d.actions.Registry, d.rules.Scope
	cfg.Archive, cfg.Metrics, cfg.Log = archive{d.log}, runMetrics{d.metrics}, d.logger
	cfg.Secrets, cfg.KindLimit = d.secret, d.cfg.Workers.PerAction
	cfg.Pending, cfg.Concurrent, cfg.PerKind = d.cfg.Workers.Pending, d.cfg.Workers.Concurrency, d.cfg.Workers.Concurrency
	var err error
	if d.worker, err = worker.New(cfg); err != nil {
		return err
	}
	d.labour = &labour{log: d.log, worker: d.worker, state: state, logger: d.logger, relay: d.decider.relay}
	first := d.worker.First
	d.decider.first.Store(&first)
	d.built.Store(true)
	return nil
}

// serveHTTP makes the API and binds its listener; nothing is answered yet.
func (d *daemon) serveHTTP() error {
	token, err := apiToken(filepath.Join(d.opt.Data, api.TokenFile))
	if err != nil {
		return err
	}
	if d.api, err = api.New(backend{d}, token, d.metrics.Handler(), d.logger); err != nil {
		return err
	}
	if d.http, err = listen(&d.cfg, d.api, d.logger); err != nil {
		return err
	}
	d.feeds.listens("http", d.http.addr())
	if err := d.http.publishCert(filepath.Join(d.opt.Data, api.CertFile)); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(d.opt.Data, api.AddressFile), []byte(d.http.url()+"\n"), 0o600)
}

// parts runs everything in the order in which it depends on each other, and
// ends it the other way round.
func (d *daemon) parts(ctx context.Context) error {
	base, stopAll := context.WithCancel(context.WithoutCancel(ctx))
	defer stopAll()
	core, coreCtx := errgroup.WithContext(base)
	core.Go(func() error { return d.http.serve(coreCtx) })
	core.Go(func() error { return d.decider.Run(coreCtx) })
	core.Go(func() error { return d.actions.Run(coreCtx) })
	// A signal ends the preparations, and so does a part that has failed.
	prep, cancel := context.WithCancel(coreCtx)
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	if err := d.prepare(prep, core, coreCtx); err != nil {
		stopAll()
		if cerr := core.Wait(); cerr != nil && !errors.Is(cerr, context.Canceled) {
			return cerr // the cause; err is what followed from it
		}
		return err
	}
	feeding, feedCtx := errgroup.WithContext(coreCtx)
	feedCtx, stopFeeds := context.WithCancel(feedCtx)
	defer stopFeeds()
	feeding.Go(func() error { return d.feeds.run(feedCtx, d.intake.Emit) })
	feeding.Go(func() error { return d.watch(feedCtx) })
	feeding.Go(func() error { d.gauge(feedCtx); return nil })
	d.awaitListeners(feedCtx)
	d.ready.Store(true)
	d.banner()
	select {
	case <-ctx.Done():
	case <-feedCtx.Done():
	}
	d.ready.Store(false)
	limit := time.Duration(d.cfg.Drain)
	if errors.Is(context.Cause(ctx), eventlog.ErrLeaseLost) {
		limit = 0 // another node may be doing the same runs
	}
	return d.stop(limit, stopFeeds, stopAll, feeding, core)
}

// prepare brings the runs up to date, puts the rules into the log, and builds
// the sources.
func (d *daemon) prepare(ctx context.Context, core *errgroup.Group, coreCtx context.Context) error {
	// Runs that were decided before need the rules that decided them.
	select {
	case <-d.decider.caughtUp:
	case <-ctx.Done():
		return ctx.Err()
	}
	from, err := d.labour.prepare(ctx)
	if err != nil {
		return err
	}
	core.Go(func() error { return d.labour.follow(coreCtx, from) })
	if err := d.publishRules(ctx); err != nil {
		return err
	}
	return d.buildSources()
}

// awaitListeners waits until the sources that listen have said where: a moment
// after the last one did.
func (d *daemon) awaitListeners(ctx context.Context) {
	const still, most = 100 * time.Millisecond, 3 * time.Second
	begun, changed, n := time.Now(), time.Now(), 0
	for time.Since(changed) < still && time.Since(begun) < most && ctx.Err() == nil {
		if now := len(d.feeds.addresses()); now != n {
			n, changed = now, time.Now()
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// stop is the orderly end: sources first, so that what they have accepted is
// logged; then the runs, within the limit; then the rest. What is not done
// stays in the log for the next start.
func (d *daemon) stop(limit time.Duration, stopFeeds, stopAll context.CancelFunc, feeding, core *errgroup.Group) error {
	d.logger.Info("stopping", "limit", limit)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	stopFeeds()
	err := feeding.Wait()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	d.intake.Close()
	if derr := d.worker.Drain(ctx); derr != nil {
		d.logger.Warn("not all runs ended in time; they go on at the next start", "err", derr)
	}
	d.labour.save()
	d.http.shutdown(ctx)
	stopAll()
	if cerr := core.Wait(); cerr != nil && !errors.Is(cerr, context.Canceled) {
		err = errors.Join(err, cerr)
	}
	d.logger.Info("stopped")
	return err
}

func (d *daemon) buildSources() error {
	env := source.Env{Dir: d.cfg.Dir, Secret: d.secret,
		MappingHeaders: func(m string) []string { return d.intake.Edge().Normalizer.Headers(m) },
		SplitPayload: func(m string, raw []byte) ([][]byte, error) {
			return d.intake.Edge().Normalizer.SplitPayload(m, raw)
		}}
	if err := d.feeds.build(&d.cfg, plugins.Sources(d.opt.Data), env, d.api.Webhook); err != nil {
		return err
	}
	defer d.api.Mounted()
	if d.cfg.UnconfiguredWebhooks != "loopback" {
		return nil
	}
	f := d.feeds.get(unconfigured)
	env.Name, env.Log, env.Counters, env.Health = unconfigured, d.logger, f, f.setHealth
	env.Handle = func(h http.Handler) { d.api.Webhook("", h) }
	env.Listening = func(string, string) {}
	f.src = plugins.UnconfiguredWebhooks(env)
	return nil
}

// publishRules puts the rule set into the log; it holds from there on.
func (d *daemon) publishRules(ctx context.Context) error {
	d.mu.Lock()
	bundle := d.loaded.Bundle
	d.mu.Unlock()
	version, data := bundle.Version(), bundle.Encode()
	if err := d.rules.save(version, data); err != nil {
		return fmt.Errorf("rule set: %w", err)
	}
	const part = 512 << 10
	n := max(1, (len(data)+part-1)/part)
	var recs []record.Record
	for i := range n {
		end := min((i+1)*part, len(data))
		recs = append(recs, record.Record{Kind: record.KindRules, Rules: &record.Rules{
			Version: version, Part: uint32(i), Parts: uint32(n), Data: data[i*part : end]}})
	}
	// One by one: together they may be too large for a batch.
	for i := range recs {
		if err := d.appendEvents(ctx, recs[i:i+1]); err != nil {
			return fmt.Errorf("rule set: %w", err)
		}
	}
	return nil
}

// appendEvents writes records to log.events and waits until they are on disk.
func (d *daemon) appendEvents(ctx context.Context, recs []record.Record) error {
	done := make(chan error, 1)
	if err := d.log.Append(ctx, record.Events, recs, func(_ []record.Position, err error) { done <- err }); err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d *daemon) edge() intake.Edge {
	return intake.Edge{Normalizer: d.loaded.Normalizer, Catalogue: d.loaded.Catalogue}
}

// secret resolves secret("name") of rules.
func (d *daemon) secret(name string) (string, error) {
	ref, ok := d.cfg.Secrets[name]
	if !ok {
		return "", fmt.Errorf("no secret is named %q in the configuration", name)
	}
	return ref.Value()
}

// undone is the oldest position of log.events that is not decided yet, or whose
// runs are not done.
func (d *daemon) undone() record.Position {
	if !d.built.Load() {
		return record.Position{}
	}
	at := d.decider.Decided()
	if open := d.worker.Oldest(); !open.IsZero() && open.Less(at) {
		return open
	}
	return at
}

func (d *daemon) corrupt(e *eventlog.CorruptError) {
	d.logger.Error("the event log is damaged", "err", e)
}

// logMetrics tells the metrics what the log does.
type logMetrics struct{ d *daemon }

func (m logMetrics) Appended(s record.Subject, records, bytes int, took time.Duration) {
	m.d.logged.Add(uint64(records))
	m.d.metrics.Batch(string(s), records, bytes, took)
}
func (m logMetrics) Restarted() { m.d.logger.Warn("the event log was restarted") }

// gauge sets the depths of the queues.
func (d *daemon) gauge(ctx context.Context) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		for _, s := range []record.Subject{record.Events, record.Journal} {
			d.metrics.Queue(string(s), d.log.Queued(s))
		}
		d.metrics.Queue("decisions", int(d.decider.backlog.Load()))
		w := d.worker.Depths()
		d.metrics.Queue("runs", w.Open)
		d.metrics.Queue("runs_waiting", w.Waiting)
		d.metrics.Queue("runs_far", w.Far)
		d.metrics.Queue("attempts", w.Running)
		d.metrics.Queue("dead_letters", w.Dead)
		d.metrics.Queue("in_doubt", w.InDoubt)
		open, acknowledged, resolved := d.books.countSituations()
		d.metrics.Situations("open", open)
		d.metrics.Situations("acknowledged", acknowledged)
		d.metrics.Situations("resolved", resolved)
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// apiToken reads the token, and makes one the first time.
func apiToken(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err == nil && len(b) >= 32 {
		return string(b[:len(b)-1]), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("API token: %w", err)
	}
	var raw [32]byte
	_, _ = rand.Read(raw[:])
	token := hex.EncodeToString(raw[:])
	if err := writeFile(path, []byte(token+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("API token: %w", err)
	}
	return token, nil
}
