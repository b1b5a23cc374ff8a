package cli

import (
	"net/url"
	"sort"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"signalbox/internal/api"
)

func (a *app) ledgerCmd() *cobra.Command {
	var verify bool
	cmd := &cobra.Command{
		Use:   "ledger",
		Short: "Show whether the books balance",
		Long: `For each source: received = logged + rejected + refused + in flight.
For the log: logged = decided + duplicate + suppressed + unmatched + undecided, and
runs started = ended + waiting for a person + open. What the kernel dropped on UDP
sockets stands beside it. With --verify the whole log is read: every batch's
checksum and chain, every event decided exactly once, every run started once, no
finished step done again. Exits 1 where something does not balance.`,
		Example: "  signalbox ledger\n  signalbox ledger --verify --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			q := url.Values{}
			if verify {
				q.Set("verify", "true")
			}
			var l api.Ledger
			if err := c.get(cmd.Context(), "/api/v1/ledger", q, &l); err != nil {
				return err
			}
			if a.json {
				if err := a.printJSON(l); err != nil {
					return err
				}
			} else {
				a.printLedger(&l)
			}
			if !l.Balanced {
				return errSilent
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&verify, "verify", false, "read and check the whole log")
	return cmd
}

func (a *app) printLedger(l *api.Ledger) {
	a.printf("Intake since %s\n", l.Started.Local().Format(time.DateTime))
	a.printf("  %-20s %12s %12s %10s %10s %10s %12s\n", "source", "received", "logged", "rejected", "refused", "in flight", "kernel drops")
	for _, s := range l.Intake {
		var refused uint64
		for _, n := range s.Refused {
			refused += n
		}
		a.printf("  %-20s %12d %12d %10d %10d %10d %12d\n", clean(s.Name), s.Received, s.Logged, s.Rejected, refused, s.InFlight, s.KernelDrops)
	}
	b := l.Log
	a.printf("Log since %s, up to %s\n", b.Since.Local().Format(time.DateTime), b.Through)
	a.printf("  logged %d = decided %d + duplicate %d + suppressed %d + unmatched %d + undecided %d\n",
		b.Logged, b.Decided, b.Duplicate, b.Suppressed, b.Unmatched, l.Pending)
	if b.Timed > 0 {
		a.printf("  decided by time %d (windows, absences, groups): no event's outcome\n", b.Timed)
	}
	a.printf("  rejected %d, left by retention %d batches\n", b.Reject, b.Left)
	if b.Partial {
		a.printf("  the beginning of the log has left: some verdicts are about events that are not counted\n")
	}
	r := b.Runs
	a.printf("  runs started %d + requeued %d = succeeded %d + failed %d + in doubt %d + refused %d + open %d\n",
		r.Started, r.Requeued, r.Succeeded, r.Failed, r.InDoubt, r.Refused, l.Open)
	a.printf("  of the failed and those in doubt %d were discarded\n", r.Discarded)
	if l.Verified {
		a.printf("The whole log was read and checked in %s.\n", l.Took)
	}
	for _, p := range l.Problems {
		a.printf("PROBLEM: %s\n", clean(p))
	}
	if l.Balanced {
		a.printf("The books balance.\n")
	} else {
		a.printf("The books do NOT balance.\n")
	}
}

func (a *app) statusCmd() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show how the server is, and its sources", Args: cobra.NoArgs,
		Example: "  signalbox status\n  signalbox status --json | jq .ready",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			var st api.Status
			if err := c.get(cmd.Context(), "/api/v1/status", nil, &st); err != nil {
				return err
			}
			if a.json {
				if err := a.printJSON(st); err != nil {
					return err
				}
			} else {
				a.printStatus(&st)
			}
			if !st.Ready {
				return errSilent
			}
			return nil
		},
	}
}

func (a *app) printStatus(st *api.Status) {
	state := "ready"
	if !st.Ready {
		state = "NOT READY"
	}
	a.printf("signalbox %s: %s, since %s\n", st.Version, state, st.Started.Local().Format(time.DateTime))
	for _, p := range st.Problems {
		a.printf("  PROBLEM: %s\n", clean(p))
	}
	a.printf("rule set %s: %d rules, %d devices\n", st.RuleSet, st.Rules, st.Devices)
	if st.Reload != "" {
		a.printf("  the last reload was NOT taken:\n    %s\n", strings.ReplaceAll(cleanLines(st.Reload), "\n", "\n    "))
	}
	names := make([]string, 0, len(st.Listening))
	for n := range st.Listening {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		a.printf("listening: %-20s %s\n", clean(n), clean(st.Listening[n]))
	}
	for _, s := range st.Sources {
		health := "well"
		if s.Error != "" {
			health = clean(s.Error)
		}
		a.printf("source %s (%s): received %d, %s\n", clean(s.Name), s.Kind, s.Received, health)
	}
	a.printf("log: sequences %d to %d, %d bytes, %s to %s\n", st.Log.FirstSeq, st.Log.LastSeq, st.Log.Bytes,
		st.Log.FirstTime.Local().Format(time.DateTime), st.Log.LastTime.Local().Format(time.DateTime))
}

// cleanLines is clean for text of more than one line.
func cleanLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = clean(lines[i])
	}
	return strings.Join(lines, "\n")
}
