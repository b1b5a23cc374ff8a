package rule

import "slices"

// lintLimits finds limits that never refuse anything.
func (l *loader) lintLimits(list []Limit) {
	for i := range list {
		x := &list[i]
		if x.Devices && slices.ContainsFunc(x.parts, isDevice) {
			l.warn(x.pos, "count runs, or take the device out of by", "devices: under each key there is one device, so nothing is ever refused")
			continue
		}
		for j := range list {
			if other := &list[j]; i != j && other.covers(x) {
				l.warn(x.pos, "take it out, or make it smaller", "limits: %s never refuses: %s does before", x.Text, other.Text)
				break
			}
		}
	}
}

func isDevice(k keyPart) bool {
	return k.attr == attribute{"event", "device"} || k.attr == attribute{"device", "name"}
}

// covers says whether whatever other refuses is refused by x as well: it counts
// the same under fewer keys, for as long, and lets no more through.
func (x *Limit) covers(other *Limit) bool {
	if x.Devices != other.Devices || x.Percent > 0 || other.Percent > 0 || x.Most > other.Most || x.Within < other.Within {
		return false
	}
	for _, e := range x.By {
		if !slices.ContainsFunc(other.By, func(o *Expr) bool { return o.canonical() == e.canonical() }) {
			return false
		}
	}
	return true
}
