package engine

import "signalbox/internal/correlate"

// Situations lists the situations that are not resolved, by rule, and of each
// rule the one that was quiet longest first. It is a copy.
func (e *Engine) Situations() []correlate.OpenSituation { return e.live.situations.Open() }
