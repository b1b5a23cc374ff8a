package rule

import (
	"bytes"
	_ "embed"
	"encoding/json"
)

// SchemaJSON is the published JSON Schema (2020-12) of rule files, for editors:
// rules.schema.json. It says which keys there are and what each is for; what
// needs the inventory, the event types and the actions is checked by Load.
//
//go:embed rules.schema.json
var SchemaJSON []byte

// object is a JSON object whose keys keep their order when written.
type object []member

type member struct {
	key   string
	value any
}

// MarshalJSON writes the members in their order.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		key, err := json.Marshal(m.key)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(m.value)
		if err != nil {
			return nil, err
		}
		b.Write(key)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

func described(kind any, doc string, more ...member) object {
	return append(object{{"description", doc}, {"type", kind}}, more...)
}

func refTo(name, doc string) object {
	return object{{"description", doc}, {"$ref", "#/$defs/" + name}}
}

func closed(doc string, required []string, props object) object {
	o := object{{"description", doc}, {"type", "object"}, {"additionalProperties", false}}
	if len(required) > 0 {
		o = append(o, member{"required", required})
	}
	return append(o, member{"properties", props})
}

func listOf(item object, doc string) object {
	return described("array", doc, member{"items", item})
}

// generateSchema writes the schema from the keys that the loader takes; a test
// compares it with the published file.
func generateSchema() ([]byte, error) {
	schema := object{
		{"$schema", "https://json-schema.org/draft/2020-12/schema"},
		{"title", "Signalbox rules"},
		{"type", "object"},
		{"additionalProperties", false},
		{"properties", object{
			{"rules", listOf(refTo("rule", "One rule."), "The rules of this file, tried in this order.")},
			{"tests", listOf(refTo("test", "One test."), "Tests of the rules of this file.")},
		}},
		{"$defs", append(testDefs(), object{
			{"rule", ruleSchema()},
			{"step", stepSchema()},
			{"steps", object{{"type", "array"}, {"minItems", 1}, {"maxItems", maxSteps}, {"items", refTo("step", "One step.")}}},
			{"retry", retrySchema()},
			{"duration", object{{"type", "string"}, {"pattern", `^\s*([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h|d|w))+\s*$`}, {"examples", []string{"30s", "5m", "1h30m", "7d"}}}},
			{"condition", object{{"type", []string{"string", "boolean"}}, {"examples", []string{`device.role == "core"`}}}},
			{"keys", object{
				{"description", "The fields of a key: type, device, interface, site, source, or CEL."},
				{"oneOf", []object{{{"type", "string"}}, {{"type", "array"}, {"minItems", 1}, {"items", object{{"type", "string"}}}}}},
			}},
			{"limit", closed("How much may be started in a time.", nil, object{
				{"runs", described("string", "How many runs, as in 5/h or 20/15m.", member{"pattern", `^\s*[0-9]+\s*/`})},
				{"devices", described("string", "How many different devices, or what share of those of the inventory, as in 5/15m or 10%/1h.", member{"pattern", `^\s*[0-9.]+\s*%?\s*/`})},
				{"by", refTo("keys", "For each of what. Left out: for all together.")},
			})},
			{"eventTypes", object{
				{"oneOf", []object{refTo("eventType", "One type."), listOf(refTo("eventType", "One type."), "Any of these types.")}},
			}},
			{"eventType", object{{"type", "string"}, {"minLength", 1}, {"examples", []string{"interface_down", "bgp_*", "*"}}}},
		}...)},
	}
	raw, err := json.Marshal(schema)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, raw, "", "  "); err != nil {
		return nil, err
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

func ruleSchema() object {
	o := closed("What happens when: a pipe, read from top to bottom.", []string{"name", "do"}, append(plainRule(), patternSchema()...))
	// on may be left out where the form has events.
	var events []object
	for _, form := range []string{"sequence", "all", "any"} {
		events = append(events, object{{"required", []string{form}}})
	}
	return append(o, member{"anyOf", append([]object{{{"required", []string{"on"}}}}, events...)})
}

func plainRule() object {
	return object{
		{"name", described("string", "Names the rule in the log and in commands; once in all files.", member{"pattern", ruleName.String()})},
		{"description", described("string", "What the rule is for; shown to who approves.")},
		{"on", refTo("eventTypes", "What sets it off: an event type, several, a prefix as in bgp_*, or * for all.")},
		{"when", refTo("condition", "A CEL expression that must be true. An attribute that is absent makes it false.")},
		{"dedup", closed("The same key is news once within the window.", nil, object{
			{"by", refTo("keys", "The fields of the key. Left out: device, type, interface and what the type says.")},
			{"within", refTo("duration", "How long. Default: 60s.")},
		})},
		{"do", refTo("steps", "What is done, one step after the other.")},
		{"retry", refTo("retry", "How recoverable errors of its steps are tried again.")},
		{"timeout", refTo("duration", "How long one attempt of a step may take. Default: 5m.")},
		{"lock", described("string", "What runs one at a time: the device, or nothing. Default: device.", member{"enum", []string{"device", "none"}})},
		{"mode", object{
			{"description", "active; shadow decides and records and does nothing; off. Default: active."},
			{"enum", []any{"active", "shadow", "off", false}},
		}},
		{"limits", object{
			{"description", "How much the rule may start; what is more is refused and recorded."},
			{"oneOf", []object{refTo("limit", "One limit."), listOf(refTo("limit", "One limit."), "All of them must have room.")}},
		}},
		{"tests", listOf(refTo("test", "One test."), "Tests of this rule.")},
	}
}

func stepSchema() object {
	props := object{
		{"name", described("string", "Says what the step is for.")},
		{"when", refTo("condition", "The step is skipped unless this is true.")},
		{"register", described("string", "Keeps what the action gives back under this name, for later steps.", member{"pattern", registerName.String()})},
		{"loop", object{
			{"description", "The step is done once for each element, which is item."},
			{"oneOf", []object{{{"type", "array"}}, {{"type", "string"}, {"pattern", `^\$\{.*\}$`}}}},
		}},
		{"until", refTo("condition", "The action is done again until this is true.")},
		{"retries", described("integer", "How often until may be tried. Default: 3.", member{"minimum", 1}, member{"maximum", 1000})},
		{"delay", refTo("duration", "The wait between tries of until. Default: 5s.")},
		{"timeout", refTo("duration", "How long one attempt may take. Default: the rule's.")},
		{"ignore_errors", described("boolean", "A failure of this step does not end the run.")},
		{"idempotent", described("boolean", "Whether it may be repeated when nobody knows whether it took place. Default: the action knows.")},
		{"retry", refTo("retry", "How recoverable errors are tried again. Default: the rule's.")},
		{"parallel", refTo("steps", "Steps that are done at the same time.")},
		{"block", refTo("steps", "Steps that rescue and always belong to.")},
		{"rescue", refTo("steps", "Done when a step of the block has failed.")},
		{"always", refTo("steps", "Done after the block, whatever became of it.")},
	}
	later := object{}
	for _, key := range laterStepKeys {
		later = append(later, member{key, false})
	}
	return object{
		{"description", "One action with its arguments (or parallel, or block), and beside it how it is done."},
		{"type", "object"},
		{"minProperties", 1},
		{"properties", append(props, later...)},
		{"additionalProperties", described([]string{"object", "null"}, "An action by its name, with its arguments.")},
	}
}

func retrySchema() object {
	return closed("How recoverable errors are tried again.", nil, object{
		{"attempts", described("integer", "How often in all, the first included. Default: 4.", member{"minimum", 1}, member{"maximum", 100})},
		{"backoff", refTo("duration", "The wait before the second attempt. Default: 2s.")},
		{"factor", described("number", "By which each wait is longer than the last. Default: 2.", member{"minimum", 1}, member{"maximum", 100})},
		{"max", refTo("duration", "The longest wait. Default: 1m.")},
		{"jitter", described("boolean", "Waits are made a little uneven, so that runs do not come back all at once. Default: true.")},
	})
}
