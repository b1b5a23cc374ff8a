package cli

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"signalbox/internal/api"
	"signalbox/internal/situation"
)

func (a *app) situationsCmd() *cobra.Command {
	var state, rule string
	var follow bool
	var limit int
	cmd := &cobra.Command{
		Use:     "situations [ID]",
		Aliases: []string{"situation", "sit"},
		Short:   "List what is wrong now: incidents that rules have opened; acknowledge, resolve",
		Long: `Lists the situations that rules have opened (see 'situation:' in docs/rules.md), the
one that changed last at the end. With an id it shows that one whole: its events,
its runs and every change. Resolved ones are listed for a day.`,
		Example: `  signalbox situations --state open
  signalbox situations --follow --rule link-down
  signalbox situations s42-0-1f2e3d4c5b6a
  signalbox situations ack s42-0-1f2e3d4c5b6a --note "the carrier is on it"`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			if len(args) == 1 {
				path := "/api/v1/situations/" + url.PathEscape(args[0])
				if a.json {
					return a.showJSON(cmd.Context(), c, path)
				}
				var s situationWhole
				if err := c.get(cmd.Context(), path, nil, &s); err != nil {
					return err
				}
				a.printWhole(&s)
				return nil
			}
			q := url.Values{"limit": {strconv.Itoa(limit)}}
			for k, v := range map[string]string{"state": state, "rule": rule} {
				if v != "" {
					q.Set(k, v)
				}
			}
			if follow {
				q.Set("follow", "true")
			}
			return a.list(cmd, c, "/api/v1/situations", q, a.printSituation, "no situation fits")
		},
	}
	cmd.Flags().StringVar(&state, "state", "", "open, acknowledged or resolved")
	cmd.Flags().StringVar(&rule, "rule", "", "rule")
	cmd.Flags().IntVar(&limit, "limit", 100, "at most so many, those that changed last; 0 for all")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on as situations change")
	for _, verb := range []struct{ name, path, short, done string }{
		{"ack", "acknowledge", "Say that somebody has seen it and is on it", "acknowledged"},
		{"resolve", "resolve", "Say that it is over; its 'resolved' steps run", "resolved"},
	} {
		var note string
		sub := &cobra.Command{
			Use: verb.name + " ID...", Short: verb.short, Args: cobra.MinimumNArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				c, err := a.connect()
				if err != nil {
					return err
				}
				return a.eachWith(cmd.Context(), c, args, api.CommandRequest{By: person(), Note: note}, func(id string) string {
					return "/api/v1/situations/" + url.PathEscape(id) + "/" + verb.path
				}, verb.done)
			},
		}
		sub.Flags().StringVar(&note, "note", "", "why, for the log")
		cmd.AddCommand(sub)
	}
	return cmd
}

func (a *app) printSituation(line []byte) error {
	if a.json {
		_, err := fmt.Fprintf(a.out, "%s\n", cleanJSON(line))
		return err
	}
	var s situation.Situation
	if err := json.Unmarshal(line, &s); err != nil {
		return err
	}
	who := ""
	if s.By != "" || s.Note != "" {
		if s.By != "" {
			who = " by " + s.By
		}
		if s.Note != "" {
			who += ": " + s.Note
		}
	}
	_, err := fmt.Fprintf(a.out, "%s  %-12s %-24s %-32s %s  %s, %s%s\n", stamp(s.Changed), s.State,
		clean(s.Rule), clean(s.Key), clean(s.ID), counted(s.EventCount, "event"), counted(s.RunCount, "run"), clean(who))
	return err
}

// counted is a number of things for people.
func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func stamp(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05.000") }

// situationWhole is a situation with its runs as they are.
type situationWhole struct {
	situation.Situation
	RunDetails []runLine `json:"run_details"`
}

func (a *app) printWhole(s *situationWhole) {
	a.printf("%s  %s\n  rule    %s\n  key     %s\n  opened  %s\n", clean(s.ID), s.State, clean(s.Rule), clean(s.Key), stamp(s.Opened))
	if !s.Resolved.IsZero() {
		a.printf("  ended   %s, after %s\n", stamp(s.Resolved), s.Resolved.Sub(s.Opened).Round(time.Millisecond))
	}
	a.printf("\nevents %d\n", s.EventCount)
	for i, e := range s.Events {
		if i == situation.MaxLines/2 && s.EventCount > len(s.Events) {
			a.printf("  … %d more\n", s.EventCount-len(s.Events))
		}
		a.printf("  %s  %-24s %s\n", clean(string(e.ID)), clean(e.Type), clean(strings.TrimSpace(e.Device+" "+e.Interface)))
	}
	a.printf("\nruns %d\n", s.RunCount)
	status := map[string]*runLine{}
	for i := range s.RunDetails {
		status[s.RunDetails[i].ID] = &s.RunDetails[i]
	}
	for i, r := range s.Runs {
		if i == situation.MaxLines/2 && s.RunCount > len(s.Runs) {
			a.printf("  … %d more\n", s.RunCount-len(s.Runs))
		}
		branch, state, why := r.Branch, "", ""
		if branch == "" {
			branch = "do"
		}
		if v := status[r.ID]; v != nil {
			state, why = v.State, v.Error
		}
		a.printf("  %s  %-10s %-10s %s\n", clean(r.ID), branch, state, clean(why))
	}
	a.printf("\nchanges %d\n", s.ChangeCount)
	for i, c := range s.Changes {
		if i == situation.MaxLines/2 && s.ChangeCount > len(s.Changes) {
			a.printf("  … %d more\n", s.ChangeCount-len(s.Changes))
		}
		what := string(c.Event)
		if c.By != "" {
			what = strings.TrimSpace("by " + c.By + "  " + c.Note)
		} else if c.Note != "" {
			what = c.Note
		}
		if c.Run != "" {
			what += " → " + c.Run
		}
		a.printf("  %s  %-12s %s\n", stamp(c.Time), c.Change, clean(what))
	}
}
