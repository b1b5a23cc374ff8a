package rule

import "time"

// GlobalWithin is the length of the global dedup window, 0 where it is off.
func (s *Set) GlobalWithin() time.Duration {
	if s.global.off {
		return 0
	}
	return s.global.within
}
