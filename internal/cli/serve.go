package cli

import (
	"errors"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"signalbox/internal/config"
	"signalbox/internal/daemon"
)

func (a *app) serveCmd() *cobra.Command {
	var path, level string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run Signalbox until it is told to stop",
		Long: `Loads the configuration, opens the log in the data folder, and runs until SIGTERM
or Ctrl-C; then it drains: sources stop, what was accepted is logged, runs end or
stay journalled. SIGHUP, or a change of a file, loads rules, inventory and
mappings again; if they have mistakes the running ones are kept.`,
		Example: `  signalbox serve --config examples/quickstart/signalbox.yaml --data signalbox-data
  signalbox serve --config /etc/signalbox/signalbox.yaml --data /var/lib/signalbox`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var l slog.Level
			if err := l.UnmarshalText([]byte(level)); err != nil {
				return &usageError{err}
			}
			logger := slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: l}))
			err := daemon.Run(cmd.Context(), daemon.Options{Config: path, Data: dataDir(a.data),
				Version: cmd.Root().Version, Log: logger, Out: a.out})
			return a.mistakes(err)
		},
	}
	cmd.Flags().StringVar(&path, "config", "signalbox.yaml", "configuration file")
	cmd.Flags().StringVar(&level, "log-level", "info", "debug, info, warn or error")
	return cmd
}

// mistakes prints the mistakes in users' files as they are; other errors go on.
func (a *app) mistakes(err error) error {
	var m daemon.Mistakes
	var p config.Problems
	switch {
	case errors.As(err, &m):
		for _, text := range m {
			a.complain(text)
		}
		return errSilent
	case errors.As(err, &p):
		for _, problem := range p {
			a.complain(problem.String())
		}
		return errSilent
	}
	return err
}

func (a *app) complain(text string) {
	_, _ = a.err.Write([]byte(strings.TrimRight(cleanLines(text), "\n") + "\n"))
}

// version is what the linker set, or what the build knows.
func version() string {
	if Version != "dev" {
		return Version
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) > 12 {
				return "dev-" + s.Value[:12]
			}
		}
	}
	return Version
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
