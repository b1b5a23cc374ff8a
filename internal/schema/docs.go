package schema

import (
	"fmt"
	"strings"
)

// Text describes the type to a person, for a terminal: what it is, its fields
// with their units, and what makes two events the same.
func (t Type) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", t.Name)
	for _, line := range wrap(t.Doc, 76) {
		fmt.Fprintf(&b, "  %s\n", line)
	}
	b.WriteString("\nFields of event.data:\n")
	writeFields(&b, t.Fields, "  ")
	if len(t.Fields) == 0 {
		b.WriteString("  none are described; any may be there\n")
	}
	same := append([]string{"device", "type", "interface"}, t.Key...)
	fmt.Fprintf(&b, "\nThe same event again: equal in %s.\n", strings.Join(same, ", "))
	if len(t.Clears) > 0 {
		fmt.Fprintf(&b, "Ends the dedup window of: %s.\n", strings.Join(t.Clears, ", "))
	}
	switch t.Topology {
	case "device_down":
		b.WriteString("Tells that the device is down: what is reached only through it is behind it.\n")
	case "device_up":
		b.WriteString("Tells that the device is up again.\n")
	case "link_down":
		b.WriteString("Tells that the link at the interface is down: what is reached only over it is behind it.\n")
	case "link_up":
		b.WriteString("Tells that the link at the interface is up again.\n")
	}
	return b.String()
}

func writeFields(b *strings.Builder, fields []Field, indent string) {
	for _, f := range fields {
		kind := f.Type
		if kind == "" {
			kind = "any"
		}
		if f.Unit != "" {
			kind += ", " + f.Unit
		}
		if f.Required {
			kind += ", required"
		}
		fmt.Fprintf(b, "%s%s (%s)\n", indent, f.Name, kind)
		for _, line := range wrap(f.Doc, 74-len(indent)) {
			fmt.Fprintf(b, "%s    %s\n", indent, line)
		}
		if len(f.Enum) > 0 {
			fmt.Fprintf(b, "%s    one of: %s\n", indent, strings.Join(f.Enum, ", "))
		}
		writeFields(b, f.Fields, indent+"  ")
	}
}

// wrap breaks text into lines of at most width bytes, at spaces.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}
