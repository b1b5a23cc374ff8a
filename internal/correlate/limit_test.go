package correlate

import (
	"strconv"
	"testing"
	"time"
)

// One more key than are counted is refused, not let through uncounted; when a
// window is over there is room for others.
func TestLimiterIsFull(t *testing.T) {
	l, m := &RunLimit{Within: time.Hour}, NewLimiter()
	start := time.Hour.Nanoseconds()
	for i := range limitKeys {
		m.Count(l, strconv.Itoa(i), nil, start+int64(i))
	}
	for _, tt := range []struct {
		key  string
		at   int64
		ok   bool
		full bool
	}{
		{"new", start + limitKeys, false, true},
		{"0", start + limitKeys, false, false},
		{"new", 2 * start, true, false}, // key 0 has left
	} {
		if ok, _, full := m.Room(l, tt.key, nil, 1, tt.at); ok != tt.ok || full != tt.full {
			t.Errorf("key %s at %d: room %v, full %v", tt.key, tt.at, ok, full)
		}
	}
	m.Count(l, "new", nil, 2*start)
	if held := m.Keys().Held; held != limitKeys {
		t.Errorf("it holds %d keys, of %d that it may", held, limitKeys)
	}
	if ok, until, _ := m.Room(l, "new", nil, 1, 2*start); ok || until != 3*start {
		t.Errorf("a key that was counted: room %v, again at %d", ok, until)
	}
}

// A device that is touched again and again is one, counts from its last time on,
// and takes no more memory for it.
func TestLimiterCountsADeviceOnce(t *testing.T) {
	l, m := &RunLimit{Within: time.Hour, Devices: true}, NewLimiter()
	second := int64(time.Second)
	m.Count(l, "", []string{"b"}, 0)
	for i := range int64(1000) {
		m.Count(l, "", []string{"a"}, i*second)
	}
	_, s := m.find(limitEnv(1000*second), "")
	if n := len(s.state.entries); n > 16 {
		t.Errorf("%d entries for two devices", n)
	}
	for _, tt := range []struct {
		devices []string
		at      int64
		ok      bool
		until   int64
	}{
		{[]string{"a", "b"}, 1000 * second, true, 0},
		{[]string{"c"}, 1000 * second, false, 3600 * second}, // when b leaves
		{[]string{"b", "c"}, 1000 * second, false, (999 + 3600) * second},
		{[]string{"c", "d", "e"}, 1000 * second, false, 0}, // never
		{[]string{"c"}, 3600 * second, true, 0},
		{[]string{"c", "d"}, 3600 * second, false, (999 + 3600) * second},
	} {
		if ok, until, _ := m.Room(l, "", tt.devices, 2, tt.at); ok != tt.ok || until != tt.until {
			t.Errorf("%v at %ds: room %v, again at %ds", tt.devices, tt.at/second, ok, until/second)
		}
	}
}
