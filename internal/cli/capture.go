package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"signalbox/event"
	"signalbox/internal/api"
	"signalbox/internal/capture"
	"signalbox/internal/config"
	"signalbox/internal/intake"
	"signalbox/internal/normalize"
	"signalbox/internal/ruletest"
)

// captureFlags are the flags of `signalbox capture`.
type captureFlags struct {
	eventFilter
	event, around     string
	pcap, from        string
	rules             []string
	config, out, name string
	raw               bool
}

func (a *app) captureCmd() *cobra.Command {
	var f captureFlags
	cmd := &cobra.Command{
		Use:   "capture (--since TIME | --event ID | --from FILE | --pcap FILE)",
		Short: "Make a test of rules out of a stretch of the log, or of captured packets",
		Long: `Writes a test for 'signalbox test': the events of a stretch of the log, with times
since the first, or the syslog and traps in a pcap or pcapng file. What it expects is
what the rules make of them now. Look whether that is right: from then on the test
tells when a change makes it different.`,
		Example: `  signalbox capture --since 2026-11-24T03:00:00Z --until 2026-11-24T03:10:00Z --device core-01 -o tests/night.test.yaml
  signalbox capture --event 019360aa-7c1e-7d5a-8a53-0d6d5ff0a1b2 --around 2m
  signalbox capture --pcap incident.pcapng --rules rules/ -o tests/incident.test.yaml
  signalbox events --since 1h --json | signalbox capture --from -`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.capture(cmd.Context(), &f) },
	}
	f.flags(cmd)
	fl := cmd.Flags()
	fl.StringVar(&f.event, "event", "", "this event of the log, by its id")
	fl.StringVar(&f.around, "around", "", "with --event: what came so long before and after it on its device, too")
	fl.StringVar(&f.pcap, "pcap", "", "a pcap or pcapng file with syslog (UDP, TCP) and SNMP traps")
	fl.StringVar(&f.from, "from", "", "events as 'signalbox events --json' writes them; - for standard input")
	fl.StringSliceVar(&f.rules, "rules", nil, "rules that the test is about (default those of the configuration)")
	fl.StringVar(&f.config, "config", "", "configuration with inventory, mappings and types (default the nearest signalbox.yaml)")
	fl.StringVar(&f.name, "name", "", "name of the test")
	fl.StringVarP(&f.out, "output", "o", "", "file to write (default standard output); name it *.test.yaml")
	fl.BoolVar(&f.raw, "raw", false, "from the log: messages as their senders wrote them, so that mappings are tested, too")
	fl.IntVar(&f.limit, "limit", capture.MaxMessages, "at most so many events, the newest")
	return cmd
}

func (a *app) capture(ctx context.Context, f *captureFlags) error {
	ways := 0
	for _, on := range []bool{f.since != "", f.event != "", f.pcap != "", f.from != ""} {
		if on {
			ways++
		}
	}
	if ways != 1 {
		return &usageError{errors.New("capture: say what of with one of --since, --event, --pcap and --from")}
	}
	env, cfg, err := captureEnv(f)
	if err != nil {
		return a.mistakes(err)
	}
	o := capture.Options{Name: f.name, Raw: f.raw}
	var msgs []capture.Message
	if f.pcap != "" {
		msgs, err = packets(f.pcap, &o)
	} else {
		msgs, err = a.logged(ctx, f, cfg, &o)
	}
	if err != nil {
		return err
	}
	if o.Rules, err = relativeTo(f.out, f.rules); err != nil {
		return err
	}
	for _, n := range o.Notes {
		fmt.Fprintf(a.err, "signalbox: left out: %s\n", clean(n))
	}
	out, err := capture.Write(msgs, env, o)
	if err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	if f.out == "" {
		_, err = a.out.Write(out)
		return err
	}
	if err := os.MkdirAll(filepath.Dir(f.out), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(f.out, out, 0o644); err != nil {
		return err
	}
	a.printf("%s: %d messages; run it with 'signalbox test %s'\n", clean(f.out), len(msgs), clean(f.out))
	return nil
}

// captureEnv loads the rules that the test is about.
func captureEnv(f *captureFlags) (*ruletest.Env, *config.Config, error) {
	g, err := newGatherer(f.config)
	if err != nil {
		return nil, nil, err
	}
	at := "."
	if len(f.rules) > 0 {
		at = f.rules[0]
	}
	cfgPath, err := g.configOf(at)
	if err != nil {
		return nil, nil, err
	}
	if cfgPath == "" && len(f.rules) == 0 {
		return nil, nil, &usageError{errors.New("capture: which rules? Name them with --rules, or a configuration with --config")}
	}
	cfg := config.Default()
	if cfgPath != "" {
		if cfg, err = config.Load(cfgPath); err != nil {
			return nil, nil, err
		}
	}
	p := g.plan(cfgPath, f.rules)
	if err := g.mistakes(); err != nil {
		return nil, nil, err
	}
	return &p.env, &cfg, nil
}

// relativeTo writes paths as a file at out must name them.
func relativeTo(out string, paths []string) ([]string, error) {
	var list []string
	for _, p := range paths {
		rel, err := filepath.Rel(abs(filepath.Dir(out)), abs(p))
		if err != nil {
			return nil, err
		}
		list = append(list, filepath.ToSlash(rel))
	}
	return list, nil
}

func packets(path string, o *capture.Options) ([]capture.Message, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	p, err := capture.ReadPackets(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	o.From, o.Notes = filepath.Base(path), p.Reasons()
	if len(p.Messages) == 0 {
		return nil, fmt.Errorf("%s: %d packets, and no syslog message or trap in them", path, p.Packets)
	}
	return p.Messages, nil
}

// logged gets events of the log: from the server, or from a file of them.
func (a *app) logged(ctx context.Context, f *captureFlags, cfg *config.Config, o *capture.Options) ([]capture.Message, error) {
	var msgs []capture.Message
	add := func(line []byte) error {
		m, err := message(line, cfg)
		if err == nil && f.fits(m) {
			msgs = append(msgs, *m)
		}
		return err
	}
	if f.from != "" {
		o.From = filepath.Base(f.from)
		in := a.in
		if f.from != "-" {
			file, err := os.Open(f.from)
			if err != nil {
				return nil, err
			}
			defer file.Close()
			in = file
		} else {
			o.From = "standard input"
		}
		err := eachLine(in, func(n int, line []byte) error {
			if err := add(line); err != nil {
				return fmt.Errorf("%s:%d: %w", f.from, n, err)
			}
			return nil
		})
		return msgs, err
	}
	o.From = "the log"
	c, err := a.connect()
	if err != nil {
		return nil, err
	}
	if f.event != "" {
		if err := f.aroundEvent(ctx, c, add); err != nil || f.around == "" {
			return msgs, err
		}
		msgs = nil
	}
	q, err := f.query()
	if err != nil {
		return nil, err
	}
	err = c.lines(ctx, "/api/v1/events", q, add)
	return msgs, err
}

// aroundEvent reads one event, and with --around sets the filter to what came
// around it.
func (f *captureFlags) aroundEvent(ctx context.Context, c *client, add func([]byte) error) error {
	var raw json.RawMessage
	if err := c.get(ctx, "/api/v1/events/"+url.PathEscape(f.event), nil, &raw); err != nil {
		return err
	}
	if f.around == "" {
		return add(raw)
	}
	d, err := parseSpan(f.around)
	if err != nil {
		return &usageError{fmt.Errorf("--around: %w", err)}
	}
	var e api.Entry
	if err := json.Unmarshal(raw, &e); err != nil {
		return err
	}
	f.since = e.LogTime.Add(-d).Format(time.RFC3339Nano)
	f.until = e.LogTime.Add(d).Format(time.RFC3339Nano)
	if f.device == "" {
		f.device = e.Event.Device
	}
	return nil
}

// fits applies the filter to what comes from a file; the server does so itself.
func (f *captureFlags) fits(m *capture.Message) bool {
	if f.from == "" {
		return true
	}
	prefix, wild := strings.CutSuffix(f.typ, "*")
	return (f.device == "" || m.Event.Device == f.device) &&
		(f.typ == "" || m.Event.Type == f.typ || wild && strings.HasPrefix(m.Event.Type, prefix))
}

// message reads one line: an entry of the log, or an event alone.
func message(line []byte, cfg *config.Config) (*capture.Message, error) {
	var e api.Entry
	if err := json.Unmarshal(line, &e); err != nil {
		return nil, fmt.Errorf("no event: %w", err)
	}
	if e.Event.Type == "" && e.Event.ID == "" {
		var ev event.Event
		if err := json.Unmarshal(line, &ev); err != nil || ev.Type == "" {
			return nil, errors.New("no event: want what 'signalbox events --json' writes, one a line")
		}
		e = api.Entry{Event: ev, LogTime: ev.Received}
	}
	if e.LogTime.IsZero() {
		e.LogTime = e.Event.Time
	}
	if e.LogTime.IsZero() {
		return nil, errors.New("an event without a time: log_time, received or time is needed")
	}
	m := &capture.Message{Time: e.LogTime, Event: &e.Event, Raw: e.Event.Raw, Peer: e.Event.Peer, Source: e.Event.Source}
	if e.Status == "rejected" {
		m.Rejected = e.Reason
		if m.Rejected == "" {
			m.Rejected = "no reason is known"
		}
	}
	m.Form, m.Mapping = formOf(&e.Event, cfg)
	return m, nil
}

// formOf says how an event of the log was written, as far as the log or the
// configuration knows.
func formOf(ev *event.Event, cfg *config.Config) (normalize.Form, string) {
	if f := ev.Meta[intake.MetaForm]; f != "" {
		return normalize.Form(f), ev.Meta[intake.MetaMapping]
	}
	if n := cfg.Sources[ev.Source].Node; n != nil {
		var s struct {
			Kind string `yaml:"kind"`
		}
		if n.Decode(&s) == nil {
			switch s.Kind {
			case "syslog":
				return normalize.Syslog, ""
			case "snmp":
				return normalize.SNMP, ""
			case "webhook", "rabbitmq":
				return normalize.Payload, mappingOf(cfg)(ev.Source)
			}
		}
	}
	switch {
	case ev.Meta["snmp_version"] != "":
		return normalize.SNMP, ""
	case len(ev.Raw) > 0 && ev.Raw[0] == '<':
		return normalize.Syslog, ""
	}
	return "", ""
}

// eachLine calls fn for every line that is not empty.
func eachLine(in io.Reader, fn func(n int, line []byte) error) error {
	sc := bufio.NewScanner(in)
	sc.Buffer(make([]byte, 0, 64<<10), 32<<20)
	for n := 1; sc.Scan(); n++ {
		if len(strings.TrimSpace(sc.Text())) == 0 {
			continue
		}
		if err := fn(n, sc.Bytes()); err != nil {
			return err
		}
	}
	return sc.Err()
}
