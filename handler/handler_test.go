package handler_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"signalbox/event"
	"signalbox/handler"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func word(w string) handler.Func {
	return func(context.Context, event.Event) (any, error) { return w, nil }
}

func TestMux(t *testing.T) {
	var mux handler.Mux
	for _, p := range []string{"bgp_*", "bgp_neighbor_*", "bgp_neighbor_down", "interface_down"} {
		mux.Handle(p, word(p))
	}
	tests := map[string]string{
		"bgp_neighbor_down": "bgp_neighbor_down", "bgp_neighbor_up": "bgp_neighbor_*", "bgp_x": "bgp_*", "bgp_": "bgp_*",
		"interface_down": "interface_down", "interface_down2": "", "": "", "bgp": "",
	}
	check := func() {
		t.Helper()
		for in, want := range tests {
			out, err := mux.Call(t.Context(), event.Event{Type: in})
			if want == "" {
				if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("no handler for event type %q", in)) {
					t.Errorf("%q: %v, %v", in, out, err)
				}
			} else if out != want || err != nil {
				t.Errorf("%q: %v, %v, want %s", in, out, err, want)
			}
		}
	}
	check()
	mux.Handle("*", word("*"))
	for k, v := range tests {
		if v == "" {
			tests[k] = "*"
		}
	}
	check()
	for _, bad := range []string{"", "a*b", "**", "bgp_*", "interface_down"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%q was taken", bad)
				}
			}()
			mux.Handle(bad, word(""))
		}()
	}
}

func TestServeOn(t *testing.T) {
	var mux handler.Mux
	mux.Handle("object", func(ctx context.Context, e event.Event) (any, error) {
		r, _ := handler.RequestOf(ctx)
		return map[string]any{"device": e.Device, "run": r.Run, "key": r.Key, "attempt": r.Attempt, "args": r.Args, "role": r.Device["role"]}, nil
	})
	mux.Handle("nothing", func(context.Context, event.Event) (any, error) { return nil, nil })
	mux.Handle("fails", func(context.Context, event.Event) (any, error) { return nil, errors.New("no such rack") })
	mux.Handle("later", func(context.Context, event.Event) (any, error) {
		return nil, fmt.Errorf("ticket: %w", handler.Recoverable(errors.New("busy"), 1500*time.Millisecond))
	})
	mux.Handle("panics", func(context.Context, event.Event) (any, error) { panic("oh") })
	mux.Handle("channel", func(context.Context, event.Event) (any, error) { return make(chan int), nil })
	line := func(id, kind string) string {
		return fmt.Sprintf(`{"id":%q,"event":{"specversion":"1.0","id":"e","source":"signalbox:x","type":%q,"device":"sw1"},`+
			`"run":"r1","step":"1","attempt":2,"key":"k","args":{"a":1},"device":{"role":"core"}}`+"\n", id, kind)
	}
	in := line("1", "object") + line("2", "nothing") + line("3", "fails") + line("4", "later") + line("5", "panics") +
		line("6", "channel") + line("7", "unheard_of") + strings.TrimSuffix(line("8", "nothing"), "\n")
	var out bytes.Buffer
	if err := handler.ServeOn(t.Context(), &mux, strings.NewReader(in), &out); err != nil {
		t.Fatal(err)
	}
	want := `{"id":"1","ok":true,"output":{"args":{"a":1},"attempt":2,"device":"sw1","key":"k","role":"core","run":"r1"}}
{"id":"2","ok":true}
{"id":"3","ok":false,"error":"no such rack"}
{"id":"4","ok":false,"error":"ticket: busy","recoverable":true,"retry_after":1.5}
{"id":"5","ok":false,"error":"panic in the handler of panics: oh"}
{"id":"6","ok":false,"error":"the output of the handler of channel is not JSON: json: unsupported type: chan int"}
{"id":"7","ok":false,"error":"no handler for event type \"unheard_of\""}
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestServeOnBrokenStreams(t *testing.T) {
	var mux handler.Mux
	if err := handler.ServeOn(t.Context(), &mux, strings.NewReader("garbage\n"), io.Discard); err == nil {
		t.Error("garbage was served")
	}
	r, w := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := handler.ServeOn(ctx, &mux, r, io.Discard); err != nil {
		t.Errorf("after the end: %v", err)
	}
	_ = w.Close()
	_ = r.CloseWithError(errors.New("unplugged"))
	if err := handler.ServeOn(t.Context(), &mux, r, io.Discard); err == nil {
		t.Error("a broken stream is no error")
	}
}

func TestRecoverable(t *testing.T) {
	if handler.Recoverable(nil, 1) != nil {
		t.Error("nil became an error")
	}
	cause := errors.New("x")
	err := fmt.Errorf("y: %w", handler.Recoverable(cause, time.Second))
	after, ok := handler.IsRecoverable(err)
	if !ok || after != time.Second || !errors.Is(err, cause) {
		t.Error(after, ok)
	}
	if _, ok := handler.IsRecoverable(cause); ok {
		t.Error("an unmarked error is recoverable")
	}
}

// TestImports keeps the package free of all but the standard library.
func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "signalbox/handler").Output()
	if err != nil {
		t.Skipf("go list does not run here: %v", err)
	}
	if got := strings.Fields(string(out)); !cmp.Equal(got, []string{"signalbox/event", "signalbox/handler"}) {
		t.Errorf("package handler needs %v", got)
	}
}

func Example() {
	var mux handler.Mux
	mux.Handle("interface_down", func(ctx context.Context, e event.Event) (any, error) {
		return map[string]any{"ticket": "NET-" + e.Device}, nil
	})
	mux.Handle("bgp_*", func(ctx context.Context, e event.Event) (any, error) {
		return nil, handler.Recoverable(errors.New("the ticket system is busy"), 30*time.Second)
	})
	requests := `{"id":"1","event":{"specversion":"1.0","type":"interface_down","device":"sw1"}}
{"id":"2","event":{"specversion":"1.0","type":"bgp_neighbor_down","device":"r1"}}
`
	// In a program of its own this is handler.Main(&mux).
	if err := handler.ServeOn(context.Background(), &mux, strings.NewReader(requests), os.Stdout); err != nil {
		fmt.Println(err)
	}
	// Output:
	// {"id":"1","ok":true,"output":{"ticket":"NET-sw1"}}
	// {"id":"2","ok":false,"error":"the ticket system is busy","recoverable":true,"retry_after":30}
}
