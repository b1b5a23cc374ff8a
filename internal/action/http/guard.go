package httpaction

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"
)

// DeniedError says that a request was about to reach an address that it must
// not. It is permanent.
type DeniedError struct {
	Addr   netip.Addr
	Reason string // "loopback", "link-local"
}

func (e *DeniedError) Error() string {
	return fmt.Sprintf("address %s is denied (%s): name it under actions.http.allow if requests may reach it", e.Addr, e.Reason)
}

// guard decides which addresses may be reached. It looks at addresses, never
// at names: what a name resolves to is asked in the moment of connecting, so a
// name that changes its mind between check and use gains nothing.
type guard struct {
	allow, deny []netip.Prefix
	loopback    bool
}

func newGuard(c Config) (*guard, error) {
	g := &guard{loopback: c.AllowLoopback}
	var errs []error
	read := func(name string, from []string, to *[]netip.Prefix) {
		for _, s := range from {
			p, err := prefix(s)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
				continue
			}
			*to = append(*to, p)
		}
	}
	read("allow", c.Allow, &g.allow)
	read("deny", c.Deny, &g.deny)
	return g, errors.Join(errs...)
}

// control is the dialer's Control: address is what the name resolved to.
func (g *guard) control(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("address %q: %w", address, err)
	}
	return g.check(ap.Addr())
}

// check says whether a may be reached: nil, or a *DeniedError.
func (g *guard) check(a netip.Addr) error {
	a = a.WithZone("").Unmap()
	deny := func(reason string) error { return &DeniedError{Addr: a, Reason: reason} }

	allowed, denied := longest(g.allow, a), longest(g.deny, a)
	if denied >= 0 && denied >= allowed {
		return deny("actions.http.deny")
	}
	if inner, kind := embedded(a); inner.IsValid() {
		// The packet ends at the IPv4 address inside, so that must be allowed too.
		if allowed < 0 {
			return deny(kind + " of " + inner.String())
		}
		return g.check(inner)
	}
	if isMetadata(a) && allowed < a.BitLen() {
		return deny("cloud metadata service; only the address alone under allow opens it")
	}
	if allowed >= 0 {
		return nil
	}
	if a.IsLoopback() && g.loopback {
		return nil
	}
	if reason := special(a); reason != "" {
		return deny(reason)
	}
	return nil
}

// longest is the length of the longest prefix that holds a, or -1.
func longest(in []netip.Prefix, a netip.Addr) int {
	best := -1
	for _, p := range in {
		if p.Contains(a) {
			best = max(best, p.Bits())
		}
	}
	return best
}

// The special-purpose addresses of RFC 6890 that no request has business with.
// Private ones (RFC 1918, RFC 4193, RFC 6598) are where networks are managed.
var specialPrefixes = []struct {
	prefix netip.Prefix
	reason string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "unspecified"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved"},
	{netip.MustParsePrefix("::/128"), "unspecified"},
	{netip.MustParsePrefix("::1/128"), "loopback"},
	{netip.MustParsePrefix("100::/64"), "discard"},
	{netip.MustParsePrefix("fe80::/10"), "link-local"},
	{netip.MustParsePrefix("fec0::/10"), "site-local"},
	{netip.MustParsePrefix("ff00::/8"), "multicast"},
}

func special(a netip.Addr) string {
	for _, s := range specialPrefixes {
		if s.prefix.Contains(a) {
			return s.reason
		}
	}
	return ""
}

// Where clouds answer a machine's questions about itself, credentials included.
var metadata = map[netip.Addr]bool{
	netip.MustParseAddr("169.254.169.254"): true, // AWS, Azure, GCP, OpenStack, Oracle
	netip.MustParseAddr("169.254.170.2"):   true, // AWS ECS
	netip.MustParseAddr("169.254.170.23"):  true, // AWS EKS
	netip.MustParseAddr("fd00:ec2::254"):   true, // AWS
	netip.MustParseAddr("fd00:ec2::23"):    true, // AWS EKS
	netip.MustParseAddr("fd20:ce::254"):    true, // GCP
	netip.MustParseAddr("100.100.100.200"): true, // Alibaba
	netip.MustParseAddr("168.63.129.16"):   true, // Azure
	netip.MustParseAddr("192.0.0.192"):     true, // Oracle Classic
}

func isMetadata(a netip.Addr) bool { return metadata[a] }

var (
	compatible = netip.MustParsePrefix("::/96")           // RFC 4291, 2.5.5.1
	translated = netip.MustParsePrefix("::ffff:0:0:0/96") // RFC 2765
	nat64      = netip.MustParsePrefix("64:ff9b::/96")    // RFC 6052
	nat64Local = netip.MustParsePrefix("64:ff9b:1::/48")  // RFC 8215
	sixToFour  = netip.MustParsePrefix("2002::/16")       // RFC 3056
	teredo     = netip.MustParsePrefix("2001::/32")       // RFC 4380
)

// embedded is the IPv4 address inside an IPv6 address that a translator or
// tunnel would send the packet on to, and what kind of address it is. Mapped
// addresses (::ffff:0:0/96) are unmapped before.
func embedded(a netip.Addr) (inner netip.Addr, kind string) {
	if !a.Is6() || a.IsUnspecified() || a.IsLoopback() {
		return netip.Addr{}, ""
	}
	b := a.As16()
	v4 := func(i int) netip.Addr { return netip.AddrFrom4([4]byte(b[i : i+4])) }
	switch {
	case compatible.Contains(a):
		return v4(12), "IPv4-compatible form"
	case translated.Contains(a):
		return v4(12), "IPv4-translated form"
	case nat64.Contains(a), nat64Local.Contains(a):
		return v4(12), "NAT64 form"
	case sixToFour.Contains(a):
		return v4(2), "6to4 form"
	case teredo.Contains(a):
		return netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]}), "Teredo form"
	case (b[8] == 0 || b[8] == 2) && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe:
		return v4(12), "ISATAP form" // RFC 5214
	}
	return netip.Addr{}, ""
}
