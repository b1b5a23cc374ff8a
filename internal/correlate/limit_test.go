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
