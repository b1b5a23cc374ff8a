package logaction

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"signalbox/internal/action"
)

// files adds lines to the files of one folder. What comes while a file is being
// written waits for its turn together, and is written at once: many runs that
// speak at the same moment cost one opening of the file, not one each.
type files struct {
	folder string

	mu     sync.Mutex
	queued map[string]*lines // what waits for each file that is being written; nil: nothing
}

// lines are written together.
type lines struct {
	data []byte
	done chan struct{} // closed when err is known
	err  error
}

func newFiles(folder string) *files { return &files{folder: folder, queued: map[string]*lines{}} }

// add adds one line to a file, and returns when it is there.
func (f *files) add(name string, line []byte) error {
	f.mu.Lock()
	l, busy := f.queued[name]
	if l == nil {
		l = &lines{done: make(chan struct{})}
		f.queued[name] = l
	}
	l.data = append(l.data, line...)
	f.mu.Unlock()
	if !busy {
		runtime.Gosched() // runs that began with this one speak now, too
		f.rest(name)
	}
	<-l.done
	return l.err
}

// rest writes what waits for a file. What comes meanwhile is seen to by another:
// who was first is not kept.
func (f *files) rest(name string) {
	f.mu.Lock()
	l := f.queued[name]
	f.queued[name] = nil
	f.mu.Unlock()
	l.err = f.write(name, l.data)
	close(l.done)
	f.mu.Lock()
	more := f.queued[name] != nil
	if !more {
		delete(f.queued, name)
	}
	f.mu.Unlock()
	if more {
		go f.rest(name)
	}
}

// write opens the file, adds data and closes it: the file may be rotated at any
// time.
func (f *files) write(name string, data []byte) (err error) {
	defer func() { escape(err) }()
	// A Root, so that no symbolic link leads out of the folder either.
	root, err := os.OpenRoot(f.folder)
	if err != nil {
		return err
	}
	defer root.Close()
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_APPEND|os.O_CREATE|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	// A pipe that nobody reads would block for ever, and a device is no file.
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return errors.Join(err, fmt.Errorf("%s is not a regular file", action.Escape(name, 200)))
	}
	_, err = file.Write(data)
	return err
}

// escape makes the path in an error, which may come of an event, safe to read.
func escape(err error) {
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		path.Path = strings.ToValidUTF8(action.Escape(path.Path, 200), "")
	}
}
