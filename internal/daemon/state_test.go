package daemon

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"signalbox/internal/engine"
	"signalbox/internal/record"
)

// engineAt is the snapshot of an engine that has come to a batch.
func engineAt(t *testing.T, seq uint64) []byte {
	t.Helper()
	e := engine.New(nil)
	b := &record.Batch{Subject: record.Events, Seq: seq, Time: time.Unix(1_800_000_000, 0), Records: []record.Record{{Kind: record.KindTick}}}
	if _, err := e.Step(b); err != nil {
		t.Fatal(err)
	}
	return e.Snapshot()
}

func TestSnapshotFallsBack(t *testing.T) {
	flip := func(name string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			path := filepath.Join(dir, name)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			data[len(data)/2] ^= 1
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	cut := func(t *testing.T, dir string) {
		if err := os.Truncate(filepath.Join(dir, "engine"), 100); err != nil {
			t.Fatal(err)
		}
	}
	rename := func(from, to string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			if err := os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)); err != nil {
				t.Fatal(err)
			}
		}
	}
	both := func(fs ...func(*testing.T, string)) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			for _, f := range fs {
				f(t, dir)
			}
		}
	}
	for _, tt := range []struct {
		name   string
		damage func(t *testing.T, dir string)
		logged uint64 // the log's decisions end there
		want   uint64 // 0: the log
		told   string
	}{
		{"whole", func(*testing.T, string) {}, 30, 20, ""},
		{"a flipped byte", flip("engine"), 30, 10, "checksum"},
		{"cut off", cut, 30, 10, "checksum"},
		{"another version of the engine", func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, "engine"), []byte("signalbox engine 1\n"+strings.Repeat("x", 100)), 0o600); err != nil {
				t.Fatal(err)
			}
		}, 30, 10, "of another version"},
		{"both flipped", both(flip("engine"), flip("engine.old")), 30, 0, "engine.old"},
		{"killed between the two renames", rename("engine", "engine.new"), 30, 10, ""},
		{"of more than the log has", func(*testing.T, string) {}, 15, 10, "decisions end at 15/0"},
		{"both of more than the log has", func(*testing.T, string) {}, 5, 0, "decisions end at 5/0"},
		{"none", both(rename("engine", "x"), rename("engine.old", "y")), 30, 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			state := stateDir(t.TempDir())
			for _, seq := range []uint64{5, 10, 20} {
				if err := state.save("engine", engineAt(t, seq)); err != nil {
					t.Fatal(err)
				}
			}
			tt.damage(t, string(state))
			e, problems := restoreEngine(state, nil).engineFor(record.Position{Seq: tt.logged})
			if got := through(e); got != tt.want {
				t.Fatalf("the engine is of %d, want %d (%v)", got, tt.want, problems)
			}
			if (problems != nil) != (tt.told != "") || problems != nil && !strings.Contains(problems.Error(), tt.told) {
				t.Errorf("told %q, want %q", problems, tt.told)
			}
			// What was used is the older one after the next snapshot, whatever stood
			// in its way.
			if err := state.save("engine", engineAt(t, 25)); err != nil {
				t.Fatal(err)
			}
			flip("engine")(t, string(state))
			e, _ = restoreEngine(state, nil).engineFor(record.Position{Seq: 30})
			if got := through(e); got != tt.want {
				t.Errorf("after the next: %d, want %d", got, tt.want)
			}
		})
	}
}

func through(e *engine.Engine) uint64 {
	if e == nil {
		return 0
	}
	return e.Through().Seq
}

const saving = "SIGNALBOX_TEST_SAVING"

// TestSnapshotOfKilled kills a process that does nothing but write snapshots, again
// and again: the newest that it told of, or a newer one, must be there whole.
func TestSnapshotOfKilled(t *testing.T) {
	if dir := os.Getenv(saving); dir != "" {
		saveForEver(t, stateDir(dir))
	}
	dir := t.TempDir()
	for round := range 8 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestSnapshotOfKilled$")
		cmd.Env = append(os.Environ(), saving+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Duration(40+17*round)*time.Millisecond, func() { _ = cmd.Process.Kill() })
		last := 0
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if n, err := strconv.Atoi(lines.Text()); err == nil {
				last = n
			}
		}
		_ = cmd.Wait()
		_, _, err = stateDir(dir).find("big", func(data []byte) error {
			pos, body, err := unseal(data)
			switch {
			case err != nil:
				return err
			case pos.Seq < uint64(last):
				return fmt.Errorf("of %d, and %d was told to be on disk", pos.Seq, last)
			case !bytes.Equal(body, bytes.Repeat([]byte{byte(pos.Seq)}, len(body))):
				return fmt.Errorf("of %d, and holds another", pos.Seq)
			}
			return nil
		})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
}

func saveForEver(t *testing.T, dir stateDir) {
	for n := 1; ; n++ {
		if err := dir.save("big", seal(record.Position{Seq: uint64(n)}, bytes.Repeat([]byte{byte(n)}, syncBytes+syncBytes/2))); err != nil {
			t.Fatal(err)
		}
		fmt.Println(n)
	}
}

func TestSaverRests(t *testing.T) {
	s := newSaver()
	wait := make(chan struct{})
	if s.due(0) || s.due(snapshotEvents-1) {
		t.Error("due too soon")
	}
	if !s.due(snapshotEvents) {
		t.Fatal("not due")
	}
	if s.due(snapshotMost) {
		t.Error("due while one waits to be written")
	}
	s.start(func() { <-wait })
	if s.due(snapshotMost) {
		t.Error("due while one is written")
	}
	close(wait)
	s.wait()
	s.rest = time.Now().Add(time.Hour)
	if s.due(snapshotMost - 1) {
		t.Error("due at rest")
	}
	if !s.due(snapshotMost) {
		t.Error("not due, and so much to read again")
	}
	s = newSaver()
	if s.begun = s.begun.Add(-snapshotEvery); !s.due(1) {
		t.Error("not due after the time")
	}
}

// TestFindChangesNothing: who only looks for a snapshot that suits him, as explain
// does for an old one, leaves those that do not where they are.
func TestFindChangesNothing(t *testing.T) {
	state := stateDir(t.TempDir())
	for _, seq := range []uint64{10, 20} {
		if err := state.save("engine", engineAt(t, seq)); err != nil {
			t.Fatal(err)
		}
	}
	if found, bad, _ := state.find("engine", func([]byte) error { return fmt.Errorf("too new") }); found || len(bad) != 2 {
		t.Errorf("found %t, bad %v", found, bad)
	}
	if e, problems := restoreEngine(state, nil).engineFor(record.Position{Seq: 30}); through(e) != 20 || problems != nil {
		t.Errorf("the engine is of %d (%v)", through(e), problems)
	}
}
