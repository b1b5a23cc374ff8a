package config

import "go.yaml.in/yaml/v4"

// Limit bounds what all rules start together, as it is written; package rule
// reads what it says.
type Limit struct {
	Runs    string `yaml:"runs"`    // as in 200/h
	Devices string `yaml:"devices"` // as in 5/15m or 10%/1h
	By      Paths  `yaml:"by"`

	Line, Col int `yaml:"-"`
}

// limitsOf gives the list of limits of a configuration, of one that is written
// without a list, too; nil for none.
func limitsOf(root *yaml.Node) *yaml.Node {
	if root == nil || root.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(root.Content); i += 2 {
		if root.Content[i].Value != "limits" {
			continue
		}
		if n := root.Content[i+1]; n.Kind == yaml.MappingNode {
			root.Content[i+1] = &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Line: n.Line, Column: n.Column, Content: []*yaml.Node{n}}
		}
		return root.Content[i+1]
	}
	return nil
}

// placeLimits says where each limit is written.
func (c *Config) placeLimits(list *yaml.Node) {
	for i := range c.Limits {
		if list != nil && i < len(list.Content) {
			c.Limits[i].Line, c.Limits[i].Col = list.Content[i].Line, list.Content[i].Column
		}
	}
}
