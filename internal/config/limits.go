package config

import (
	"fmt"

	"go.yaml.in/yaml/v4"
)

// Limits bound what all rules start together: one limit, or a list of them, as
// a rule has them.
type Limits []Limit

// Limit is one, as it is written; package rule reads what it says.
type Limit struct {
	Runs, Devices string
	By            []string
	Line, Col     int
}

// UnmarshalYAML takes a mapping or a list of mappings.
func (l *Limits) UnmarshalYAML(n *yaml.Node) error {
	items := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		items = n.Content
	}
	*l = nil
	for _, item := range items {
		if item.Kind == yaml.AliasNode {
			item = item.Alias
		}
		if item.Kind != yaml.MappingNode {
			return fmt.Errorf("line %d: want a limit as in {devices: 5/15m, by: [device.site]}, or a list of them", item.Line)
		}
		x := Limit{Line: item.Line, Col: item.Column}
		if err := x.read(item); err != nil {
			return err
		}
		*l = append(*l, x)
	}
	return nil
}

func (l *Limit) read(n *yaml.Node) error {
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, v := n.Content[i].Value, n.Content[i+1]
		var err error
		switch key {
		case "runs":
			err = v.Decode(&l.Runs)
		case "devices":
			err = v.Decode(&l.Devices)
		case "by":
			var by Paths
			err = v.Decode(&by)
			l.By = by
		default:
			return fmt.Errorf("line %d: limits: unknown key %q: there are runs, devices and by", n.Content[i].Line, key)
		}
		if err != nil {
			return fmt.Errorf("line %d: limits: %s: want a text or a list of texts", v.Line, key)
		}
	}
	return nil
}
