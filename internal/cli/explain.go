package cli

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"signalbox/internal/explain"
)

func (a *app) explainCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "explain EVENT|RUN",
		Short: "Say why an event did what it did, or why it did nothing",
		Long: `Walks every rule that was asked about an event, in the order of the pipe: on, when,
dedup or dampen, upstream, the form, holds, group, situation, do. Each part of a
condition is shown with its value, each window with what it held before the event
came, each run with what its steps gave. It shows what was decided then, by the
rules that held then. With a run's id it shows the event that set it off, to that
run's rule.`,
		Example: `  signalbox explain 019360aa-7c1e-7d5a-8a53-0d6d5ff0a1b2
  signalbox explain r42-0-1f2e3d4c5b6a
  signalbox explain 019360aa-7c1e-7d5a-8a53-0d6d5ff0a1b2 --json | jq '.rules[] | {rule, result}'`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			path := "/api/v1/explain/" + url.PathEscape(args[0])
			if a.json {
				return a.showJSON(cmd.Context(), c, path)
			}
			var x explain.Explanation
			if err := c.get(cmd.Context(), path, nil, &x); err != nil {
				return err
			}
			for line := range strings.Lines(x.Text()) {
				if _, err := fmt.Fprintln(a.out, clean(strings.TrimSuffix(line, "\n"))); err != nil {
					return err
				}
			}
			return nil
		},
	}
}
