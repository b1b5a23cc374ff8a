package eventlog

import "time"

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
