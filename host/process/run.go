package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"neutrino/host"
)

// start starts a daemon and waits until it has written its pid file.
func (h *Hand) start(ctx context.Context, dir string, p host.Process) error {
	argv := strings.Split(p.Argv, "\x00")
	path, err := find(argv[0])
	if err != nil {
		return err
	}
	if p.NetNS != "" {
		if _, err := os.Stat(filepath.Join(h.o.NetNSDir, p.NetNS)); err != nil {
			return &host.Absent{What: "namespace " + p.NetNS}
		}
	}
	for _, pid := range strays(dir, argv[0]) {
		if err := h.stop(ctx, dir, pid); err != nil {
			return err
		}
	}
	for _, name := range []string{pidName, loadedName} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	said, err := scratch(dir)
	if err != nil {
		return err
	}
	defer said.Close()
	// Nothing of ours is handed on: no terminal, no group that a signal reaches,
	// no environment with our secrets.
	cmd := &exec.Cmd{Path: path, Args: argv, Dir: "/", Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		Stderr: said, SysProcAttr: &syscall.SysProcAttr{Setsid: true}}
	if err := h.inside(p.NetNS, cmd.Start); err != nil {
		return fmt.Errorf("starting %s: %w", argv[0], err)
	}
	if err := h.await(ctx, dir, p, cmd); err != nil {
		return fmt.Errorf("starting %s: %w%s", argv[0], err, words(said))
	}
	return stamp(dir, p.Loaded)
}

// scratch is a file without a name for what a daemon says while it starts. A
// pipe would end the daemon that writes into it after we are gone.
func scratch(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, temporary+"stderr-*")
	if err != nil {
		return nil, err
	}
	return f, os.Remove(f.Name())
}

// words are the last lines that a daemon said.
func words(f *os.File) string {
	b, err := io.ReadAll(io.NewSectionReader(f, 0, 4096))
	b = bytes.TrimSpace(b)
	if err != nil || len(b) == 0 {
		return ""
	}
	return ": " + strings.Join(strings.Fields(string(b)), " ")
}

// await waits for the pid file of a daemon that is just starting. The first
// process may stay or leave a child behind, as its arguments tell it.
func (h *Hand) await(ctx context.Context, dir string, p host.Process, cmd *exec.Cmd) error {
	left := make(chan error, 1)
	go func() { left <- cmd.Wait() }() // also reaps it when it ends much later
	deadline := time.NewTimer(h.o.StartTimeout)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	exited := false
	var grace <-chan time.Time
	for {
		if pid, argv := running(dir); pid > 0 && argv == p.Argv && (exited || pid == cmd.Process.Pid) {
			h.watch.add(pid)
			return nil
		}
		select {
		case err := <-left:
			if err != nil {
				return err
			}
			exited, left, grace = true, nil, time.After(time.Second)
		case <-grace:
			return errors.New("it ended without leaving a daemon behind")
		case <-deadline.C:
			h.abandon(cmd, exited)
			return fmt.Errorf("no pid file %s within %v", filepath.Join(dir, pidName), h.o.StartTimeout)
		case <-ctx.Done():
			h.abandon(cmd, exited)
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// abandon ends a process of ours that did not become a daemon. It is not reaped
// yet, so its number is still its own.
func (h *Hand) abandon(cmd *exec.Cmd, exited bool) {
	if !exited {
		// Already gone is as good.
		_ = cmd.Process.Kill()
	}
}

// inside calls f in a namespace. A child inherits the namespace of the thread
// that starts it; the thread is left locked, so it dies with its goroutine.
// The first thread of a process cannot die, and is what others see of it, so it
// never enters: it is held while another one does.
func (h *Hand) inside(ns string, f func() error) error {
	if ns == "" {
		return f()
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			defer runtime.UnlockOSThread()
			done <- h.inside(ns, f)
			return
		}
		handle, err := netns.GetFromPath(filepath.Join(h.o.NetNSDir, ns))
		if err != nil {
			done <- fmt.Errorf("namespace %s: %w", ns, err)
			return
		}
		defer handle.Close()
		if err := netns.Set(handle); err != nil {
			done <- fmt.Errorf("entering namespace %s: %w", ns, err)
			return
		}
		done <- f()
	}()
	return <-done
}

// packageOf names what to install for a daemon.
func packageOf(name string) string {
	if name == "dnsmasq" {
		return "dnsmasq-base"
	}
	return name
}

// find looks a daemon up. A service's PATH often lacks the directories of root's tools.
func find(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return filepath.Abs(path)
	}
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/local/sbin"} {
		path := filepath.Join(dir, name)
		if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 && !strings.Contains(name, "/") {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed: install the package %q", name, packageOf(filepath.Base(name)))
}

// hold opens a handle on a process and makes sure that it is the one that is
// meant: signals then reach it or nobody. -1 when it is gone.
func hold(dir string, pid int) (int, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return -1, nil
	}
	if err != nil {
		return -1, fmt.Errorf("opening process %d: %w", pid, err)
	}
	if !names(commandLine(pid), dir) {
		unix.Close(fd)
		return -1, nil
	}
	return fd, nil
}

// over waits until a process has ended; false when it has not within the time.
func over(ctx context.Context, fd int, within time.Duration) bool {
	end := time.Now().Add(within)
	for {
		left := time.Until(end)
		if left < 0 || ctx.Err() != nil {
			left = 0
		}
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, int(min(left, 100*time.Millisecond)/time.Millisecond))
		if n > 0 && err == nil {
			return true
		}
		if left == 0 {
			return false
		}
	}
}

// stop ends a process of ours, by force if it does not go.
func (h *Hand) stop(ctx context.Context, dir string, pid int) error {
	fd, err := hold(dir, pid)
	if err != nil || fd < 0 {
		return err
	}
	defer unix.Close(fd)
	h.watch.remove(pid)
	for _, try := range []struct {
		signal unix.Signal
		within time.Duration
	}{{unix.SIGTERM, h.o.StopTimeout}, {unix.SIGKILL, 5 * time.Second}} {
		if err := unix.PidfdSendSignal(fd, try.signal, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("stopping process %d: %w", pid, err)
		}
		if over(ctx, fd, try.within) {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return fmt.Errorf("process %d does not end", pid)
}

// hangup sends SIGHUP and reports whether the process ended of it.
func (h *Hand) hangup(ctx context.Context, dir string) (gone bool, err error) {
	pid, _ := running(dir)
	if pid == 0 {
		return true, nil
	}
	fd, err := hold(dir, pid)
	if err != nil || fd < 0 {
		return true, err
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, unix.SIGHUP, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return false, fmt.Errorf("reloading process %d: %w", pid, err)
	}
	return over(ctx, fd, settle), nil
}
