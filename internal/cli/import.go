package cli

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"

	"signalbox/internal/daemon"
	"signalbox/internal/importer"
	"signalbox/internal/rule"
	"signalbox/internal/schema"
)

func (a *app) importCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "import",
		Short: "Make rules of what other tools have",
	}
	cmd.AddCommand(a.importRulebookCmd())
	return cmd
}

func (a *app) importRulebookCmd() *cobra.Command {
	var out, vars, controller string
	cmd := &cobra.Command{
		Use:   "rulebook FILE",
		Short: "Make rules of an Ansible rulebook",
		Long: `Translates an Ansible rulebook: conditions, throttle, all, any and not_all, and the
actions that have an equivalent. What is different or has none is told line by line,
and stands as a comment where it belongs in the rules. A rule whose condition could
not be translated is off.`,
		Example: `  signalbox import rulebook network.yml -o rules/network.yaml
  signalbox import rulebook network.yml --vars vars.yml --controller https://aap.example.net/api/controller`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			o := importer.Options{Controller: controller}
			if vars != "" {
				data, err := os.ReadFile(vars)
				if err != nil {
					return err
				}
				if err := yaml.Unmarshal(data, &o.Vars); err != nil {
					return fmt.Errorf("--vars: %s: %w", vars, err)
				}
			}
			return a.importRulebook(args[0], out, o)
		},
	}
	cmd.Flags().StringVarP(&out, "output", "o", "", "file of rules to write (default standard output)")
	cmd.Flags().StringVar(&vars, "vars", "", "the variables that ansible-rulebook was given with --vars: their values are put in")
	cmd.Flags().StringVar(&controller, "controller", "", "address of Automation Controller or AWX, for run_job_template")
	return cmd
}

func (a *app) importRulebook(path, out string, o importer.Options) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	res, err := importer.Rulebook(path, data, o)
	if err != nil {
		return err
	}
	for _, r := range res.Reports {
		if a.json {
			fmt.Fprintf(a.err, "%s\n", clean(r.String()))
			continue
		}
		a.complain(r.String())
	}
	if err := checkImported(res.Rules); err != nil {
		return fmt.Errorf("the rules that came of it do not pass 'signalbox check', which is a mistake of this program: %w", err)
	}
	if out == "" {
		_, err = a.out.Write(res.Rules)
		return err
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(out, res.Rules, 0o644); err != nil {
		return err
	}
	if a.json {
		return a.printJSON(map[string]int{"rules": res.Count, "off": res.Off, "reports": len(res.Reports)})
	}
	a.printf("%s: %d rules", clean(out), res.Count)
	if res.Off > 0 {
		a.printf(", of which %d are off because they could not be translated", res.Off)
	}
	a.printf("; %d things to look at\n", len(res.Reports))
	return nil
}

// checkImported says whether rules load.
func checkImported(data []byte) error {
	specs, err := daemon.ActionSpecs()
	if err != nil {
		return err
	}
	cat, err := schema.Load()
	if err != nil {
		return err
	}
	_, _, diags := rule.Load(rule.Bundle{Rules: []rule.File{{Name: "imported.yaml", Data: data}}}, rule.Options{Catalogue: cat, Actions: specs})
	for _, d := range diags {
		if d.Severity == rule.Error {
			return fmt.Errorf("%s", d.String())
		}
	}
	return nil
}
