package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"signalbox/internal/rule"
)

// Duration is a time.Duration that also reads days: "30d", "1h30m", "250ms".
type Duration time.Duration

// UnmarshalText reads a duration.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := ParseDuration(string(b))
	if err != nil {
		return err
	}
	*d = Duration(v)
	return nil
}

// ParseDuration reads a duration as the rules do: "30d", "1h30m", "250ms". It is
// never negative.
func ParseDuration(s string) (time.Duration, error) {
	d, err := rule.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is no duration: write 30s, 5m, 12h or 30d", s)
	}
	return d, nil
}

// Size is a number of bytes: "512MiB", "8GB", "1048576".
type Size int64

// UnmarshalText reads a size. KB, MB and GB are powers of 1000, KiB, MiB and
// GiB of 1024.
func (s *Size) UnmarshalText(b []byte) error {
	text := strings.TrimSpace(string(b))
	unit := int64(1)
	for _, u := range []struct {
		suffix string
		factor int64
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
		{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}} {
		if rest, ok := strings.CutSuffix(text, u.suffix); ok {
			text, unit = strings.TrimSpace(rest), u.factor
			break
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/unit {
		return fmt.Errorf("%q is no size: write 512MiB or 8GiB", string(b))
	}
	*s = Size(n * unit)
	return nil
}

// Paths is one text, mostly a path, or a list of them.
type Paths []string

// UnmarshalYAML takes a string or a list of strings.
func (p *Paths) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		*p = Paths{n.Value}
		return nil
	}
	var list []string
	if err := n.Decode(&list); err != nil {
		return fmt.Errorf("want a text or a list of texts")
	}
	*p = list
	return nil
}

// Section is a part of the file whose shape another package owns, as it stands.
// Its Node is nil where the file has none.
type Section struct{ Node *yaml.Node }

// UnmarshalYAML keeps the node.
func (s *Section) UnmarshalYAML(n *yaml.Node) error {
	s.Node = n
	return nil
}
