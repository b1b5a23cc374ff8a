package exec

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"signalbox/internal/secret"
)

// Config sets up the exec action. Start from DefaultConfig: the zero value is
// not usable.
type Config struct {
	// Allow lists the commands that rules may run: names found in PATH
	// ("logger"), absolute paths or paths from the configuration's folder
	// ("scripts/*"), with the wildcards of path/filepath.Match. Empty allows
	// any command that a rule names. Handlers need not be listed.
	Allow []string `yaml:"allow"`

	Timeout   time.Duration `yaml:"timeout"`    // of one attempt, where the step says nothing
	MaxOutput int           `yaml:"max_output"` // bytes kept of stdout, and of stderr
	// Grace is the time between SIGTERM and SIGKILL for a command that took
	// too long.
	Grace time.Duration `yaml:"grace"`

	// Handlers are the pools of long-lived processes, by name: the top-level
	// key handlers of the configuration.
	Handlers map[string]HandlerConfig `yaml:"-"`
	// Dir is the folder of the configuration file: relative paths start there.
	Dir string `yaml:"-"`
}

// DefaultConfig is what holds where the configuration says nothing.
func DefaultConfig() Config {
	return Config{Timeout: time.Minute, MaxOutput: 64 << 10, Grace: 5 * time.Second}
}

// HandlerConfig sets up one pool of handler processes. Start from
// DefaultHandlerConfig.
type HandlerConfig struct {
	Command []string              `yaml:"command"` // program and arguments; no shell
	Workers int                   `yaml:"workers"` // processes; each works on one request at a time
	Dir     string                `yaml:"dir"`     // working folder; default the configuration's
	Env     map[string]secret.Ref `yaml:"env"`     // added to PATH, HOME, LANG and TZ; may be references to secrets

	Timeout   time.Duration `yaml:"timeout"`    // of one request, from when a process has it
	MaxOutput int           `yaml:"max_output"` // bytes of one answer
	Grace     time.Duration `yaml:"grace"`      // between closing stdin, SIGTERM and SIGKILL

	Backoff    time.Duration `yaml:"backoff"`     // before the first restart; doubles with each failure
	MaxBackoff time.Duration `yaml:"max_backoff"` // longest wait before a restart

	// Idempotent says that every request may be repeated when nobody knows
	// whether it was carried out.
	Idempotent bool `yaml:"idempotent"`
}

// DefaultHandlerConfig is what holds where the configuration says nothing.
func DefaultHandlerConfig() HandlerConfig {
	return HandlerConfig{
		Workers: 4, Timeout: 30 * time.Second, MaxOutput: 256 << 10, Grace: 5 * time.Second,
		Backoff: 200 * time.Millisecond, MaxBackoff: 30 * time.Second,
	}
}

const maxWorkers = 256

// Validate reports every problem.
func (c Config) Validate() error {
	var errs []error
	for _, p := range c.Allow {
		if _, err := filepath.Match(p, ""); err != nil || p == "" {
			errs = append(errs, fmt.Errorf("allow: %q is not a path or pattern", p))
		}
	}
	errs = append(errs,
		positive("timeout", c.Timeout), positive("grace", c.Grace), size("max_output", c.MaxOutput))
	for _, name := range sortedKeys(c.Handlers) {
		if err := c.Handlers[name].Validate(); err != nil {
			errs = append(errs, fmt.Errorf("handlers: %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// Validate reports every problem.
func (c HandlerConfig) Validate() error {
	errs := []error{
		positive("timeout", c.Timeout), positive("grace", c.Grace), positive("backoff", c.Backoff),
		size("max_output", c.MaxOutput),
	}
	if len(c.Command) == 0 || c.Command[0] == "" {
		errs = append(errs, errors.New(`command: is missing; expected a list such as ["python3", "handlers.py"]`))
	}
	for _, arg := range c.Command {
		if strings.ContainsRune(arg, 0) {
			errs = append(errs, errors.New("command: holds a NUL byte"))
		}
	}
	if c.Workers < 1 || c.Workers > maxWorkers {
		errs = append(errs, fmt.Errorf("workers: %d is not between 1 and %d", c.Workers, maxWorkers))
	}
	if c.MaxBackoff < c.Backoff {
		errs = append(errs, fmt.Errorf("max_backoff: %s is less than backoff, %s", c.MaxBackoff, c.Backoff))
	}
	for _, name := range sortedKeys(c.Env) {
		if err := checkEnvName(name); err != nil {
			errs = append(errs, fmt.Errorf("env: %w", err))
		}
	}
	return errors.Join(errs...)
}

func positive(name string, d time.Duration) error {
	if d <= 0 {
		return fmt.Errorf("%s: %s is not positive", name, d)
	}
	return nil
}

func size(name string, n int) error {
	if n < 1 || n > 16<<20 {
		return fmt.Errorf("%s: %d is not between 1 and 16777216 bytes", name, n)
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

func checkEnvName(name string) error {
	for i := range len(name) {
		c := name[i]
		if !('A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || c == '_' || i > 0 && '0' <= c && c <= '9') {
			return fmt.Errorf("%q is not a name of letters, digits and _", name)
		}
	}
	if name == "" {
		return errors.New("a name is empty")
	}
	return nil
}
