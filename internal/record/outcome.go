package record

// OfEvent says whether d is the one outcome of the event at d.At: not what time
// made, which only came after that event, nor the decision about a command or
// about the replay of an event.
func (d *Decision) OfEvent() bool { return d.Command == nil && !d.Replay && d.Due.IsZero() }
