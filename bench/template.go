package main

import "bytes"

// slot stands in a template where a number of eight digits goes.
const slot = "00000000"

// template is bytes with slots, so that messages differ and cost their sender
// next to nothing.
type template struct {
	bytes []byte
	slots []int
}

func newTemplate(b []byte) *template {
	t := &template{bytes: bytes.Clone(b)}
	for from := 0; ; {
		i := bytes.Index(b[from:], []byte(slot))
		if i < 0 {
			return t
		}
		t.slots = append(t.slots, from+i)
		from += i + len(slot)
	}
}

// next writes n, n+1, … into the slots and gives the number after them.
func (t *template) next(n int) int {
	for _, at := range t.slots {
		digits(t.bytes[at:at+len(slot)], n)
		n++
	}
	return n
}

func digits(b []byte, n int) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
}

// number reads the first eight digits in a row, or -1.
func number(s string) int {
	run, n := 0, 0
	for i := range len(s) {
		if c := s[i]; c >= '0' && c <= '9' {
			run, n = run+1, n*10+int(c-'0')
			if run == len(slot) {
				return n
			}
			continue
		}
		run, n = 0, 0
	}
	return -1
}
