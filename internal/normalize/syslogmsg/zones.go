package syslogmsg

// offsets of a zone name in seconds east of UTC. other is a second meaning of
// the same name; the one that brings a time nearer to its receipt is taken.
type offsets struct{ seconds, other int }

const hour = 3600

func one(h int) offsets         { return offsets{h, h} }
func either(h1, h2 int) offsets { return offsets{h1, h2} }
func zone(s string) (offsets, bool) {
	// The three that nearly all devices send do not go through the map.
	if s == "UTC" || s == "GMT" {
		return offsets{}, true
	}
	z, ok := zones[s]
	return z, ok
}

// zones are the names that network devices are configured with.
var zones = map[string]offsets{
	"UCT": one(0), "WET": one(0), "WEST": one(hour),
	"CET": one(hour), "MET": one(hour), "MEZ": one(hour), "BST": one(hour),
	"CEST": one(2 * hour), "MEST": one(2 * hour), "MESZ": one(2 * hour), "CEDT": one(2 * hour),
	"EET": one(2 * hour), "EEST": one(3 * hour), "SAST": one(2 * hour), "CAT": one(2 * hour),
	"WAT": one(hour), "EAT": one(3 * hour), "MSK": one(3 * hour), "TRT": one(3 * hour),
	"IST": either(5*hour+hour/2, hour), "IDT": one(3 * hour), "GST": one(4 * hour),
	"PKT": one(5 * hour), "ICT": one(7 * hour), "WIB": one(7 * hour), "HKT": one(8 * hour),
	"SGT": one(8 * hour), "AWST": one(8 * hour), "KST": one(9 * hour), "JST": one(9 * hour),
	"ACST": one(9*hour + hour/2), "ACDT": one(10*hour + hour/2),
	"AEST": one(10 * hour), "AEDT": one(11 * hour), "NZST": one(12 * hour), "NZDT": one(13 * hour),
	"AST": one(-4 * hour), "ADT": one(-3 * hour), "EST": one(-5 * hour), "EDT": one(-4 * hour),
	"CST": either(-6*hour, 8*hour), "CDT": one(-5 * hour),
	"MST": one(-7 * hour), "MDT": one(-6 * hour), "PST": one(-8 * hour), "PDT": one(-7 * hour),
	"AKST": one(-9 * hour), "AKDT": one(-8 * hour), "HST": one(-10 * hour),
	"BRT": one(-3 * hour), "BRST": one(-2 * hour), "ART": one(-3 * hour), "CLT": one(-4 * hour),
	// Of both seasons, as people who leave them out name their zone.
	"ET": either(-5*hour, -4*hour), "CT": either(-6*hour, -5*hour), "MT": either(-7*hour, -6*hour), "PT": either(-8*hour, -7*hour),
	"NST": one(-(3*hour + hour/2)), "NDT": one(-(2*hour + hour/2)),
}
