//go:build linux

package snmp

import (
	"net"
	"testing"
	"time"

	"signalbox/internal/secret"
)

// TestFlood sends more than the log takes: every trap is handed over or counted
// as dropped by the kernel, and none is lost in between.
func TestFlood(t *testing.T) {
	r := start(t, Config{Communities: []secret.Ref{secret.New("public")}, ReadBuffer: 1 << 16}, false)
	const flood = 8000 // more than got, the queues and the kernel's buffer hold
	c, err := net.Dial("udp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // a test's socket
	msg := packet(0xa7, 1, "public", "Gi0/1")
	for range flood {
		if _, err := c.Write(msg); err != nil {
			t.Fatal(err)
		}
	}
	// The kernel tells what it dropped with the next datagram that it keeps.
	sent, taken := flood, 0
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		r.mu.Lock()
		drops := int(r.drops)
		r.mu.Unlock()
		if drops > 0 && taken+drops == sent {
			break
		}
		select {
		case <-r.got:
			taken++
		case <-tick.C:
			sent++
			_, _ = c.Write(msg)
		case <-deadline:
			t.Fatalf("sent %d, taken %d, dropped by the kernel %d", sent, taken, drops)
		}
	}
	if len(r.refused) != 0 {
		t.Errorf("refused: %v", r.refused)
	}
}
