package daemon

import (
	"signalbox/internal/config"
	"signalbox/internal/normalize"
)

// forms says how the kinds of sources read their messages.
var forms = map[string]normalize.Form{"syslog": normalize.Syslog, "snmp": normalize.SNMP, "webhook": normalize.Payload, "rabbitmq": normalize.Payload}

// sourceHead is what all kinds of sources have in common.
type sourceHead struct {
	Kind    string `yaml:"kind"`
	Mapping string `yaml:"mapping"`
}

// headOf reads what a source is; ok is false where that is no kind that we know.
func headOf(s config.Section) (h sourceHead, form normalize.Form, ok bool) {
	if s.Node == nil || s.Node.Decode(&h) != nil {
		return h, "", false
	}
	form, ok = forms[h.Kind]
	return h, form, ok
}

// produced lists the event types that the configured sources can give, for the
// warning of a rule that waits for another one. It is nil where they may give
// any: a webhook or a message of a broker names its type itself. Webhooks from
// this machine that no source is configured for do not count.
func produced(cfg *config.Config, n *normalize.Normalizer) []string {
	if len(cfg.Sources) == 0 || n == nil {
		return nil
	}
	seen := map[normalize.Form]bool{}
	var out []string
	for _, s := range cfg.Sources {
		_, form, ok := headOf(s)
		if !ok || form == normalize.Payload {
			return nil
		}
		if seen[form] {
			continue
		}
		seen[form] = true
		types, any := n.Types(form)
		if any {
			return nil
		}
		out = append(out, types...)
	}
	return out
}
