package eventlog

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// dataDir is the locked data directory.
type dataDir struct {
	path  string
	lock  *os.File
	node  string
	fresh bool // the node's name was made now: nothing of ours can be in any log
}

// openDataDir makes the directory where it is missing, locks it against other
// processes until close, and finds or makes the node's name.
func openDataDir(path string) (*dataDir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s", ErrLocked, path)
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	d := &dataDir{path: path, lock: lock}
	if err := d.findNode(); err != nil {
		lock.Close()
		return nil, err
	}
	return d, nil
}

func (d *dataDir) close() error { return d.lock.Close() } // and the lock is gone

func (d *dataDir) findNode() error {
	file := filepath.Join(d.path, "node-id")
	data, err := os.ReadFile(file)
	if err == nil {
		d.node = strings.TrimSpace(string(data))
		if !validNode(d.node) {
			return &CorruptError{File: file, What: fmt.Sprintf("holds %q, not a node id of 12 hex digits", d.node), Advice: "restore the file from a backup; without one delete it, and this node takes a new name"}
		}
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var id [6]byte
	if _, err := rand.Read(id[:]); err != nil {
		return err
	}
	d.node, d.fresh = hex.EncodeToString(id[:]), true
	return writeFile(file, []byte(d.node+"\n"))
}

func validNode(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 6
}

// writeFile replaces a file so that after a power cut there is the old or the
// new one, whole.
func writeFile(file string, data []byte) error {
	tmp := file + ".new"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(tmp, file)
	}
	if err != nil {
		os.Remove(tmp)
		return err
	}
	return syncDir(filepath.Dir(file))
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
