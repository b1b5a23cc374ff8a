package cli

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/user"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

// runLine is what the list of runs shows of one.
type runLine struct {
	ID      string    `json:"run"`
	Rule    string    `json:"rule"`
	Device  string    `json:"device"`
	State   string    `json:"status"`
	Started time.Time `json:"begun"`
	Ended   time.Time `json:"ended"`
	Error   string    `json:"error"`
	Replay  bool      `json:"replay"`
	DryRun  bool      `json:"dry_run"`
	Key     string    `json:"key"`
	Total   int       `json:"events_total"`
	Branch  string    `json:"branch"`
}

func (a *app) runsCmd() *cobra.Command {
	var rule, device, state string
	var follow, replay bool
	var limit int
	cmd := &cobra.Command{
		Use:   "runs [ID]",
		Short: "List the runs, show one step by step, or follow them live",
		Example: `  signalbox runs
  signalbox runs --state in_doubt
  signalbox runs --follow --rule port-down
  signalbox runs r42-0-1c0ffee5`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			if len(args) == 1 {
				return a.showJSON(cmd.Context(), c, "/api/v1/runs/"+url.PathEscape(args[0]))
			}
			q := url.Values{"limit": {strconv.Itoa(limit)}}
			for k, v := range map[string]string{"rule": rule, "device": device, "state": state} {
				if v != "" {
					q.Set(k, v)
				}
			}
			if follow {
				q.Set("follow", "true")
			}
			if replay {
				q.Set("replay", "true")
			}
			return a.list(cmd, c, "/api/v1/runs", q, a.printRun, "no run fits")
		},
	}
	cmd.Flags().StringVar(&rule, "rule", "", "rule")
	cmd.Flags().StringVar(&device, "device", "", "device")
	cmd.Flags().StringVar(&state, "state", "", "pending, running, waiting, succeeded, failed, in_doubt, discarded")
	cmd.Flags().BoolVar(&replay, "replay", false, "only those of replays")
	cmd.Flags().IntVar(&limit, "limit", 100, "at most so many, the newest; 0 for 100")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on as runs change")
	return cmd
}

func (a *app) printRun(line []byte) error {
	if a.json {
		_, err := fmt.Fprintf(a.out, "%s\n", cleanJSON(line))
		return err
	}
	var r runLine
	if err := json.Unmarshal(line, &r); err != nil {
		return err
	}
	at := "                    –  "
	if !r.Started.IsZero() {
		at = r.Started.Local().Format("2006-01-02 15:04:05.000")
	}
	mark := ""
	if r.Replay {
		mark = " (replay)"
	}
	if r.DryRun {
		mark = " (dry run)"
	}
	if r.Key != "" && r.Total > 0 {
		mark += fmt.Sprintf(" [%s: %s]", clean(r.Key), counted(r.Total, "event"))
	}
	if r.Branch != "" {
		mark += " " + clean(r.Branch)
	}
	_, err := fmt.Fprintf(a.out, "%s  %-10s %-24s %-20s %-26s %s%s\n", at,
		r.State, clean(r.Rule), clean(r.Device), r.ID, clean(r.Error), mark)
	return err
}

func (a *app) deadletterCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "deadletter",
		Aliases: []string{"dl"},
		Short:   "Runs that failed for good or are in doubt: list, show, requeue, discard",
		Example: `  signalbox deadletter list
  signalbox deadletter show r42-0-1c0ffee5
  signalbox deadletter requeue r42-0-1c0ffee5`,
	}
	list := &cobra.Command{
		Use: "list", Short: "List what waits for a person", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			return a.list(cmd, c, "/api/v1/deadletters", nil, a.printRun, "no run waits for a person")
		},
	}
	show := &cobra.Command{
		Use: "show RUN", Short: "Show one: the event, and every attempt with its error and time", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			return a.showJSON(cmd.Context(), c, "/api/v1/deadletters/"+url.PathEscape(args[0]))
		},
	}
	cmd.AddCommand(list, show)
	for _, verb := range []struct{ name, short, done string }{
		{"requeue", "Try again from the step that failed", "requeued"},
		{"discard", "Give up for good", "discarded"},
	} {
		cmd.AddCommand(&cobra.Command{
			Use: verb.name + " RUN...", Short: verb.short, Args: cobra.MinimumNArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				c, err := a.connect()
				if err != nil {
					return err
				}
				return a.each(cmd.Context(), c, args, func(id string) string {
					return "/api/v1/deadletters/" + url.PathEscape(id) + "/" + verb.name
				}, verb.done)
			},
		})
	}
	return cmd
}

// person names who gives a command, for the log.
func person() string {
	if u, err := user.Current(); err == nil {
		host, _ := os.Hostname()
		return u.Username + "@" + host
	}
	return "unknown"
}
