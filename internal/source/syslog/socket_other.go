//go:build !linux

package syslog

import "syscall"

// bufferControl leaves the buffer as the system gives it.
func bufferControl(int, *int) func(network, address string, c syscall.RawConn) error { return nil }

// drops is not to be had here.
func drops(syscall.RawConn) (uint32, bool) { return 0, false }

func memErrors() uint64 { return 0 }
