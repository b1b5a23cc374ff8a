// Package schema is the catalogue of event types: for each a JSON Schema
// (2020-12) that says what every field of its data is, its unit and why it is
// there. It validates events and tells rules which fields exist.
package schema

// Field is one field of an event type's data, for type checks and for people.
type Field struct {
	Name     string
	Type     string // JSON Schema type: string, integer, number, boolean, object, array
	Format   string // JSON Schema format, "" for none
	Unit     string // "seconds", "celsius"; "" for none
	Doc      string
	Enum     []string
	Required bool
	Fields   []Field // of an object
}

// Type is one event type.
type Type struct {
	Name   string
	Doc    string
	Fields []Field // of event.data, in the schema's order
	// Key lists the fields of data that, beside device, type and interface,
	// make two events the same thing (x-key in the schema): the neighbor of a
	// bgp_neighbor_down. Without them two neighbors down at once would be
	// taken for one.
	Key []string
	// Clears names the types whose dedup window an event of this type ends
	// (x-clears): after an interface_up, the next interface_down is news.
	Clears []string
	// Topology says what an event of this type tells about how the network is
	// joined (x-topology): device_down, device_up, link_down or link_up, ""
	// for nothing. A link is the one at the event's interface.
	Topology string
	Source   []byte // the JSON Schema document
}
