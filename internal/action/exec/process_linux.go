package exec

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// groupAttr puts a command into a group of its own, and lets the kernel kill
// it when Signalbox dies, however it dies.
func groupAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// waitExit waits until pid has ended, and leaves it to be reaped.
func waitExit(pid int) bool {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return err == nil
		}
	}
}
