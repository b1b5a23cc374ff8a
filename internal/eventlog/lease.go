package eventlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	leaseBucket = "signalbox_lease"
	leaseKey    = "active"
	// leaseTime is how long a node that has died keeps others waiting, and how
	// long an active one may fail to renew before it stops itself.
	leaseTime  = 30 * time.Second
	leaseRenew = 5 * time.Second
)

// ErrLeaseLost means that this node may no longer be the active one: it must
// stop deciding and doing at once.
var ErrLeaseLost = errors.New("the lease of the active node is lost")

// Lead waits until this node is the active one: the only one that decides and
// runs. An embedded log has one node, which its data folder's lock sees to. On
// an external server the nodes agree by a key of its key-value store; standby
// is told which node is active while this one waits. A node that comes back
// takes its own lease over at once.
//
// lost gets ErrLeaseLost, with the reason, when the node has to stop. release
// gives the lease up, so that another node need not wait for its end.
func (l *Log) Lead(ctx context.Context, standby func(active string)) (lost <-chan error, release func(), err error) {
	if l.cfg.embedded() {
		return nil, func() {}, nil
	}
	sess, err := l.session(ctx)
	if err != nil {
		return nil, nil, err
	}
	kv, err := sess.js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: leaseBucket,
		Description: "which Signalbox node decides and runs", TTL: leaseTime, Storage: jetstream.FileStorage, Replicas: max(1, l.cfg.Replicas)})
	if err != nil {
		return nil, nil, fmt.Errorf("event log: lease: %w", err)
	}
	rev, err := l.acquire(ctx, kv, standby)
	if err != nil {
		return nil, nil, err
	}
	c := make(chan error, 1)
	done := make(chan struct{})
	life, stop := context.WithCancel(l.ctx)
	go func() {
		defer close(done)
		rev = l.renew(life, kv, rev, c)
	}()
	return c, func() {
		stop()
		<-done
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		_ = kv.Delete(ctx, leaseKey, jetstream.LastRevision(rev)) // or it ends by itself
	}, nil
}

func (l *Log) acquire(ctx context.Context, kv jetstream.KeyValue, standby func(string)) (uint64, error) {
	told := ""
	for {
		rev, err := kv.Create(ctx, leaseKey, []byte(l.Node()))
		if err == nil {
			return rev, nil
		}
		if e, gerr := kv.Get(ctx, leaseKey); gerr == nil {
			active := string(e.Value())
			if active == l.Node() {
				if rev, err = kv.Update(ctx, leaseKey, []byte(l.Node()), e.Revision()); err == nil {
					return rev, nil
				}
			} else if active != told {
				told = active
				standby(active)
			}
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// renew keeps the lease until ctx ends, and says when it cannot.
func (l *Log) renew(ctx context.Context, kv jetstream.KeyValue, rev uint64, lost chan<- error) uint64 {
	t := time.NewTicker(leaseRenew)
	defer t.Stop()
	// Less than the lease's time, by a renewal: nobody else is active before.
	for until := time.Now().Add(leaseTime - leaseRenew); ; {
		select {
		case <-ctx.Done():
			return rev
		case <-t.C:
		}
		call, cancel := context.WithTimeout(ctx, leaseRenew)
		next, err := kv.Update(call, leaseKey, []byte(l.Node()), rev)
		cancel()
		switch {
		case err == nil:
			rev, until = next, time.Now().Add(leaseTime-leaseRenew)
		case ctx.Err() != nil:
			return rev
		case errors.Is(err, jetstream.ErrKeyExists):
			lost <- fmt.Errorf("%w: another node has taken it", ErrLeaseLost)
			return rev
		case time.Now().After(until):
			lost <- fmt.Errorf("%w: it could not be renewed: %w", ErrLeaseLost, err)
			return rev
		}
	}
}
