package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"signalbox/internal/api"
)

// eventFilter is the flags that choose events.
type eventFilter struct {
	typ, device, source, status, grep, since, until string
	limit                                           int
}

func (f *eventFilter) flags(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&f.typ, "type", "", "event type, or a prefix as in 'bgp_*'")
	fl.StringVar(&f.device, "device", "", "device")
	fl.StringVar(&f.since, "since", "", "from this time on: RFC 3339, a date, or a span before now (30m, 7d)")
	fl.StringVar(&f.until, "until", "", "up to this time")
}

func (f *eventFilter) query() (url.Values, error) {
	q := url.Values{}
	now := time.Now()
	for name, text := range map[string]string{"since": f.since, "until": f.until} {
		t, err := when(text, now)
		if err != nil {
			return nil, &usageError{fmt.Errorf("--%s: %w", name, err)}
		}
		if !t.IsZero() {
			q.Set(name, t.Format(time.RFC3339Nano))
		}
	}
	for name, v := range map[string]string{"type": f.typ, "device": f.device, "source": f.source, "status": f.status, "grep": f.grep} {
		if v != "" {
			q.Set(name, v)
		}
	}
	if f.limit > 0 {
		q.Set("limit", strconv.Itoa(f.limit))
	}
	return q, nil
}

func (a *app) eventsCmd() *cobra.Command {
	var f eventFilter
	var follow bool
	cmd := &cobra.Command{
		Use:   "events [ID]",
		Short: "List the events in the log, search them, or follow them as they come",
		Long: `Lists the newest events that fit, oldest first. With an id it shows that event
whole, with its raw bytes, what was decided about it, and the runs it set off.`,
		Example: `  signalbox events --since 1h --type 'bgp_*'
  signalbox events --follow --device core-01
  signalbox events --status unmatched --limit 20
  signalbox events --grep 'LINK-3-UPDOWN' --json | jq .event.data
  signalbox events 019360aa-7c1e-7d5a-8a53-0d6d5ff0a1b2`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			if len(args) == 1 {
				return a.showJSON(cmd.Context(), c, "/api/v1/events/"+url.PathEscape(args[0]))
			}
			q, err := f.query()
			if err != nil {
				return err
			}
			if follow {
				q.Set("follow", "true")
			}
			return a.list(cmd, c, "/api/v1/events", q, a.printEntry, "no event fits")
		},
	}
	f.flags(cmd)
	cmd.Flags().StringVar(&f.source, "source", "", "source")
	cmd.Flags().StringVar(&f.status, "status", "", "decided, duplicate, suppressed, unmatched, rejected or pending")
	cmd.Flags().StringVar(&f.grep, "grep", "", "text that the raw message or the data contains")
	cmd.Flags().IntVar(&f.limit, "limit", 100, "at most so many, the newest; 0 for all")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on as events come in")
	return cmd
}

func (a *app) printEntry(line []byte) error {
	if a.json {
		_, err := fmt.Fprintf(a.out, "%s\n", cleanJSON(line))
		return err
	}
	var e api.Entry
	if err := json.Unmarshal(line, &e); err != nil {
		return err
	}
	ev := &e.Event
	where := ev.Device
	if ev.Interface != "" {
		where += " " + ev.Interface
	}
	note := e.Reason
	if e.Of != "" {
		note = "repeats " + string(e.Of)
	}
	for _, r := range e.Runs {
		note += " → " + r
	}
	for _, n := range e.Notes {
		note += " [" + n.Rule + ": " + n.Outcome
		if n.Detail != "" {
			note += ", " + n.Detail
		}
		note += "]"
	}
	for _, c := range e.Situations {
		note += " [" + c.Rule + ": " + c.Change + " " + c.ID + "]"
	}
	_, err := fmt.Fprintf(a.out, "%s  %-10s %-24s %-28s %s  %s\n", e.LogTime.Local().Format("2006-01-02 15:04:05.000"),
		e.Status, clean(ev.Type), clean(where), clean(string(ev.ID)), clean(note))
	return err
}

// showJSON prints one object, indented for people and on a line for --json.
func (a *app) showJSON(ctx context.Context, c *client, path string) error {
	var v any
	var raw json.RawMessage
	if err := c.get(ctx, path, nil, &raw); err != nil {
		return err
	}
	if a.json {
		_, err := fmt.Fprintf(a.out, "%s\n", cleanJSON(raw))
		return err
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		return err
	}
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.out, "%s\n", cleanJSON(b))
	return err
}

func (a *app) replayCmd() *cobra.Command {
	var f eventFilter
	var effects bool
	var note string
	cmd := &cobra.Command{
		Use:   "replay --since TIME [--until TIME]",
		Short: "Feed a stretch of the log through the rules again",
		Long: `Feeds logged events through the rules that hold now. It is a dry run: what would
be done is recorded and nothing is done, unless --effects says otherwise. The
runs that it starts are marked as a replay.`,
		Example: `  signalbox replay --since 2h
  signalbox replay --since 2026-11-24T03:00:00Z --until 2026-11-24T03:10:00Z --device core-01
  signalbox runs --replay`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.since == "" {
				return &usageError{fmt.Errorf("replay: say from when with --since")}
			}
			now := time.Now()
			since, err := when(f.since, now)
			if err != nil {
				return &usageError{err}
			}
			until, err := when(f.until, now)
			if err != nil {
				return &usageError{err}
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			var res api.ReplayResult
			req := api.ReplayRequest{Since: since, Until: until, Type: f.typ, Device: f.device, Effects: effects, Note: note, By: person()}
			if err := c.post(cmd.Context(), "/api/v1/replay", req, &res); err != nil {
				return err
			}
			if a.json {
				return a.printJSON(res)
			}
			how := "with effects"
			if res.DryRun {
				how = "as a dry run"
			}
			a.printf("%s fed through the rules again, %s (replay %s); see 'signalbox runs --replay'\n", counted(res.Events, "event"), how, res.ID)
			return nil
		},
	}
	f.flags(cmd)
	cmd.Flags().BoolVar(&effects, "effects", false, "let the runs do what they say")
	cmd.Flags().StringVar(&note, "note", "", "why, for the log")
	return cmd
}

func (a *app) rejectedCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rejected",
		Short: "Events that failed their schema: list them, and put them back after a fix",
		Example: `  signalbox rejected list
  signalbox rejected show 019360aa-7c1e-7d5a-8a53-0d6d5ff0a1b2
  signalbox rejected resubmit 019360aa-7c1e-7d5a-8a53-0d6d5ff0a1b2`,
	}
	f := eventFilter{status: "rejected"}
	list := &cobra.Command{
		Use: "list", Short: "List rejected events, with the reason", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			q, err := f.query()
			if err != nil {
				return err
			}
			return a.list(cmd, c, "/api/v1/events", q, a.printEntry, "no event fits")
		},
	}
	f.flags(list)
	list.Flags().IntVar(&f.limit, "limit", 100, "at most so many, the newest; 0 for all")
	show := &cobra.Command{
		Use: "show ID", Short: "Show one, with its raw bytes", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			return a.showJSON(cmd.Context(), c, "/api/v1/events/"+url.PathEscape(args[0]))
		},
	}
	resubmit := &cobra.Command{
		Use: "resubmit ID...", Short: "Map the raw bytes again and put them back", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			return a.each(cmd.Context(), c, args, func(id string) string { return "/api/v1/events/" + url.PathEscape(id) + "/resubmit" }, "put back")
		},
	}
	cmd.AddCommand(list, show, resubmit)
	return cmd
}

// each posts to one path per id and reports each; it fails if one failed.
func (a *app) each(ctx context.Context, c *client, ids []string, path func(string) string, done string) error {
	return a.eachWith(ctx, c, ids, api.CommandRequest{By: person()}, path, done)
}

// eachWith is each with what is posted.
func (a *app) eachWith(ctx context.Context, c *client, ids []string, by api.CommandRequest, path func(string) string, done string) error {
	failed := false
	for _, id := range ids {
		var res map[string]any
		if err := c.post(ctx, path(id), by, &res); err != nil {
			failed = true
			fmt.Fprintf(a.err, "signalbox: %s: %v\n", clean(id), err)
			continue
		}
		if a.json {
			if err := a.printJSON(res); err != nil {
				return err
			}
			continue
		}
		a.printf("%s %s", clean(id), done)
		if next, ok := res["event"].(string); ok {
			a.printf(" as %s", clean(next))
		}
		a.printf("\n")
	}
	if failed {
		return errSilent
	}
	return nil
}

func (a *app) printJSON(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.out, "%s\n", cleanJSON(b))
	return err
}

func (a *app) reloadCmd() *cobra.Command {
	return &cobra.Command{
		Use: "reload", Short: "Load rules, inventory and mappings again", Args: cobra.NoArgs,
		Long: `Loads rules, inventory, mappings and event types again, as SIGHUP and a change of
a file do. If they have mistakes all of these are shown, the running ones are kept,
and it exits 1.`,
		Example: "  signalbox check && signalbox reload",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			var st api.Status
			resp, err := c.do(cmd.Context(), http.MethodPost, "/api/v1/reload", nil, api.CommandRequest{By: person()})
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if err := json.NewDecoder(resp.Body).Decode(&st); err != nil {
				return err
			}
			if a.json {
				return a.printJSON(st)
			}
			a.printf("rule set %s: %d rules, %d devices\n", st.RuleSet, st.Rules, st.Devices)
			for _, r := range st.Resets {
				a.printf("reset: %s\n", clean(r))
			}
			for _, name := range slices.Sorted(maps.Keys(st.Kept)) {
				a.printf("kept: rule %s, %s\n", clean(name), counted(st.Kept[name], "key"))
			}
			return nil
		},
	}
}
