package cli

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"signalbox/internal/api"
	"signalbox/internal/explain"
	"signalbox/internal/rule"
)

func (a *app) rulesCmd() *cobra.Command {
	list := func(cmd *cobra.Command, _ []string) error {
		c, err := a.connect()
		if err != nil {
			return err
		}
		return c.lines(cmd.Context(), "/api/v1/rules", nil, a.printRule)
	}
	cmd := &cobra.Command{
		Use:   "rules",
		Short: "List the rules in force; see what shadow rules would have done",
		Example: `  signalbox rules
  signalbox rules compare --since 7d
  signalbox rules compare port-down-next --with port-down`,
		Args: cobra.NoArgs,
		RunE: list,
	}
	cmd.AddCommand(&cobra.Command{Use: "list", Short: "List the rules in force, in the order of the files", Args: cobra.NoArgs, RunE: list},
		a.compareCmd(), a.schemaCmd())
	return cmd
}

func (a *app) schemaCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of rule files and their tests, for editors",
		Long: `Prints the JSON Schema (2020-12) of rule files. An editor with a YAML language server
then completes keys, says what each is for, and marks what is wrong, if the first line
of a file names it:

  # yaml-language-server: $schema=rules.schema.json
  # yaml-language-server: $schema=rules.schema.json#/$defs/testFile   (of *.test.yaml)`,
		Example: `  signalbox rules schema > rules.schema.json`,
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := a.out.Write(rule.SchemaJSON)
			return err
		},
	}
}

func (a *app) printRule(line []byte) error {
	if a.json {
		_, err := fmt.Fprintf(a.out, "%s\n", cleanJSON(line))
		return err
	}
	var r api.RuleInfo
	if err := json.Unmarshal(line, &r); err != nil {
		return err
	}
	form, more := r.Form, ""
	if form == "" {
		form = "event"
	}
	if len(r.Holds) > 0 {
		more += "  holds " + strings.Join(r.Holds, ", ")
	}
	for _, l := range r.Limits {
		more += "  at most " + l
	}
	if r.With != "" {
		more += "  compared with " + r.With
	}
	_, err := fmt.Fprintf(a.out, "%-7s %-28s %-9s on %s%s  (%s)\n", r.Mode, clean(r.Name), form,
		clean(strings.Join(r.On, ", ")), clean(more), clean(r.Place))
	return err
}

func (a *app) compareCmd() *cobra.Command {
	var since, until, with string
	cmd := &cobra.Command{
		Use:   "compare [SHADOW-RULE]",
		Short: "Put what shadow rules would have run beside what active rules did",
		Long: `Reads the log and puts each rule in shadow mode beside the active rule that it is a
trial of: how many runs each, on how many devices, and what only one of them took.
That is the active rule whose name the shadow rule's begins with (port-down and
port-down-next), or else the only active one that listens to the same types; --with
names another.`,
		Example: `  signalbox rules compare
  signalbox rules compare --since 7d --json
  signalbox rules compare port-down-next --with port-down`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			q := url.Values{}
			now := time.Now()
			for name, text := range map[string]string{"since": since, "until": until} {
				t, err := when(text, now)
				if err != nil {
					return &usageError{fmt.Errorf("--%s: %w", name, err)}
				}
				if !t.IsZero() {
					q.Set(name, t.Format(time.RFC3339Nano))
				}
			}
			if len(args) == 1 {
				q.Set("rule", args[0])
			}
			if with != "" {
				q.Set("with", with)
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			var res []explain.Compared
			if err := c.get(cmd.Context(), "/api/v1/rules/compare", q, &res); err != nil {
				return err
			}
			for i := range res {
				if a.json {
					if err := a.printJSON(&res[i]); err != nil {
						return err
					}
					continue
				}
				if i > 0 {
					a.printf("\n")
				}
				a.printCompared(&res[i])
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&since, "since", "24h", "from this time on: RFC 3339, a date, or a span before now (30m, 7d)")
	cmd.Flags().StringVar(&until, "until", "", "up to this time")
	cmd.Flags().StringVar(&with, "with", "", "the active rule to compare with")
	return cmd
}

func (a *app) printCompared(c *explain.Compared) {
	active := c.Active
	if active == "" {
		active = "–"
	}
	a.printf("%-12s %-28s %s\n", "", "shadow "+clean(c.Shadow), "active "+clean(active))
	a.printf("%-12s %-28d %d\n", "runs", c.ShadowRuns, c.ActiveRuns)
	a.printf("%-12s %-28d %d\n", "devices", c.Devices.Shadow, c.Devices.Active)
	a.printf("%-12s %-28d %d\n", "only there", c.OnlyShadowN, c.OnlyActiveN)
	a.printf("%-12s %d\n", "both", c.Both)
	if len(c.Held) > 0 {
		a.printf("%-12s %s\n", "shadow also", clean(strings.Join(c.Held, ", ")))
	}
	if c.RuleSets > 1 {
		a.printf("%d rule sets decided in this time: the numbers mix them\n", c.RuleSets)
	}
	for _, side := range []struct {
		name    string
		took    []explain.Took
		n       int
		devices []string
	}{{"shadow", c.OnlyShadow, c.OnlyShadowN, c.Devices.OnlyShadow}, {"active", c.OnlyActive, c.OnlyActiveN, c.Devices.OnlyActive}} {
		if side.n == 0 {
			continue
		}
		a.printf("only %s", side.name)
		if len(side.devices) > 0 {
			a.printf(", and on %s only there", clean(strings.Join(side.devices, ", ")))
		}
		a.printf("\n")
		for _, t := range side.took {
			what := t.Device
			if t.Key != "" {
				what = t.Key
			}
			a.printf("  %s  %s  %-24s %-24s %s\n", stamp(t.Time), clean(string(t.Event)), clean(t.Type), clean(what), clean(t.Run))
		}
		if more := side.n - len(side.took); more > 0 {
			a.printf("  … %d more\n", more)
		}
	}
}
