package eventlog

import (
	"time"

	"signalbox/internal/record"
)

// StretchAge is the guard of what is not done, at a time.
func (l *Log) StretchAge(undone record.Position, now time.Time) error {
	return l.stretchAge(undone, now)
}

// MaxAge is the stream's own limit.
func (l *Log) MaxAge() time.Duration { return l.sess.stream.CachedInfo().Config.MaxAge }

// Refresh writes the newest files of a directory out again.
var Refresh = refresh

// LookForRetentionEvery makes logs that are opened from now on look more often.
func LookForRetentionEvery(d time.Duration) (restore func()) {
	old := retentionEvery
	retentionEvery = d
	return func() { retentionEvery = old }
}

// Break makes the log take its session for broken, as a failed write does.
func (l *Log) Break(why error) {
	l.mu.Lock()
	sess := l.sess
	l.mu.Unlock()
	l.fail(sess, why)
}
