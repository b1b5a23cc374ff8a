//go:build unix && !linux

package exec

import "syscall"

// groupAttr puts a command into a group of its own.
func groupAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// waitExit says that this system cannot wait for a process and leave it to be
// reaped.
func waitExit(int) bool { return false }
