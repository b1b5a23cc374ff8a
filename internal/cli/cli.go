// Package cli is the signalbox command as its users see it.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"signalbox/internal/config"
)

// Version is set by the linker.
var Version = "dev"

// app is what all commands share.
type app struct {
	data     string
	json     bool
	in       io.Reader
	out, err io.Writer
}

// errSilent is a failure that has been reported already.
var errSilent = errors.New("reported")

// Main runs the command and returns its exit status: 0 for success, 1 for
// failure, 2 for a wrong call.
func Main(args []string, in io.Reader, out, errw io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	a := &app{in: in, out: out, err: errw}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errw)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errSilent):
		return 1
	case errors.Is(err, syscall.EPIPE):
		return 0 // the reader has seen enough, as in 'signalbox events | head'
	}
	fmt.Fprintln(errw, "signalbox:", err)
	var usage *usageError
	if errors.As(err, &usage) {
		return 2
	}
	return 1
}

type usageError struct{ error }

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "signalbox",
		Short:         "React to what the network says",
		Long:          "Signalbox takes events from webhooks, message brokers, SNMP traps and syslog,\nlogs them for good, and runs what your rules say.",
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	root.PersistentFlags().StringVar(&a.data, "data", "", "data folder of the server (default $SIGNALBOX_DATA, else "+DefaultData+")")
	root.PersistentFlags().BoolVar(&a.json, "json", false, "print JSON, one object a line")
	root.AddCommand(a.serveCmd(), a.sendCmd(), a.checkCmd(), a.mapCmd(), a.typesCmd(),
		a.eventsCmd(), a.replayCmd(), a.rejectedCmd(), a.runsCmd(), a.deadletterCmd(),
		a.ledgerCmd(), a.statusCmd(), a.actionsCmd(), a.reloadCmd(),
		a.testCmd(), a.captureCmd(), a.importCmd())
	root.AddCommand(a.situationsCmd(), a.explainCmd(), a.rulesCmd(), a.backtestCmd())
	strict(root)
	return root
}

// strict makes wrong calls usage errors, of cmd and all below it: a wrong
// number of arguments, and a command that there is not.
func strict(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return &usageError{fmt.Errorf("%s: %w; see '%s --help'", cmd.CommandPath(), err, cmd.CommandPath())}
			}
			return nil
		}
	}
	var names []string
	for _, sub := range cmd.Commands() {
		names = append(names, sub.Name())
		strict(sub)
	}
	if len(names) == 0 || cmd.Runnable() {
		return
	}
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		return &usageError{fmt.Errorf("%s has no command %q%s", cmd.CommandPath(), clean(args[0]), config.Likely(args[0], names))}
	}
}

func parseSpan(s string) (time.Duration, error) { return config.ParseDuration(s) }

func (a *app) printf(format string, args ...any) { fmt.Fprintf(a.out, format, args...) }
