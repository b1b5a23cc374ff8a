package inventory

import (
	"errors"

	"go.yaml.in/yaml/v4"
)

// maxNodes bounds what a file is when all its aliases are written out: a file
// of a few hundred bytes could stand for gigabytes.
const maxNodes = 4_000_000

// Document reads the first YAML document of a file as nodes, which keep the
// place where they stand. An empty file gives nil. Files whose aliases contain
// themselves, or would grow out of bounds, are refused.
func Document(f File) (*yaml.Node, *Problem) {
	var doc yaml.Node
	if err := yaml.Unmarshal(f.Data, &doc); err != nil {
		return nil, yamlProblem(f.Name, err)
	}
	if doc.Kind == 0 || len(doc.Content) == 0 {
		return nil, nil
	}
	root := doc.Content[0]
	if root.Kind == yaml.ScalarNode && root.ShortTag() == "!!null" {
		return nil, nil
	}
	if err := checkAliases(root); err != nil {
		return nil, &Problem{File: f.Name, Line: 1, Col: 1, Message: err.Error()}
	}
	return root, nil
}

func yamlProblem(name string, err error) *Problem {
	p := &Problem{File: name, Line: 1, Col: 1, Message: err.Error()}
	var load *yaml.LoadError
	if errors.As(err, &load) {
		p.Line, p.Col = max(load.Mark.Line, 1), max(load.Mark.Column, 1)
		p.Message = load.Message
		if load.ContextMsg != "" {
			p.Message = load.ContextMsg + ", " + p.Message
		}
	}
	p.Message = "not valid YAML: " + p.Message
	return p
}

// checkAliases counts nodes as if aliases were written out, each anchor once.
func checkAliases(root *yaml.Node) error {
	sizes := map[*yaml.Node]int{}
	open := map[*yaml.Node]bool{}
	var size func(n *yaml.Node) (int, error)
	size = func(n *yaml.Node) (int, error) {
		if n.Kind == yaml.AliasNode {
			n = n.Alias
			if n == nil {
				return 0, errors.New("an alias has no anchor")
			}
		}
		if open[n] {
			return 0, errors.New("an alias contains itself")
		}
		if s, ok := sizes[n]; ok {
			return s, nil
		}
		open[n] = true
		defer delete(open, n)
		total := 1
		for _, c := range n.Content {
			s, err := size(c)
			if err != nil {
				return 0, err
			}
			if total += s; total > maxNodes {
				return 0, errors.New("too large when its aliases are written out")
			}
		}
		if n.Anchor != "" {
			sizes[n] = total
		}
		return total, nil
	}
	_, err := size(root)
	return err
}
