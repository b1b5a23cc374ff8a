package cli

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"signalbox/internal/config"
	"signalbox/internal/daemon"
	"signalbox/internal/rule"
	"signalbox/internal/schema"
)

func (a *app) typesCmd() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:     "types [NAME]",
		Short:   "List the event types, or show one: its fields, their units and why they are there",
		Example: "  signalbox types\n  signalbox types bgp_neighbor_down\n  signalbox types bgp_neighbor_down --json   # its JSON Schema",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			l, _, err := a.load(path)
			if err != nil {
				return a.mistakes(err)
			}
			if len(args) == 0 {
				return a.listTypes(l.Catalogue.Types())
			}
			t, ok := l.Catalogue.Type(args[0])
			if !ok {
				var names []string
				for _, t := range l.Catalogue.Types() {
					names = append(names, t.Name)
				}
				return fmt.Errorf("no event type is called %q%s", args[0], config.Likely(args[0], names))
			}
			return a.showType(t)
		},
	}
	cmd.Flags().StringVar(&path, "config", "", "configuration, for types of your own (default signalbox.yaml here, if there is one)")
	return cmd
}

func (a *app) listTypes(types []schema.Type) error {
	for _, t := range types {
		if a.json {
			if err := a.printJSON(map[string]any{"name": t.Name, "description": t.Doc, "key": t.Key, "clears": t.Clears, "schema": json.RawMessage(t.Source)}); err != nil {
				return err
			}
			continue
		}
		first, _, _ := strings.Cut(t.Doc, ". ")
		a.printf("%-24s %s\n", t.Name, first)
	}
	return nil
}

func (a *app) showType(t schema.Type) error {
	if a.json {
		var v any
		if err := json.Unmarshal(t.Source, &v); err != nil {
			return err
		}
		return a.printJSON(v)
	}
	a.printf("%s\n\n  %s\n\n", t.Name, t.Doc)
	for _, f := range t.Fields {
		note := f.Type
		if len(f.Enum) > 0 {
			note = strings.Join(f.Enum, "|")
		}
		if f.Unit != "" {
			note += ", " + f.Unit
		}
		if f.Required {
			note += ", required"
		}
		a.printf("  data.%-20s %s\n      %s\n", f.Name, note, f.Doc)
	}
	if len(t.Key) > 0 {
		a.printf("\nTwo events are the same thing when device, type, interface and %s are.\n", strings.Join(t.Key, ", "))
	}
	if len(t.Clears) > 0 {
		a.printf("It ends the dedup window of %s.\n", strings.Join(t.Clears, ", "))
	}
	return nil
}

func (a *app) actionsCmd() *cobra.Command {
	return &cobra.Command{
		Use: "actions [NAME]", Short: "List the actions that rules can use, or show one with its arguments", Args: cobra.MaximumNArgs(1),
		Example: "  signalbox actions\n  signalbox actions http",
		RunE: func(_ *cobra.Command, args []string) error {
			specs, err := daemon.ActionSpecs()
			if err != nil {
				return err
			}
			if len(args) == 0 {
				for _, s := range specs {
					if a.json {
						if err := a.printJSON(s); err != nil {
							return err
						}
						continue
					}
					first, _, _ := strings.Cut(s.Doc, ". ")
					a.printf("%-10s %s\n", s.Name, first)
				}
				return nil
			}
			var names []string
			for _, s := range specs {
				if s.Name == args[0] {
					return a.showAction(s)
				}
				names = append(names, s.Name)
			}
			return fmt.Errorf("no action is called %q%s", args[0], config.Likely(args[0], names))
		},
	}
}

func (a *app) showAction(s rule.ActionSpec) error {
	if a.json {
		return a.printJSON(s)
	}
	a.printf("%s\n\n  %s\n\n", s.Name, s.Doc)
	for _, list := range []struct {
		title string
		args  []rule.Arg
	}{{"arguments", s.Args}, {"register gives", s.Output}} {
		if len(list.args) == 0 {
			continue
		}
		a.printf("%s:\n", list.title)
		for _, x := range list.args {
			note := x.Type
			if x.Required {
				note += ", required"
			}
			if len(x.Enum) > 0 {
				note += ", one of " + strings.Join(x.Enum, ", ")
			}
			a.printf("  %-20s %s\n      %s\n", x.Name, note, x.Doc)
		}
	}
	if s.Example != "" {
		a.printf("\nexample:\n  %s\n", strings.ReplaceAll(strings.TrimRight(s.Example, "\n"), "\n", "\n  "))
	}
	return nil
}
