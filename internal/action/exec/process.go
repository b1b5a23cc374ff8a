package exec

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// process is a started command with its group. Whatever the command starts
// belongs to the group, unless it makes a session of its own, and dies with it.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the command is gone
	err  error         // of Wait; read it after done

	mu     sync.Mutex
	reaped bool
}

// start starts cmd in a process group of its own. The caller must wait for
// done. stdin, stdout and stderr are as in cmd.
func start(cmd *exec.Cmd) (*process, error) {
	cmd.SysProcAttr = groupAttr()
	// Someone who left the group may hold the pipes open for ever.
	cmd.WaitDelay = time.Second
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// The kernel sends the death signal when the thread that started the
		// child ends, not the process (golang.org/issue/27505). So the thread
		// stays as long as the child does.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.done)
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = p.wait()
		}
	}()
	if err := <-started; err != nil {
		<-p.done
		return nil, err
	}
	return p, nil
}

// wait waits for the command, kills what it left running, and reaps it, in
// this order: as long as it is not reaped nobody else gets its group's number.
func (p *process) wait() error {
	var err error
	ended := waitExit(p.cmd.Process.Pid)
	if !ended {
		err = p.cmd.Wait()
	}
	p.mu.Lock()
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	p.reaped = true
	p.mu.Unlock()
	if ended {
		err = p.cmd.Wait()
	}
	return err
}

// signal sends sig to the whole group, if it is still ours.
func (p *process) signal(sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reaped {
		_ = syscall.Kill(-p.cmd.Process.Pid, sig)
	}
}

// stop ends the group: SIGTERM, and SIGKILL for what is still there after
// grace. It returns when the command is gone.
func (p *process) stop(grace time.Duration) {
	p.signal(syscall.SIGTERM)
	t := time.NewTimer(grace)
	defer t.Stop()
	select {
	case <-p.done:
		return
	case <-t.C:
	}
	p.kill()
}

// kill ends the group at once.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
}
