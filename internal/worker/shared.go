package worker

import (
	"strings"
	"sync"
	"time"

	"signalbox/internal/rule"
)

// timeUp says that a time is up. Its text is made only when it is needed: each
// run has one, and few run out of time.
type timeUp struct {
	what  string
	limit time.Duration
}

func (e *timeUp) Error() string {
	comma := ""
	if strings.HasSuffix(e.what, ", ") {
		comma = ","
	}
	return e.what + e.limit.String() + comma + " is up"
}

// ruleNames is what expressions see of each rule: the same for all its runs.
type ruleNames struct {
	mu sync.RWMutex
	m  map[RuleVersion]map[string]any
}

// maxRuleNames bounds what is kept: old versions of rules go with all others.
const maxRuleNames = 10_000

func (n *ruleNames) of(r *rule.Rule) map[string]any {
	v := RuleVersion{r.Name, r.Version}
	n.mu.RLock()
	m := n.m[v]
	n.mu.RUnlock()
	if m != nil {
		return m
	}
	m = map[string]any{"name": r.Name, "version": r.Version}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.m == nil || len(n.m) >= maxRuleNames {
		n.m = map[RuleVersion]map[string]any{}
	}
	n.m[v] = m
	return m
}
