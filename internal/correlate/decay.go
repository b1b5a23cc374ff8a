package correlate

import (
	"math/bits"
	"time"
)

// The figure of merit of RFC 2439 is kept in integers: a penalty is a number of
// 2^-32 of a point, and its decay is by multiplication with constants from a
// table, as section 4.8 of the RFC has it. So every machine comes to the same
// figure, which floating point does not promise.

// pointBits is how many bits of a penalty stand behind the point.
const pointBits = 32

// maxPenalty bounds a penalty (a thousand million points), so that no sum of
// two overflows.
const maxPenalty = uint64(1) << 62

// decayTable holds 2^(-1/2), 2^(-1/4), 2^(-1/8) … 2^(-1/2^32) as fractions of
// 2^64. A part of a half-life is written as 32 binary digits, and the constant
// of each digit that is one is multiplied in.
var decayTable = [32]uint64{
	0xb504f333f9de6484, 0xd744fccad69d6af4, 0xeac0c6e7dd24392e, 0xf5257d152486cc2c,
	0xfa83b2db722a033a, 0xfd3e0c0cf486c174, 0xfe9e115c7b8f884b, 0xff4ecb59511ec8a5,
	0xffa756521c8daed1, 0xffd3a751c0f7e10b, 0xffe9d2b2f7db2755, 0xfff4e91bff1b8c3d,
	0xfffa747ea0040664, 0xfffd3a3b7814eb53, 0xfffe9d1cc60ddab1, 0xffff4e8e25879bfa,
	0xffffa7470363f451, 0xffffd3a37dda0313, 0xffffe9d1bdf703ae, 0xfffff4e8debe025e,
	0xfffffa746f4fa150, 0xfffffd3a37a3f8b0, 0xfffffe9d1bd1065a, 0xffffff4e8de845ad,
	0xffffffa746f41376, 0xffffffd3a37a05e3, 0xffffffe9d1bd01fb, 0xfffffff4e8de80c0,
	0xfffffffa746f4050, 0xfffffffd3a37a024, 0xfffffffe9d1bd011, 0xffffffff4e8de808,
}

// decay gives what is left of penalty p after a time, where half of it goes in
// every half-life. It rounds down, by less than a millionth of a point.
func decay(p uint64, after, halfLife time.Duration) uint64 {
	if p == 0 || after <= 0 {
		return p
	}
	halves := uint64(after / halfLife)
	if halves >= 64 {
		return 0
	}
	p >>= halves
	// The rest as a fraction of a half-life, in units of 2^-32.
	hi, lo := bits.Mul64(uint64(after%halfLife), 1<<32)
	frac, _ := bits.Div64(hi, lo, uint64(halfLife))
	for i := 0; frac != 0 && i < len(decayTable); i++ {
		if frac&(1<<31) != 0 {
			p, _ = bits.Mul64(p, decayTable[i])
		}
		frac = frac << 1 & (1<<32 - 1)
	}
	return p
}

// untilBelow is the shortest time after which decay brings p below limit, to
// the nanosecond. limit must be above 0.
func untilBelow(p, limit uint64, halfLife time.Duration) time.Duration {
	if p < limit {
		return 0
	}
	// Not below at low, below at high. Rounding makes decay uneven in its last
	// bits; whatever high is in the end, it is below there.
	low, high := time.Duration(0), halfLife*time.Duration(bits.Len64(p/limit))+1
	for decay(p, high, halfLife) >= limit {
		low, high = high, high+halfLife
	}
	for high-low > 1 {
		mid := low + (high-low)/2
		if decay(p, mid, halfLife) < limit {
			high = mid
		} else {
			low = mid
		}
	}
	return high
}

// penaltyCeiling is the highest penalty that decays to reuse within max: RFC
// 2439's way to bound how long a key that has become quiet stays suppressed.
func penaltyCeiling(reuse uint64, max, halfLife time.Duration) uint64 {
	low, high := reuse, maxPenalty
	for high-low > 1 {
		mid := low + (high-low)/2
		if decay(mid, max, halfLife) < reuse {
			low = mid
		} else {
			high = mid
		}
	}
	return low
}
