package eventlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"signalbox/internal/record"
)

// start makes a session: server, connection, stream, and the check of all that
// can be checked cheaply.
func (l *Log) start(ctx context.Context) error {
	cp, err := l.known()
	if err != nil {
		return err
	}
	if err := l.refuseEmpty(cp); err != nil {
		return err
	}
	sess, err := connect(l.ctx, l.cfg, l.dir.node, l.log, func(why error) {
		// Called under the server's locks: leave at once.
		select {
		case l.failures <- why:
		default:
		}
	})
	if err != nil {
		return err
	}
	if err := l.openStream(ctx, sess, cp); err != nil {
		sess.close()
		return err
	}
	l.mu.Lock()
	l.sess, l.broken = sess, nil
	close(l.opened)
	l.mu.Unlock()
	l.refused.Store(nil)
	return nil
}

// known is the checkpoint: at first what the file says (nil where there is
// none), later what this process knows itself.
func (l *Log) known() (*checkpoint, error) {
	l.cpMu.Lock()
	defer l.cpMu.Unlock()
	if l.cp.Node != "" {
		c := l.cp
		c.Heads = maps.Clone(c.Heads)
		return &c, nil
	}
	cp, err := readCheckpoint(l.cfg.Dir)
	if err != nil || cp == nil {
		return nil, err
	}
	if cp.Node != l.dir.node {
		return nil, &CorruptError{File: checkpointFile(l.cfg.Dir), What: fmt.Sprintf("belongs to node %s, this is node %s", cp.Node, l.dir.node),
			Advice: "two data directories were mixed: restore one of them whole"}
	}
	return cp, nil
}

// refuseEmpty stops before the server makes a new, empty stream where there
// must be one.
func (l *Log) refuseEmpty(cp *checkpoint) error {
	if !l.cfg.embedded() || cp == nil || cp.Last == 0 {
		return nil
	}
	if blocks := blockFiles(blocksDir(l.cfg)); len(blocks) == 0 {
		return &CorruptError{From: 1, To: cp.Last, File: blocksDir(l.cfg),
			What: fmt.Sprintf("has no block files, but the checkpoint says that the log goes to sequence %d", cp.Last), Advice: adviceRestore}
	}
	return nil
}

func blockFiles(dir string) []string {
	files, _ := filepath.Glob(filepath.Join(dir, "*.blk")) // the pattern is right, so there is no error
	return files
}

func (l *Log) openStream(ctx context.Context, sess *session, cp *checkpoint) error {
	stream, err := sess.js.Stream(ctx, streamName)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		stream, err = l.makeStream(ctx, sess, cp)
	}
	if err != nil {
		return fmt.Errorf("stream %s: %w", streamName, err)
	}
	sess.stream = stream
	info, err := stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("stream %s: %w", streamName, err)
	}
	if err := l.growLimits(ctx, sess, info.Config); err != nil {
		return err
	}
	if err := l.verifyState(ctx, stream, info.State, cp); err != nil {
		return err
	}
	return l.verifyTail(ctx, sess, info.State, cp)
}

// makeStream makes the stream where the server knows none. The server forgets
// a stream whose meta file is damaged, but finds its blocks again when it is
// made anew; whether it found all is seen by verifyState.
func (l *Log) makeStream(ctx context.Context, sess *session, cp *checkpoint) (jetstream.Stream, error) {
	old := l.cfg.embedded() && len(blockFiles(blocksDir(l.cfg))) > 0
	if old {
		l.log.Warn("the stream's meta file is missing or damaged: making the stream anew over its old blocks", "dir", blocksDir(l.cfg))
	}
	if !l.cfg.embedded() && cp != nil && cp.Last > 0 {
		return nil, &CorruptError{From: 1, To: cp.Last, What: fmt.Sprintf("the NATS server has no stream %s, but this node wrote to it up to sequence %d", streamName, cp.Last),
			Advice: "restore the stream on the server, or check that nats.url is the right one"}
	}
	stream, err := sess.js.CreateStream(ctx, streamConfig(l.cfg))
	if err != nil {
		return nil, err
	}
	if l.cfg.embedded() {
		for dir := blocksDir(l.cfg); strings.HasPrefix(dir, l.cfg.Dir); dir = filepath.Dir(dir) {
			if err := syncDir(dir); err != nil {
				return nil, err
			}
		}
	}
	info, err := stream.Info(ctx)
	if err != nil {
		return nil, err
	}
	if old && info.State.LastSeq == 0 {
		return nil, &CorruptError{File: blocksDir(l.cfg), What: "has block files, but no message could be read from them", Advice: adviceRestore}
	}
	return stream, nil
}

// growLimits brings a stream that exists to the configured limits, but only
// upwards: a smaller limit would remove messages, and no code of ours does.
func (l *Log) growLimits(ctx context.Context, sess *session, have jetstream.StreamConfig) error {
	want := have
	if l.cfg.MaxBytes > have.MaxBytes && have.MaxBytes > 0 {
		want.MaxBytes = l.cfg.MaxBytes
	}
	if have.MaxAge > 0 && (l.cfg.MaxAge == 0 || l.cfg.MaxAge > have.MaxAge) {
		want.MaxAge = l.cfg.MaxAge
	}
	if have.MaxBytes > l.cfg.MaxBytes || have.MaxAge > l.cfg.MaxAge && l.cfg.MaxAge > 0 || have.MaxAge == 0 && l.cfg.MaxAge > 0 {
		l.log.Warn("the log keeps its larger limits: to make them smaller would remove what is in it",
			"max_bytes", have.MaxBytes, "configured_max_bytes", l.cfg.MaxBytes, "max_age", have.MaxAge, "configured_max_age", l.cfg.MaxAge)
	}
	if want.MaxAge == have.MaxAge && want.MaxBytes == have.MaxBytes {
		return nil
	}
	_, err := sess.js.UpdateStream(ctx, want)
	if err != nil {
		return fmt.Errorf("raise the limits of stream %s: %w", streamName, err)
	}
	l.log.Info("limits of the log raised", "max_bytes", want.MaxBytes, "max_age", want.MaxAge)
	return nil
}

// verifyState checks what the stream says of itself against the checkpoint.
func (l *Log) verifyState(ctx context.Context, stream jetstream.Stream, st jetstream.StreamState, cp *checkpoint) error {
	if cp != nil && st.LastSeq < cp.Last && !l.accepted(st.LastSeq+1, cp.Last) {
		return &CorruptError{From: st.LastSeq + 1, To: cp.Last, File: l.where(),
			What: fmt.Sprintf("the log ends at sequence %d, but %d was known to be on disk", st.LastSeq, cp.Last), Advice: adviceRestore}
	}
	if st.LastSeq == 0 {
		return nil
	}
	if want := st.LastSeq - st.FirstSeq + 1; st.FirstSeq <= st.LastSeq && st.Msgs != want {
		return l.nameMissing(ctx, stream, st)
	}
	if cp != nil {
		if e := l.mayHaveLeft(cp, st.FirstSeq, st.Bytes); e != nil {
			return e
		}
	}
	return nil
}

// nameMissing finds which sequences are gone within the log, where nothing may
// ever be deleted.
func (l *Log) nameMissing(ctx context.Context, stream jetstream.Stream, st jetstream.StreamState) error {
	info, err := stream.Info(ctx, jetstream.WithDeletedDetails(true))
	if err != nil {
		return err
	}
	gone := info.State.Deleted
	for i := 0; i < len(gone); {
		j := i
		for j+1 < len(gone) && gone[j+1] == gone[j]+1 {
			j++
		}
		if from, to := gone[i], gone[j]; !l.accepted(from, to) {
			return &CorruptError{From: from, To: to, File: l.where(),
				What: fmt.Sprintf("%d of the sequences %d to %d are missing, these the first", st.LastSeq-st.FirstSeq+1-st.Msgs, st.FirstSeq, st.LastSeq), Advice: adviceRestore}
		}
		i = j + 1
	}
	return nil
}

// mayHaveLeft decides whether what is gone from the beginning of the log, since
// cp was made, had to leave by age or size. A missing file of the oldest
// blocks looks the same to the stream.
func (l *Log) mayHaveLeft(cp *checkpoint, first, bytes uint64) *CorruptError {
	if cp.First == 0 || first <= cp.First || l.accepted(cp.First, first-1) {
		return nil
	}
	// Size takes no more than it must: what is left is as large as the limit,
	// but for about a batch.
	if cp.Limit > 0 && int64(bytes) > cp.Limit-int64(2*l.cfg.BatchBytes) {
		return nil
	}
	newest := mark{Seq: cp.First, Time: cp.Since}
	for _, m := range cp.Marks {
		if m.Seq < first && m.Seq > newest.Seq {
			newest = m
		}
	}
	if l.cfg.MaxAge > 0 && time.Since(newest.Time) > l.cfg.MaxAge {
		return nil
	}
	return &CorruptError{From: cp.First, To: first - 1, File: l.where(),
		What:   fmt.Sprintf("the log begins at sequence %d, but sequence %d of %s is not too old, nor was the log too large", first, newest.Seq, newest.Time.UTC().Format(time.RFC3339)),
		Advice: adviceRestore}
}

func (l *Log) where() string {
	if l.cfg.embedded() {
		return blocksDir(l.cfg)
	}
	return ""
}

// verifyTail checks that the batches that the checkpoint knows are there with
// the content that it knows, reads what came after, and so finds where each
// chain of ours ends.
func (l *Log) verifyTail(ctx context.Context, sess *session, st jetstream.StreamState, cp *checkpoint) error {
	c := newChain()
	next := cp
	if next == nil {
		next = &checkpoint{Node: l.dir.node, Heads: make(map[string]head)}
		if st.Msgs > 0 && !l.dir.fresh {
			l.log.Warn("no checkpoint: verifying the whole log", "from", st.FirstSeq, "to", st.LastSeq)
		}
	}
	from := st.FirstSeq
	if l.dir.fresh && !l.cfg.embedded() {
		from = st.LastSeq + 1 // nothing of ours is there
	}
	if cp != nil {
		from = max(from, cp.Last+1)
		for w, h := range cp.Heads {
			if h.Seq >= st.FirstSeq {
				if err := l.verifyBatch(ctx, sess, w, h); err != nil {
					return err
				}
			}
			c.heads[w] = &link{head: h}
		}
	}
	if from <= st.LastSeq && st.Msgs > 0 {
		r := reader{l: l, chain: c, next: from, only: nil}
		if err := r.run(ctx, sess, st.LastSeq, func(*record.Batch) error { return nil }); err != nil {
			return err
		}
	}
	next.Last, next.Limit = st.LastSeq, sess.stream.CachedInfo().Config.MaxBytes
	if next.First == 0 && st.Msgs > 0 { // else noteGone tells what has left since
		next.First, next.Since = st.FirstSeq, st.FirstTime
	}
	l.cpMu.Lock()
	defer l.cpMu.Unlock()
	for _, s := range []record.Subject{record.Events, record.Decisions, record.Journal} {
		if k := c.heads[l.writer(s)]; k != nil {
			next.Heads[l.writer(s)] = k.head
		}
	}
	next.addMark(mark{Seq: st.LastSeq, Time: st.LastTime})
	l.cp, l.changed = *next, true
	return nil
}

func (l *Log) verifyBatch(ctx context.Context, sess *session, writer string, h head) error {
	msg, err := sess.stream.GetMsg(ctx, h.Seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		if l.accepted(h.Seq, h.Seq) {
			return nil
		}
		return &CorruptError{From: h.Seq, To: h.Seq, File: l.where(), What: fmt.Sprintf("batch %d of writer %s was known to be on disk and is not there", h.Number, writer), Advice: adviceRestore}
	}
	if err != nil {
		return err
	}
	if hash(record.Hash(msg.Data)) != h.Hash && !l.accepted(h.Seq, h.Seq) {
		return &CorruptError{From: h.Seq, To: h.Seq, File: l.where(), What: fmt.Sprintf("batch %d of writer %s has other content than when it was written", h.Number, writer), Advice: adviceRestore}
	}
	return nil
}

// refresh writes the newest files of the stream out again, byte for byte, and
// syncs them.
func refresh(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var newest time.Time
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.ModTime().After(newest) {
			newest = info.ModTime()
		}
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() || newest.Sub(info.ModTime()) > time.Minute {
			continue
		}
		if err := rewriteFile(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return syncDir(dir)
}

// rewriteFile makes every page of a file dirty without changing a byte, and
// syncs it. It is done in place: that needs no room on a full disk.
func rewriteFile(name string) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	buf := make([]byte, 1<<20)
	for at := int64(0); err == nil; {
		var n int
		n, err = f.ReadAt(buf, at)
		if n == 0 {
			break
		}
		if _, werr := f.WriteAt(buf[:n], at); werr != nil {
			err = werr
			break
		}
		at += int64(n)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return errors.Join(err, f.Close())
	}
	return errors.Join(f.Sync(), f.Close())
}
