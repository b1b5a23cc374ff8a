package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"signalbox/internal/backtest"
	"signalbox/internal/daemon"
	"signalbox/internal/decide"
	"signalbox/internal/eventlog"
	"signalbox/internal/normalize"
	"signalbox/internal/record"
)

// backtestFlags are what backtest is called with.
type backtestFlags struct {
	rules, against, since, until, from, source, config, html string
	remap, progress                                          bool
	top                                                      int
}

func (a *app) backtestCmd() *cobra.Command {
	var f backtestFlags
	cmd := &cobra.Command{
		Use:   "backtest [--rules DIR] [--since TIME] [--against DIR|active]",
		Short: "Run rules over the log with no effect: what would they have done?",
		Long: `Lets rules decide about what has been logged, by the same engine that decides
live, and reports what they would have run: how often, for which devices, in which
minute most, and which events no rule took. Nothing is done and nothing is written.

With --against the report says what is different from another rule set ('active' is
the one in force), with the first run of each rule and each device.

The log is read through the server where one runs on the data folder, and from the
folder otherwise. With --from events come from a file instead: raw syslog lines, or
JSON lines as 'signalbox events --json' writes them, or bodies of webhooks; it may be
compressed with gzip or zstd, and '-' is standard input. Time is the log's: a span
counts back from the end of the log (of a file: from when it was written).`,
		Example: `  signalbox backtest --rules rules/ --since 30d
  signalbox backtest --rules new-rules/ --against active --since 30d --html report.html
  signalbox backtest --rules rules/ --against ../main/rules --since 2026-11-01 --until 2026-11-08 --json
  signalbox backtest --rules rules/ --from /var/log/network.log.gz
  ssh collector cat /var/log/network.log | signalbox backtest --rules rules/ --from -`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.backtest(cmd, &f) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.rules, "rules", "", "folder or file of the rules to try (default: the configuration's)")
	fl.StringVar(&f.against, "against", "", "folder or file of rules to compare with, or 'active'")
	fl.StringVar(&f.since, "since", "", "from this time on: RFC 3339, a date, or a span before the end (30m, 30d); default all")
	fl.StringVar(&f.until, "until", "", "up to this time")
	fl.StringVar(&f.from, "from", "", "file of raw syslog lines or JSON lines; '-' for standard input")
	fl.StringVar(&f.source, "source", "", "what the file has: syslog, or webhook:NAME where NAME is a mapping (default: seen line by line)")
	fl.StringVar(&f.config, "config", "", "configuration with inventory, types and mappings (default signalbox.yaml here, if there is one)")
	fl.BoolVar(&f.remap, "remap", false, "map the raw bytes again with today's mappings first")
	fl.StringVar(&f.html, "html", "", "write a report as one HTML file, too")
	fl.IntVar(&f.top, "top", backtest.DefaultTop, "how many devices to list")
	fl.BoolVar(&f.progress, "progress", false, "show the progress on standard error even where that is no terminal")
	return cmd
}

func (a *app) backtest(cmd *cobra.Command, f *backtestFlags) error {
	ctx := cmd.Context()
	trial, err := daemon.NewTrial(f.config, exists)
	if err != nil {
		return a.mistakes(err)
	}
	loaded, err := trial.Load(f.rules)
	if err != nil {
		return a.mistakes(err)
	}
	for _, w := range loaded.Warnings {
		a.complain(w)
	}
	if f.rules == "" && len(loaded.Set.Rules) == 0 {
		return &usageError{errors.New("there are no rules to try: name them with --rules, or their configuration with --config")}
	}
	o := backtest.Options{Rules: backtest.Candidate{Name: f.named(), Rules: decide.New(loaded.Set, loaded.Inventory)}, Top: f.top}
	src, err := a.batchSource(ctx, f, trial, loaded)
	if err != nil {
		return err
	}
	defer src.close()
	if o.Against, err = a.opponent(ctx, f, trial, src); err != nil {
		return a.mistakes(err)
	}
	begin, end, err := src.stretch(ctx)
	if err != nil {
		return err
	}
	if o.Since, o.Until, err = f.times(end); err != nil {
		return &usageError{err}
	}
	made := backtest.Made{Version: cmd.Root().Version, Command: commandLine(cmd), Log: src.name(), Config: trial.Config.Path}
	r := &backtestRun{src: src, again: remapper(f, trial, loaded), begin: begin, end: end, made: made, show: f.progress}
	report, err := a.try(ctx, o, r)
	if err != nil {
		return err
	}
	return a.writeReport(f, report)
}

// named is what the candidate is called.
func (f *backtestFlags) named() string {
	if f.rules == "" {
		return "the configured rules"
	}
	return f.rules
}

// times reads --since and --until: a span counts back from --until, or from the
// end.
func (f *backtestFlags) times(end time.Time) (since, until time.Time, err error) {
	if until, err = when(f.until, end); err != nil {
		return since, until, fmt.Errorf("--until: %w", err)
	}
	base := end
	if !until.IsZero() {
		base = until
	}
	if since, err = when(f.since, base); err != nil {
		return since, until, fmt.Errorf("--since: %w", err)
	}
	if !until.IsZero() && !since.Before(until) {
		return since, until, fmt.Errorf("--since: %s is not before --until, %s", since.Format(time.RFC3339), until.Format(time.RFC3339))
	}
	return since, until, nil
}

// opponent is what the candidate is compared with, nil for nothing.
func (a *app) opponent(ctx context.Context, f *backtestFlags, trial *daemon.Trial, src batches) (*backtest.Candidate, error) {
	switch f.against {
	case "":
		return nil, nil
	case "active":
		bundle, err := src.active(ctx)
		if err != nil {
			return nil, fmt.Errorf("--against active: %w", err)
		}
		rules, err := trial.Bundle(bundle)
		if err != nil {
			return nil, fmt.Errorf("--against active: %w", err)
		}
		return &backtest.Candidate{Name: "active", Rules: rules}, nil
	}
	loaded, err := trial.Load(f.against)
	if err != nil {
		return nil, err
	}
	return &backtest.Candidate{Name: f.against, Rules: decide.New(loaded.Set, loaded.Inventory)}, nil
}

func remapper(f *backtestFlags, trial *daemon.Trial, loaded *daemon.Loaded) *backtest.Remapper {
	if !f.remap {
		return nil
	}
	return &backtest.Remapper{Normalizer: loaded.Normalizer, Sources: trial.Sources()}
}

// backtestRun is what a trial is run with.
type backtestRun struct {
	src        batches
	again      *backtest.Remapper // nil: events stay as they are
	begin, end time.Time          // of what there is
	made       backtest.Made
	show       bool
}

// from is where reading begins: so long before --since that the windows are as
// they would have been, as far as the log goes back.
func (r *backtestRun) from(o *backtest.Options) time.Time {
	if o.Since.IsZero() {
		return r.begin
	}
	reach := o.Rules.Reach()
	if o.Against != nil {
		reach = max(reach, o.Against.Reach())
	}
	from := o.Since.Add(-reach)
	if r.begin.IsZero() || !from.Before(r.begin) {
		return from
	}
	begins := "the log begins at " + r.begin.UTC().Format(time.RFC3339)
	if o.Since.After(r.begin) {
		r.made.Notes = append(r.made.Notes, begins+": windows that began before are not known")
	} else {
		r.made.Notes = append(r.made.Notes, begins+", after --since")
	}
	return r.begin
}

// try takes the batches through a trial.
func (a *app) try(ctx context.Context, o backtest.Options, r *backtestRun) (*backtest.Report, error) {
	if os.Getenv("GOGC") == "" {
		// Most of what is read is forgotten at once: memory for time.
		defer debug.SetGCPercent(debug.SetGCPercent(300))
	}
	t := backtest.New(o)
	from, end := r.from(&o), o.Until
	if end.IsZero() {
		end = r.end
	}
	show := a.progress(r.show, from, end)
	err := r.src.read(ctx, from, o.Until, func(b *record.Batch) error {
		if r.again != nil {
			b = r.again.Batch(b)
		}
		if err := t.Take(b); err != nil {
			return err
		}
		show.tick(t.Taken)
		return nil
	})
	show.end(t.Taken)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	report, err := t.Report()
	if err != nil {
		return nil, err
	}
	r.made.WarmUp, r.made.Notes = report.Made.WarmUp, append(r.made.Notes, r.src.notes()...)
	if r.again != nil {
		r.made.Remap = &r.again.Counts
	}
	report.Made = r.made
	return report, nil
}

func (a *app) writeReport(f *backtestFlags, r *backtest.Report) error {
	if f.html != "" {
		file, err := os.Create(f.html)
		if err != nil {
			return fmt.Errorf("--html: %w", err)
		}
		if err := errors.Join(r.HTML(file), file.Close()); err != nil {
			return fmt.Errorf("--html: %w", err)
		}
	}
	if a.json {
		return r.JSON(jsonCleaner{a.out})
	}
	return r.Text(a.out, clean)
}

// commandLine is how the command was called, but for what does not shape the
// report.
func commandLine(cmd *cobra.Command) string {
	words := []string{"signalbox", "backtest"}
	cmd.Flags().Visit(func(fl *pflag.Flag) {
		switch fl.Name {
		case "html", "json", "progress", "data":
			return
		}
		switch v := fl.Value.String(); {
		case fl.Value.Type() == "bool":
			words = append(words, "--"+fl.Name)
		case strings.ContainsAny(v, " \t'\"$`\\*?") || v == "":
			words = append(words, "--"+fl.Name, "'"+strings.ReplaceAll(v, "'", `'\''`)+"'")
		default:
			words = append(words, "--"+fl.Name, v)
		}
	})
	return strings.Join(words, " ")
}

// batchSource decides where the events come from.
func (a *app) batchSource(ctx context.Context, f *backtestFlags, trial *daemon.Trial, loaded *daemon.Loaded) (batches, error) {
	if f.from != "" {
		form, mapping := normalize.Form(""), ""
		if f.source != "" {
			var err error
			if form, mapping, err = mapForm(f.source); err != nil {
				return nil, &usageError{err}
			}
			if form == normalize.SNMP {
				return nil, &usageError{errors.New("--source: a file has syslog or webhook:NAME")}
			}
		}
		return openFile(f.from, a, backtest.FileOptions{Normalizer: loaded.Normalizer, Form: form, Mapping: mapping, Source: "file"}, trial)
	}
	if f.source != "" {
		return nil, &usageError{errors.New("--source says what the file of --from has")}
	}
	return a.logSource(ctx, trial)
}

// logSource is the log: through the server where one runs, or from its folder.
func (a *app) logSource(ctx context.Context, trial *daemon.Trial) (batches, error) {
	dir := dataDir(a.data)
	if os.Getenv("SIGNALBOX_URL") == "" {
		r, err := trial.OpenReader(ctx, dir, a.storeLog())
		if err == nil {
			return &folderLog{r: r, dir: dir}, nil
		}
		if !errors.Is(err, eventlog.ErrLocked) {
			return nil, fmt.Errorf("%w; name the data folder with --data or SIGNALBOX_DATA, or give events with --from FILE", err)
		}
	}
	c, err := a.connect()
	if err != nil {
		return nil, err
	}
	return &serverLog{c: c}, nil
}
