package rule

import (
	"strings"
	"testing"
	"unsafe"

	"signalbox/event"
)

// What Deciding remembers of an event are copies: a part of the batch that the
// event came with would keep all of the batch.
func TestMemoryHasCopies(t *testing.T) {
	batch := []byte("interface_down sw1 Gi0/1 ")
	part := func(text string) string {
		at := strings.Index(string(batch), text)
		return unsafe.String(&batch[at], len(text))
	}
	d := (&Set{}).Decide(&event.Event{Type: part("interface_down"), Device: part("sw1"), Interface: part("Gi0/1")}, nil, Deciding{})
	m := d.scope.memory
	m.typeOf(part("interface_down"))
	m.device(part("sw1"))
	m.port(part("Gi0/1"))

	var kept []string
	for name := range m.devices {
		kept = append(kept, name)
	}
	for name, port := range m.ports {
		kept = append(kept, name, port)
	}
	for name, typ := range m.types {
		kept = append(kept, name, typ.name)
	}
	if len(kept) != 5 {
		t.Fatalf("it remembers %q", kept)
	}
	from := uintptr(unsafe.Pointer(&batch[0]))
	for _, text := range kept {
		if at := uintptr(unsafe.Pointer(unsafe.StringData(text))); at >= from && at < from+uintptr(len(batch)) {
			t.Errorf("%q is a part of the batch", text)
		}
	}
}
