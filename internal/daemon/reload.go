package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"

	"signalbox/internal/config"
)

// reload loads rules, inventory, mappings and event types again. What has
// mistakes is not taken: the running ones are kept, and it is said loudly, in
// the log, the status and the metrics. What the configuration file says of
// listeners and sources is taken at the next start.
func (d *daemon) reload(why string) error {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	err := d.tryReload()
	d.metrics.Reload(err == nil)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		d.reloadError = err.Error()
		d.logger.Error("reload NOT taken: the running rules, inventory and mappings are kept", "why", why, "err", err)
		return err
	}
	d.reloadError = ""
	d.logger.Info("reloaded", "why", why, "rules", len(d.loaded.Set.Rules), "devices", d.loaded.Inventory.Len(), "rule_set", d.loaded.Set.Version)
	return nil
}

// countFromZero tells the metrics which rules may run.
func (d *daemon) countFromZero(l *Loaded) {
	for _, r := range l.Set.Rules {
		d.metrics.Rules(r.Name)
	}
}

func (d *daemon) tryReload() error {
	cfg, err := config.Load(d.opt.Config)
	if err != nil {
		return err
	}
	// What a reload takes, and nothing else.
	next := d.cfg
	next.Inventory, next.Rules, next.Mappings, next.Types, next.MIBs, next.Dedup, next.Limits = cfg.Inventory, cfg.Rules, cfg.Mappings, cfg.Types, cfg.MIBs, cfg.Dedup, cfg.Limits
	d.loading.Store(true)
	loaded, err := Load(&next, d.actions.Registry.Specs())
	d.loading.Store(false)
	if err != nil {
		return err
	}
	d.rules.offer(loaded)
	for _, w := range loaded.Warnings {
		d.logger.Warn(w)
	}
	d.countFromZero(loaded)
	d.mu.Lock()
	before := d.loaded
	d.loaded = loaded
	d.mu.Unlock()
	if loaded.Bundle.Version() != before.Bundle.Version() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := d.publishRules(ctx); err != nil {
			d.mu.Lock()
			d.loaded = before
			d.mu.Unlock()
			return err
		}
	}
	d.intake.SetEdge(d.edge())
	return nil
}

// settle is how long files must be quiet before they are loaded: editors and
// git write more than once.
const settle = 300 * time.Millisecond

// watch reloads on SIGHUP and when a file changes, until ctx ends.
func (d *daemon) watch(ctx context.Context) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	w, err := fsnotify.NewWatcher()
	if err != nil {
		d.logger.Warn("files cannot be watched; SIGHUP loads them", "err", err)
		w = &fsnotify.Watcher{}
	} else {
		defer w.Close()
		d.watchFolders(w)
	}
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	changed := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hup:
			_ = d.reload("SIGHUP") // reported there
			d.watchFolders(w)
		case ev, ok := <-w.Events:
			if !ok {
				w.Events = nil
				continue
			}
			if !ours(ev) {
				continue
			}
			changed = ev.Name
			timer.Reset(settle)
		case err, ok := <-w.Errors:
			if ok {
				d.logger.Warn("watching files", "err", err)
			} else {
				w.Errors = nil
			}
		case <-timer.C:
			_ = d.reload("changed: " + changed)
			d.watchFolders(w)
		}
	}
}

// ours leaves out what editors put beside the file.
func ours(ev fsnotify.Event) bool {
	if ev.Op == fsnotify.Chmod {
		return false
	}
	switch filepath.Ext(ev.Name) {
	case ".yaml", ".yml", ".json":
		return filepath.Base(ev.Name)[0] != '.'
	}
	info, err := os.Stat(ev.Name)
	return err == nil && info.IsDir() && filepath.Base(ev.Name)[0] != '.'
}

// watchFolders watches every folder that something is read from. Adding one
// twice is harmless.
func (d *daemon) watchFolders(w *fsnotify.Watcher) {
	if w.Events == nil {
		return
	}
	paths := append([]string{d.opt.Config}, d.cfg.Inventory...)
	for _, list := range []config.Paths{d.cfg.Rules, d.cfg.Mappings, d.cfg.Types} {
		paths = append(paths, list...)
	}
	for _, p := range paths {
		root := p
		if p != d.opt.Config {
			root = d.cfg.Resolve(p)
		}
		if info, err := os.Stat(root); err == nil && !info.IsDir() {
			root = filepath.Dir(root)
			_ = w.Add(root)
			continue
		}
		err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.IsDir() {
				return err
			}
			return w.Add(path)
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			d.logger.Warn("a folder cannot be watched", "path", root, "err", err)
		}
	}
}

// banner prints where Signalbox listens, what it loaded, and three things to
// try.
func (d *daemon) banner() {
	data, err := filepath.Abs(d.opt.Data)
	if err != nil {
		data = d.opt.Data
	}
	out := func(format string, args ...any) { fmt.Fprintf(d.opt.Out, format, args...) }
	out("Signalbox %s\n\nlistening\n", d.opt.Version)
	addrs := d.feeds.addresses()
	for _, what := range sortedKeys(addrs) {
		out("  %-24s %s\n", what, addrs[what])
	}
	set, sources := d.loaded.Set, len(d.cfg.Sources)
	out("\nloaded %d rules, %d devices, %d sources (rule set %s)\ndata in %s\n", len(set.Rules), d.loaded.Inventory.Len(), sources, set.Version, data)
	flag := ""
	if d.opt.Data != os.Getenv("SIGNALBOX_DATA") && d.opt.Data != "signalbox-data" {
		flag = " --data " + d.opt.Data
	}
	name := "signalbox"
	if exe, err := os.Executable(); err == nil {
		name = exe
		if wd, err := os.Getwd(); err == nil {
			if rel, err := filepath.Rel(wd, exe); err == nil && len(rel) < len(exe) {
				name = rel
			}
		}
	}
	out("\ntry, in another terminal\n  %s send syslog%s\n  %s events%s\n  %s runs%s\n\n", name, flag, name, flag, name, flag)
}
