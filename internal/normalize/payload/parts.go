package payload

import jsonscan "signalbox/internal/schema/scan"

// MaxParts is how much all parts of one body may take together, in bytes: each
// repeats what stands around the list, so that a small body could become a
// large one.
const MaxParts = 16 << 20

// SplitList takes doc apart at the list that the path leads to: one document
// for each element, in which the list has that element alone and all else is as
// it was. It returns nil where there is no list there, or one of fewer than two
// elements; doc is its only part then. An error is an *Error.
func SplitList(doc []byte, path []Step) ([][]byte, error) {
	found := valuesAt(doc, doc, path, nil)
	if len(path) == 0 || len(found) == 0 {
		return nil, nil
	}
	list := found[0]
	count, size := 0, 0
	around := len(doc) - (list.end - list.start) + len("[]")
	for el := range jsonscan.Elements(doc[list.start:list.end]) {
		count++
		size += around + len(el)
		if size > MaxParts {
			return nil, tooLarge("its list has so many elements that they need more than %d bytes apart: send fewer at once", MaxParts)
		}
	}
	if count < 2 {
		return nil, nil
	}
	out := make([][]byte, 0, count)
	for el := range jsonscan.Elements(doc[list.start:list.end]) {
		part := make([]byte, 0, around+len(el))
		part = append(append(part, doc[:list.start]...), '[')
		part = append(append(part, el...), ']')
		out = append(out, append(part, doc[list.end:]...))
	}
	return out, nil
}

// HasList says whether the path leads to a list with something in it.
func HasList(doc []byte, path []Step) bool {
	for _, f := range valuesAt(doc, doc, path, nil) {
		for range jsonscan.Elements(doc[f.start:f.end]) {
			return true
		}
	}
	return false
}

// Parts lets split take each item further apart, within limits; split returns
// nil where an item is one event. What an item says of itself holds for its
// parts, which are numbered in Item.Part. An error is an *Error, and means that
// no event of the body may be taken.
func Parts(items []Item, limits Limits, split func(raw []byte) ([][]byte, error)) ([]Item, error) {
	limits = limits.orDefault()
	var out []Item // nil for as long as nothing was taken apart
	size := 0
	for i := range items {
		parts, err := split(items[i].Raw)
		if err != nil {
			return nil, err
		}
		if parts != nil && out == nil {
			out = append(make([]Item, 0, len(items)+len(parts)), items[:i]...)
		}
		for n, raw := range parts {
			it := items[i]
			it.Raw, it.Part = raw, n+1
			out = append(out, it)
			size += len(raw)
		}
		if parts == nil && out != nil {
			out = append(out, items[i])
		}
		if len(out) > limits.Events {
			return nil, tooLarge("more than the %d events allowed in one body: send several", limits.Events)
		}
		if size > MaxParts {
			return nil, tooLarge("its events need more than %d bytes apart: send fewer at once", MaxParts)
		}
	}
	if out == nil {
		out = items
	}
	for i := range out {
		if len(out[i].Raw) > limits.EventBytes {
			e := tooLarge("it has %d bytes, more than the %d allowed", len(out[i].Raw), limits.EventBytes)
			e.Event = i
			return nil, e
		}
	}
	return out, nil
}
