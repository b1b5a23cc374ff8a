package rabbitmq

import "sync"

// acks remembers the deliveries of one channel in order, and which of them are
// finished, so that one basic.ack with "multiple" settles all that are finished
// from the oldest on. It is safe for many goroutines.
type acks struct {
	mu    sync.Mutex
	first uint64 // tag of the oldest delivery that is not settled
	state []ackState
	// ready has room for one: a hint that there may be something to settle.
	ready chan struct{}
}

type ackState uint8

const (
	underWay ackState = iota
	finished          // to be acknowledged
	settled           // told to the broker by itself
)

func newAcks() *acks { return &acks{first: 1, ready: make(chan struct{}, 1)} }

// began notes the next delivery: tags of a channel count from 1.
func (a *acks) began() {
	a.mu.Lock()
	a.state = append(a.state, underWay)
	a.mu.Unlock()
}

func (a *acks) set(tag uint64, s ackState) {
	a.mu.Lock()
	if i := tag - a.first; i < uint64(len(a.state)) {
		a.state[i] = s
	}
	a.mu.Unlock()
	a.hint()
}

func (a *acks) hint() {
	select {
	case a.ready <- struct{}{}:
	default:
	}
}

// take gives the tag up to which everything is finished, and forgets these
// deliveries. ok is false where there is nothing to acknowledge.
func (a *acks) take() (tag uint64, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for n < len(a.state) && a.state[n] != underWay {
		if a.state[n] == finished {
			tag, ok = a.first+uint64(n), true
		}
		n++
	}
	a.first += uint64(n)
	a.state = append(a.state[:0], a.state[n:]...)
	return tag, ok
}
