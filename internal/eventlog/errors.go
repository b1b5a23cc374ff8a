package eventlog

import (
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrUnavailable means that the log cannot be written at present; the
	// error that wraps it says why. What was given with it is not known to be
	// in the log: send it again.
	ErrUnavailable = errors.New("event log unavailable")
	// ErrDiskFull and ErrDiskFails are the reasons that a person can do
	// something about; they come with ErrUnavailable.
	ErrDiskFull  = errors.New("disk full")
	ErrDiskFails = errors.New("the disk is failing")
	// ErrBusy means that the queue was full until the caller's ctx ended.
	ErrBusy = errors.New("event log queue is full")
	// ErrTooLarge means that a record is larger than the log takes; no retry
	// can help.
	ErrTooLarge = errors.New("record too large")
	// ErrConflict means that another engine has written decisions: the caller
	// is no longer the active one.
	ErrConflict = errors.New("decisions were written by another engine")
	// ErrCorrupt is what every CorruptError wraps.
	ErrCorrupt = errors.New("event log damaged")
	// ErrNotFound means that there is no batch with that sequence, or none of
	// that subject.
	ErrNotFound = errors.New("not in the log")
	// ErrClosed means that the log has been closed.
	ErrClosed = errors.New("event log closed")
	// ErrLocked means that another process has the data directory.
	ErrLocked = errors.New("data directory is in use by another process")
)

// CorruptError names what is damaged: loud, and with all that a person needs.
type CorruptError struct {
	From, To uint64 // stream sequences that are missing or damaged; 0 where unknown
	File     string // "" where unknown
	What     string // what was expected and what was found
	Advice   string // what to do
}

// Error names the damage and the way out.
func (e *CorruptError) Error() string {
	var b strings.Builder
	b.WriteString(ErrCorrupt.Error())
	switch {
	case e.From != 0 && e.From == e.To:
		fmt.Fprintf(&b, " at sequence %d", e.From)
	case e.From != 0:
		fmt.Fprintf(&b, " at sequences %d to %d", e.From, e.To)
	}
	if e.File != "" {
		fmt.Fprintf(&b, " (%s)", e.File)
	}
	fmt.Fprintf(&b, ": %s", e.What)
	if e.Advice != "" {
		fmt.Fprintf(&b, "; %s", e.Advice)
	}
	return b.String()
}

// Unwrap makes errors.Is(err, ErrCorrupt) true.
func (e *CorruptError) Unwrap() error { return ErrCorrupt }

const adviceRestore = "stop Signalbox and restore the data directory from a backup or another copy; " +
	"if there is none, accept the loss of exactly these sequences (log.accept_damage), and they will be passed over"

func unavailable(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrUnavailable, fmt.Errorf(format, args...))
}
