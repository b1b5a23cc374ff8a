package cli

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"signalbox/internal/config"
	"signalbox/internal/daemon"
)

func (a *app) checkCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check [DIR|FILE]",
		Short: "Check configuration, rules, inventory and mappings, and run the mappings' examples",
		Long: `Reports every mistake at file:line:column with what was expected, all of them in
one go, and exits 1 if there is one. DIR is a folder with a signalbox.yaml; FILE is
a configuration, or a single file of rules, mappings or devices.`,
		Example: "  signalbox check examples/quickstart\n  signalbox check /etc/signalbox/signalbox.yaml\n  signalbox check rules/bgp.yaml",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			path := "."
			if len(args) == 1 {
				path = args[0]
			}
			if exists(filepath.Join(path, "signalbox.yaml")) {
				path = filepath.Join(path, "signalbox.yaml")
			}
			r, err := daemon.Check(path)
			if r != nil {
				for _, w := range r.Warnings {
					a.complain(w)
				}
			}
			if err != nil {
				return a.mistakes(err)
			}
			if a.json {
				return a.printJSON(r)
			}
			a.printf("%s: %d rules, %d devices, %d sources, %d mappings with %d examples: all well\n",
				clean(path), r.Rules, r.Devices, r.Sources, r.Mappings, r.Examples)
			return nil
		},
	}
	return cmd
}

// load reads a configuration for commands that need no server: the one that is
// named, or the built-in mappings and types alone.
func (a *app) load(path string) (*daemon.Loaded, *config.Config, error) {
	cfg := config.Default()
	if path == "" && exists("signalbox.yaml") {
		path = "signalbox.yaml"
	}
	if path != "" {
		var err error
		if cfg, err = config.Load(path); err != nil {
			return nil, nil, err
		}
	}
	l, err := daemon.LoadEdge(&cfg)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return l, &cfg, nil
}
