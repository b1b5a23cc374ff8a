package syslog

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// bufferControl asks for a receive buffer before the socket is bound, and
// stores how many bytes there are in got. Root may have more than
// net.core.rmem_max.
func bufferControl(size int, got *int) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			if size > 0 && unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, size) != nil {
				_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, size)
			}
			// The kernel doubles what it is asked for, for its own book-keeping.
			if n, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF); err == nil {
				*got = n / 2
			}
		})
	}
}

// memInfoDrops is SK_MEMINFO_DROPS of linux/sock_diag.h: the place of the
// socket's sk_drops in what SO_MEMINFO gives (socket(7), Linux 4.12). It counts
// drops for a full buffer and for udp_mem alike.
const memInfoDrops = 8

// drops reads how many datagrams the kernel dropped on the socket.
func drops(c syscall.RawConn) (n uint32, ok bool) {
	var info [memInfoDrops + 1]uint32
	size := uint32(unsafe.Sizeof(info))
	err := c.Control(func(fd uintptr) {
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&info[0])), uintptr(unsafe.Pointer(&size)), 0)
		ok = errno == 0 && size == uint32(unsafe.Sizeof(info))
	})
	return info[memInfoDrops], ok && err == nil
}

// memErrors is how many datagrams all sockets of the machine lost because the
// limit of memory for UDP was reached: RcvbufErrors does not show those.
func memErrors() uint64 {
	f, err := os.Open("/proc/net/snmp")
	if err != nil {
		return 0
	}
	defer f.Close()
	var names []string
	for sc := bufio.NewScanner(f); sc.Scan(); {
		fields := strings.Fields(sc.Text())
		if len(fields) == 0 || fields[0] != "Udp:" {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		for i, name := range names {
			if name == "MemErrors" && i < len(fields) {
				n, _ := strconv.ParseUint(fields[i], 10, 64)
				return n
			}
		}
	}
	return 0
}
