package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// command is what [stack.start] starts.
type command struct {
	name string // of its log
	argv []string
	env  []string // added to ours
	dir  string   // "" for the run's
}

// process is something that this run started. It leads a process group of its
// own, and gets a signal when we die in whatever way.
type process struct {
	name, log string
	cmd       *exec.Cmd
	ended     chan struct{}
}

// start starts a process with its output in a log; [stack.close] stops it.
func (s *stack) start(_ context.Context, c command) (*process, error) {
	log, err := os.OpenFile(s.path("log", c.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", c.name, err)
	}
	defer log.Close()
	p := &process{name: c.name, log: log.Name(), ended: make(chan struct{})}
	p.cmd = exec.Command(c.argv[0], c.argv[1:]...) // without a context: close stops it in order
	p.cmd.Env, p.cmd.Dir = append(os.Environ(), c.env...), c.dir
	if c.dir == "" {
		p.cmd.Dir = s.dir
	}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.name, err)
	}
	go func() {
		p.cmd.Wait() // how it ended, its log says
		close(p.ended)
	}()
	s.processes = append(s.processes, p)
	return p, nil
}

// await polls until the answer is nil, and gives up at the deadline or when
// the process has ended.
func (p *process) await(ctx context.Context, patience time.Duration, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("%s has ended:\n%s", p.name, tail(ctx, p.log))
		case <-ctx.Done():
			return fmt.Errorf("%s: %w:\n%s", p.name, err, tail(ctx, p.log))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// until asks again and again, and is the last error when it stays so for too long.
func until(ctx context.Context, patience time.Duration, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// stop asks the process to end, and kills its group when it has not in time.
func (p *process) stop(ctx context.Context) error {
	for _, try := range []struct {
		sig   syscall.Signal
		grace time.Duration
	}{{syscall.SIGTERM, 8 * time.Second}, {syscall.SIGKILL, 5 * time.Second}} {
		// The leader is not reaped before ended is closed, so the number is still its own.
		select {
		case <-p.ended:
			return nil
		default:
		}
		if err := syscall.Kill(-p.cmd.Process.Pid, try.sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("stop %s: %w", p.name, err)
		}
		select {
		case <-p.ended:
			return nil
		case <-ctx.Done():
		case <-time.After(try.grace):
		}
	}
	return fmt.Errorf("stop %s: pid %d does not end", p.name, p.cmd.Process.Pid)
}

// freePorts finds loopback ports that nobody uses. Somebody may take one
// before it is used: then the process that wanted it says so.
func freePorts(ctx context.Context, n int) ([]int, error) {
	var ports []int
	var lc net.ListenConfig
	for range n {
		ln, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer ln.Close()
		ports = append(ports, ln.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

const tailLines = 20

// tail is the end of a file, for error messages.
func tail(_ context.Context, path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return lastLines(string(b), tailLines)
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// copyTree copies a directory of plain files, with their modes.
func copyTree(ctx context.Context, from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	for _, e := range entries {
		src, dst := filepath.Join(from, e.Name()), filepath.Join(to, e.Name())
		if e.IsDir() {
			if err := copyTree(ctx, src, dst); err != nil {
				return err
			}
			continue
		}
		b, err := os.ReadFile(src)
		if err != nil {
			return err
		}
		if err := os.WriteFile(dst, b, 0o600); err != nil {
			return err
		}
	}
	return ctx.Err()
}
