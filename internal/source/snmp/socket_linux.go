package snmp

import (
	"encoding/binary"
	"net"

	"golang.org/x/sys/unix"
)

// prepare asks for a large receive buffer, and to be told what the kernel
// drops.
func prepare(sock *net.UDPConn, buffer int) error {
	if buffer > 0 {
		if err := sock.SetReadBuffer(buffer); err != nil {
			return err
		}
	}
	rc, err := sock.SyscallConn()
	if err != nil {
		return err
	}
	var opt error
	err = rc.Control(func(fd uintptr) {
		if buffer > 0 {
			// Past the kernel's limit where we may; it is no matter where not.
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, buffer)
		}
		opt = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1)
	})
	if err != nil {
		return err
	}
	return opt
}

// dropCount follows what the kernel says it dropped on one socket.
type dropCount struct{ last uint32 }

// see reads the control data of one datagram and returns how many were dropped
// since the one before. The kernel counts in 32 bits and may go round.
func (d *dropCount) see(oob []byte) uint64 {
	if len(oob) == 0 {
		return 0
	}
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return 0
	}
	for _, m := range msgs {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_RXQ_OVFL && len(m.Data) >= 4 {
			now := binary.NativeEndian.Uint32(m.Data)
			more := now - d.last
			d.last = now
			return uint64(more)
		}
	}
	return 0
}
