package eventlog_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"signalbox/internal/eventlog"
	"signalbox/internal/record"
)

// oldLog is a closed log of some hundred batches over several blocks; it is
// made once and copied for each fault.
func oldLog(t *testing.T, clean bool) (dir string, ids []string) {
	t.Helper()
	dir = t.TempDir()
	cfg := small(dir)
	l, err := eventlog.Open(t.Context(), cfg, quiet(t))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		id := fmt.Sprint(i)
		mustAdd(t, l, record.Events, big(id, 50_000))
		ids = append(ids, id)
	}
	if clean {
		closeLog(t, l)
		return dir, ids
	}
	// As a kill leaves it: a copy of the files, taken while they are open.
	eventually(t, 5*time.Second, "checkpoint written", func() bool {
		_, err := os.Stat(filepath.Join(dir, "checkpoint.json"))
		return err == nil
	})
	<-time.After(1100 * time.Millisecond) // the checkpoint of the last second
	dead := t.TempDir()
	copyDir(t, dir, dead)
	closeLog(t, l)
	return dead, ids
}

// small has blocks of 4 MB, so that there are several.
func small(dir string) eventlog.Config {
	cfg := config(dir)
	cfg.MaxBytes = 31 << 20
	return cfg
}

func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.Command("cp", "-a", from+"/.", to).CombinedOutput(); err != nil {
		t.Fatalf("copy: %v: %s", err, out)
	}
}

func blocks(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "jetstream/$G/streams/LOG/msgs/*.blk"))
	if err != nil || len(files) < 3 {
		t.Fatalf("blocks: %v, %v: want 3 or more", files, err)
	}
	slices.SortFunc(files, func(a, b string) int { return len(a) - len(b) + strings.Compare(a, b) })
	return files
}

func flipBit(t *testing.T, file string, at int64) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x10
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
}

func size(t *testing.T, file string) int64 {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// verdictOf opens a log and reads it whole. What it must never do is to give
// less than was written and say nothing.
func verdictOf(t *testing.T, dir string, ids []string) error {
	t.Helper()
	l, err := eventlog.Open(t.Context(), small(dir), quiet(t))
	if err != nil {
		return err
	}
	defer closeLog(t, l)
	verr := l.Verify(t.Context(), nil)
	got, _, rerr := readAll(t, l)
	if err := errors.Join(verr, rerr); err != nil {
		return err
	}
	if !slices.Equal(got, ids) {
		t.Errorf("SILENT LOSS: read %d events, %d were written, and nobody said so", len(got), len(ids))
	}
	return nil
}

// Every kind of damage is found and named, or mended; never passed over.
func TestDamageIsFoundOrMended(t *testing.T) {
	msgs := "jetstream/$G/streams/LOG/msgs/"
	remove := func(names ...string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			for _, n := range names {
				if err := os.RemoveAll(filepath.Join(dir, n)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	tests := []struct {
		name   string
		damage func(*testing.T, string)
		want   string // "" for mended
	}{
		{"nothing", func(*testing.T, string) {}, ""},
		{"index.db is gone", remove(msgs + "index.db"), ""},
		{"index.db is garbage", func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, msgs+"index.db"), []byte("garbage"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, ""},
		{"meta.inf is gone", remove("jetstream/$G/streams/LOG/meta.inf"), ""},
		{"meta.inf has a flipped bit", func(t *testing.T, dir string) {
			flipBit(t, filepath.Join(dir, "jetstream/$G/streams/LOG/meta.inf"), 40)
		}, ""},
		{"meta.sum is gone", remove("jetstream/$G/streams/LOG/meta.sum"), ""},
		{"checkpoint is gone", remove("checkpoint.json"), ""},
		{"checkpoint has a flipped bit", func(t *testing.T, dir string) { flipBit(t, filepath.Join(dir, "checkpoint.json"), 90) }, "checkpoint.json"},
		{"the whole stream is gone", remove("jetstream"), "has no block files"},
		{"all blocks are gone", remove("jetstream/$G/streams/LOG/msgs"), "has no block files"},
		{"the first block is gone", func(t *testing.T, dir string) { remove(strings.TrimPrefix(blocks(t, dir)[0], dir))(t, dir) }, "sequence"},
		{"a middle block is gone", func(t *testing.T, dir string) { remove(strings.TrimPrefix(blocks(t, dir)[1], dir))(t, dir) }, "sequence"},
		{"the last block is gone", func(t *testing.T, dir string) {
			b := blocks(t, dir)
			remove(strings.TrimPrefix(b[len(b)-1], dir))(t, dir)
		}, "sequence"},
		{"a middle block is cut off", func(t *testing.T, dir string) {
			b := blocks(t, dir)[1]
			if err := os.Truncate(b, size(t, b)/2); err != nil {
				t.Fatal(err)
			}
		}, "sequence"},
		{"the last block is cut off", func(t *testing.T, dir string) {
			b := blocks(t, dir)
			if err := os.Truncate(b[len(b)-1], size(t, b[len(b)-1])/2); err != nil {
				t.Fatal(err)
			}
		}, "sequence"},
		{"the last block is empty", func(t *testing.T, dir string) {
			b := blocks(t, dir)
			if err := os.Truncate(b[len(b)-1], 0); err != nil {
				t.Fatal(err)
			}
		}, "sequence"},
	}
	for _, clean := range []bool{true, false} {
		from, ids := oldLog(t, clean)
		for _, tt := range tests {
			t.Run(fmt.Sprintf("%s, clean stop %t", tt.name, clean), func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				copyDir(t, from, dir)
				tt.damage(t, dir)
				err := verdictOf(t, dir, ids)
				if tt.want == "" {
					if err != nil {
						t.Errorf("not mended: %v", err)
					}
					return
				}
				if !errors.Is(err, eventlog.ErrCorrupt) || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("error = %v, want ErrCorrupt with %q", err, tt.want)
				}
				t.Log(err)
			})
		}
	}
}

// A flipped bit anywhere in the blocks is found and named, or does no harm.
func TestFlippedBits(t *testing.T) {
	for _, clean := range []bool{true, false} {
		from, ids := oldLog(t, clean)
		found := 0
		files := blocks(t, from)
		const flips = 10
		for i := range flips {
			file := files[i%len(files)]
			at := size(t, file) * int64(i*37%101) / 101
			dir := t.TempDir()
			copyDir(t, from, dir)
			flipBit(t, strings.Replace(file, from, dir, 1), at)
			err := verdictOf(t, dir, ids)
			switch {
			case err == nil: // read whole: the bit was in nothing that counts
			case errors.Is(err, eventlog.ErrCorrupt):
				found++
			default:
				t.Errorf("%s at %d: %v", filepath.Base(file), at, err)
			}
		}
		t.Logf("clean stop %t: %d of %d flipped bits found and named, the others did no harm", clean, found, flips)
	}
}
