package rule

// patternSchema describes the keys that make more of a rule's events than one
// run for each: forms and stages.
func patternSchema() object {
	by := member{"by", refTo("keys", "What the events share. Left out: device, interface, and what their types say.")}
	within := member{"within", refTo("duration", "The window. Two events exactly so far apart are not in one.")}
	events := member{"events", object{
		{"description", "The events that belong together."},
		{"type", "array"}, {"minItems", 2}, {"maxItems", maxParts}, {"items", partSchema()},
	}}
	flag := func(doc string) object { return described("boolean", doc) }
	return append(object{
		{"count", closed("So many events, or so many different values, within a window.", []string{"at_least", "within"}, object{
			{"distinct", described("string", "Count different values of this (a word of keys, or CEL), not events.")},
			{"at_least", described("integer", "How many.", member{"minimum", 2}, member{"maximum", maxAtLeast})}, by, within,
			{"tumbling", flag("Windows stand side by side. Default: they slide.")},
		})},
		{"flap", closed("So many changes of state of one key within a window.", []string{"changes", "within"}, object{
			by, {"changes", described("integer", "How many; the first event counts.", member{"minimum", 2}, member{"maximum", maxChanges})}, within,
			{"state", described("string", "What is the state. Default: the event's type.")},
		})},
		{"sequence", closed("Events in this order within a window.", []string{"within", "events"}, object{by, within, events})},
		{"all", closed("All of these events, in any order, within a window.", []string{"within", "events"}, object{by, within, events})},
		{"any", closed("Any of these events.", []string{"events"}, object{by, events})},
		{"unless", closed("Nothing of this within a time after the event.", []string{"on", "within"}, object{
			{"on", refTo("eventTypes", "What must not follow.")},
			{"when", refTo("condition", "Which of those end the wait; trigger is the event that began it.")}, by, within,
		})},
		{"silent", closed("No event of a key for a time.", []string{"for"}, object{by, {"for", refTo("duration", "How long.")}})},
		{"threshold", thresholdSchema(by)},
	}, stageSchema(by)...)
}

func partSchema() object {
	return closed("One event.", nil, object{
		{"on", refTo("eventTypes", "Its types. Default: the rule's on.")},
		{"when", refTo("condition", "Which of them. In a sequence it may read the events before it by their names.")},
		{"as", described("string", "Its name in conditions and steps.", member{"pattern", registerName.String()})},
	})
}

func thresholdSchema(by member) object {
	number := func(doc string) object { return described("number", doc) }
	return closed("A number that is over a limit for a time.", []string{"value"}, object{
		{"value", described("string", "The number, as CEL.")},
		{"above", number("The limit; over it is above it.")},
		{"below", number("The limit; over it is below it.")},
		{"clear_below", number("Above: it is over until the number is below this.")},
		{"clear_above", number("Below: it is over until the number is above this.")},
		{"for", object{{"description", "For how long. Default: at once."}, {"type", "string"}}},
		{"rate", described("boolean", "Compare the change per second.")},
		{"counter", described("boolean", "The number is a counter: compare its rate; wraps and resets are seen.")}, by,
	})
}

func stageSchema(by member) object {
	wait := func(doc string) object { return object{{"description", doc}, {"type", "string"}} }
	whole := func(doc string) object {
		return described("integer", doc, member{"minimum", 1}, member{"maximum", maxDampenPenalty})
	}
	names := []object{{{"type", "string"}}, {{"type", "array"}, {"minItems", 1}, {"items", object{{"type", "string"}}}}}
	return object{
		{"holds", object{{"description", "Rules whose runs wait until it is clear that their event is no part of this."}, {"oneOf", names}}},
		{"dampen", closed("Events of a key that come too often are held back (RFC 2439).", nil, object{
			by, {"half_life", refTo("duration", "In which a penalty halves. Default: 15m.")},
			{"suppress", whole("The penalty above which a key is suppressed. Default: 2000.")},
			{"reuse", whole("The penalty below which it no longer is. Default: 750.")},
			{"max", refTo("duration", "The longest time that it is. Default: 4 half-lives.")},
			{"penalty", whole("What one event adds. Default: 1000.")},
		})},
		{"suppress", object{
			{"description", "upstream: no runs for what is behind a device or link that is down."},
			{"oneOf", []object{
				{{"const", "upstream"}},
				closed("With a wait.", []string{"upstream"}, object{
					{"upstream", object{{"const", true}}},
					{"wait", wait("How long an event waits for the news of its cause.")},
				}),
			}},
		}},
		{"group", closed("One run for many findings.", []string{"by"}, object{
			{"by", refTo("keys", "What the members share.")},
			{"wait", wait("How long the first waits for others. Default: 30s.")},
			{"interval", refTo("duration", "How long new ones wait after a run. Default: 5m.")},
			{"repeat", wait("When what is still there is told again. Default: never.")},
		})},
		{"situation", closed("What was found has an id and a state, until it is resolved.", nil, object{
			{"key", refTo("keys", "By what later events find it.")},
			{"resolved_by", object{
				{"description", "The events that resolve it. Left out: only a person does."},
				{"oneOf", []object{
					refTo("eventTypes", "By type."),
					closed("With a condition.", []string{"on"}, object{{"on", refTo("eventTypes", "By type.")}, {"when", refTo("condition", "Which of them.")}}),
				}},
			}},
			{"updated", refTo("steps", "What is done when more is found while it is open.")},
			{"resolved", refTo("steps", "What is done when it is resolved.")},
		})},
		{"time", described("string", "By which time the form goes: when events came into the log, or their own. Default: log.", member{"enum", []string{"log", "event"}})},
		{"lateness", refTo("duration", "With time: event, how late an event may come.")},
		{"max_keys", described("integer", "How many keys the rule remembers in each stage. Default: 100000.", member{"minimum", 1}, member{"maximum", maxMaxKeys})},
		{"when_full", described("string", "What happens with one more: the one that was idle longest is forgotten, or the new one is not taken. Default: oldest.", member{"enum", []string{"oldest", "refuse"}})},
	}
}
