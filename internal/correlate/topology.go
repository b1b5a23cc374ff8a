package correlate

// Topology is how devices are joined, as the inventory says it. It never
// changes.
type Topology struct {
	// Roots are the devices from which all others are reached: where
	// Signalbox, or the management network, is joined to the network.
	Roots []string
	Links []Link
}

// Link joins two devices. The interfaces are canonical names, "" where the
// inventory does not say.
type Link struct {
	A, AInterface string
	B, BInterface string
}

// Effect is what an event type says about the topology (x-topology of its
// schema).
type Effect string

// The effects of a type: the device, or the link at the interface, is down or
// up again.
const (
	DeviceDown Effect = "device_down"
	DeviceUp   Effect = "device_up"
	LinkDown   Effect = "link_down"
	LinkUp     Effect = "link_up"
)
