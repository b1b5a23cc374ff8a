package rule

// The keys of tests are read by package ruletest, whose tests hold these against
// what it takes.

// testDefs are the definitions for `tests:`, and testFile for files of their own.
func testDefs() object {
	return object{
		{"test", testSchema()},
		{"testFile", closed("A file of tests (*.test.yaml).", nil, object{
			{"rules", names("Files or folders of the rules that it is about, from this file. Default: those of the nearest signalbox.yaml.")},
			{"tests", listOf(refTo("test", "One test."), "The tests.")},
		})},
		{"testEvent", testEventSchema()},
		{"expectation", expectationSchema()},
		{"testTime", object{{"type", []string{"string", "integer"}}, {"pattern", `^\s*(0|([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h|d|w))+)\s*$`}, {"maximum", 0}, {"minimum", 0},
			{"examples", []string{"0s", "1500ms", "5m"}}}},
		{"outputs", object{{"type", "object"}, {"additionalProperties", object{
			{"oneOf", []object{{{"type", "object"}}, {{"type", "array"}, {"items", object{{"type", "object"}}}}}}}}}},
	}
}

func names(doc string) object {
	text := object{{"type", "string"}}
	return object{{"description", doc}, {"oneOf", []object{text, {{"type", "array"}, {"items", text}}}}}
}

func testSchema() object {
	return closed("Events at made-up times, and what must come of them.", []string{"events"}, object{
		{"name", described("string", "What it shows, for the report.")},
		{"description", described("string", "More of that.")},
		{"rules", names("The rules under test: every run of theirs must be expected. Default: those that are expected.")},
		{"exact", described("boolean", "All rules are under test.")},
		{"start", described("string", "The time of 0s, RFC 3339.")},
		{"until", refTo("testTime", "How long time goes on. Default: until all windows have ended.")},
		{"events", listOf(refTo("testEvent", "One event."), "What comes in.")},
		{"outputs", refTo("outputs", "What steps give back: by register, step, or action; a list: one after the other.")},
		{"expect", listOf(refTo("expectation", "One thing."), "What must come of it.")},
		{"never", names("Rules that must start no run.")},
		{"unmatched", described("integer", "How many events no rule takes.", member{"minimum", 0})},
	})
}

func testEventSchema() object {
	text := func(doc string) object { return described("string", doc) }
	o := closed("Something that comes in.", nil, object{
		{"at", refTo("testTime", "When, since the start of the test.")},
		{"repeat", closed("The same again.", nil, object{
			{"times", described("integer", "How often in all.", member{"minimum", 1})},
			{"every", refTo("testTime", "And how far apart.")},
		})},
		{"type", text("An event as it is in the log: its type.")},
		{"device", text("Its device.")},
		{"interface", text("Its interface.")},
		{"data", described("object", "Its data, as the type's schema has it.")},
		{"source", text("Its source. Default: test.")},
		{"time", text("The device's own time: RFC 3339, or since the start (-10s).")},
		{"id", text("Its sender's id.")},
		{"peer", text("Its sender's address.")},
		{"cause", names("The rules whose runs it follows from.")},
		{"syslog", text("A syslog message, through the mappings.")},
		{"trap", described([]string{"string", "object"}, "A notification, as snmptrapd prints it, in hex of its BER, or as a mapping has it in JSON.")},
		{"webhook", closed("A webhook.", []string{"body"}, object{
			{"source", text("Its source: a mapping of the configuration goes with it.")},
			{"mapping", text("Its mapping.")},
			{"headers", described("object", "Its headers.")},
			{"body", object{{"description", "Its body: anything, or JSON as text."}}},
		})},
		{"acknowledge", text("A person acknowledges the situation of this rule.")},
		{"resolve", text("A person resolves the situation of this rule.")},
		{"key", text("Of which of several situations.")},
		{"by", text("Who does so. Default: test.")},
	})
	var kinds []object
	for _, k := range []string{"type", "syslog", "trap", "webhook", "acknowledge", "resolve"} {
		kinds = append(kinds, object{{"required", []string{k}}})
	}
	return append(o, member{"oneOf", kinds})
}

func expectationSchema() object {
	text := func(doc string) object { return described("string", doc) }
	props := object{
		{"at", refTo("testTime", "When.")},
		{"rule", text("Of which rule.")},
		{"device", text("For which device.")},
		{"interface", text("For which interface.")},
		{"key", text("With which key, its values with blanks between.")},
		{"events", described("integer", "How many events made it up.", member{"minimum", 0})},
		{"branch", described("string", "Which steps of a situation.", member{"enum", []string{"do", "updated", "resolved"}})},
		{"situation", described("string", "Which change of a situation.", member{"enum", []string{"opened", "updated", "acknowledged", "resolved"}})},
		{"steps", listOf(object{{"type", []string{"string", "object"}}}, "The steps that are done, in this order: log, or {log: {message: …}}.")},
		{"ends", described("string", "How the run ends.", member{"enum", []string{"succeeded", "failed"}})},
		{"outputs", refTo("outputs", "What steps of this run give back.")},
		{"times", described("integer", "How often. Default: once.", member{"minimum", 1})},
		{"run", text("A run of this rule.")},
		{"event", described("string", "An event with this outcome.", member{"enum", []string{"decided", "duplicate", "suppressed", "unmatched", "rejected"}})},
		{"suppressed", text("This rule holds an event back, whatever for.")},
	}
	for _, n := range [][2]string{{"duplicate", "is dropped by this rule's own dedup"}, {"shadow", "would have started a run of this rule"},
		{"loop", "follows from a run of this rule"}, {"error", "finds a condition of this rule without an answer"}, {"joined", "counts towards a finding of this rule"},
		{"held", "waits for what another rule finds"}, {"released", "is given on to this rule after a wait"}, {"absorbed", "belongs to what another rule found"},
		{"dampened", "is dampened by this rule"}, {"upstream", "lies behind what is down, says this rule"}, {"grouped", "is put into a group of this rule"},
		{"late", "is later than this rule waits"}, {"limited", "would have started a run for which a limit has no room"},
		{"full", "finds this rule with as many keys as it may keep"}} {
		props = append(props, member{n[0], text("An event that " + n[1] + ".")})
	}
	return closed("What must come of the events.", nil, props)
}
