package source

import (
	"fmt"
	"net"
)

// CheckListen says what is wrong with an address to listen on, nil for nothing: a
// host or none, a colon, and a port by number or name. Whether it is free is seen
// when it is listened on.
func CheckListen(addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%q is no host:port, such as 127.0.0.1:5514, or :5514 for all addresses", addr)
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		return fmt.Errorf("%q: there is no port %s", addr, port)
	}
	return nil
}
