package daemon

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Everything in the state folder is a fold over the log: it can be thrown away
// and is rebuilt. Each kind keeps its newest two files; a damaged one is passed
// over for the older, and that for the log.
type stateDir string

// save writes data as the newest of kind, whole or not at all.
func (d stateDir) save(kind string, data []byte) error {
	path := filepath.Join(string(d), kind)
	if err := writeFile(path+".new", data, 0o600); err != nil {
		return err
	}
	if err := os.Rename(path, path+".old"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	return syncDir(string(d))
}

// load gives the newest of kind that use takes. The error of the last resort is
// nil: without a file the state is built from the log. One that cannot be used
// is put aside: else it would take the place of the older one when the next is
// saved, and of the two kept one would be worth nothing.
func (d stateDir) load(kind string, use func([]byte) error) (found bool, problems error) {
	found, bad, problems := d.find(kind, use)
	return found, errors.Join(problems, d.putAside(kind, bad))
}

// find is load that changes nothing. bad are the files that cannot be used.
func (d stateDir) find(kind string, use func([]byte) error) (found bool, bad []string, problems error) {
	path := filepath.Join(string(d), kind)
	for _, p := range []string{path, path + ".old"} {
		data, err := os.ReadFile(p)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = use(data)
		}
		if err == nil {
			return true, bad, problems
		}
		bad = append(bad, p)
		problems = errors.Join(problems, fmt.Errorf("%s: %w", p, err))
	}
	return false, bad, problems
}

func (d stateDir) putAside(kind string, bad []string) (err error) {
	for _, p := range bad {
		err = errors.Join(err, os.Rename(p, filepath.Join(string(d), kind+".unusable")))
	}
	return err
}

// syncBytes is how much is written between two fsyncs: the log's own wait for a
// disk that is busy with a large one.
const syncBytes = 4 << 20

func writeFile(path string, data []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	for err == nil && len(data) > 0 {
		n := min(len(data), syncBytes)
		if _, err = f.Write(data[:n]); err == nil {
			err = f.Sync()
		}
		data = data[n:]
	}
	return errors.Join(err, f.Close())
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// keepBundles is how many rule sets are kept as files.
const keepBundles = 64

// list gives the kinds that begin with prefix, the newest first, and removes
// those beyond keepBundles.
func (d stateDir) list(prefix string) ([]string, error) {
	entries, err := os.ReadDir(string(d))
	if err != nil {
		return nil, err
	}
	type aged struct {
		name string
		at   int64
	}
	var found []aged
	for _, e := range entries {
		name := e.Name()
		if !strings.HasPrefix(name, prefix) || strings.HasSuffix(name, ".old") || strings.HasSuffix(name, ".new") || strings.HasSuffix(name, ".unusable") {
			continue
		}
		if info, err := e.Info(); err == nil {
			found = append(found, aged{name, info.ModTime().UnixNano()})
		}
	}
	slices.SortFunc(found, func(a, b aged) int { return cmp.Compare(b.at, a.at) })
	var names []string
	for i, f := range found {
		if i >= keepBundles {
			_ = os.Remove(filepath.Join(string(d), f.name))
			_ = os.Remove(filepath.Join(string(d), f.name+".old"))
			continue
		}
		names = append(names, f.name)
	}
	return names, nil
}
