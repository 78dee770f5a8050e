package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Process is a process that the lab started. It is recognised by its id
// together with its start time, so that a reused id is never signalled.
type Process struct {
	Host  string   `json:"host"`
	Name  string   `json:"name"`  // "ovs-vswitchd", "neutrino-agent", "vm/vm1"
	PID   int      `json:"pid"`   // in the machine's pid namespace
	Start uint64   `json:"start"` // clock ticks since boot: /proc/PID/stat, field 22
	Log   string   `json:"log"`   // where its output goes
	Argv  []string `json:"argv"`  // as run inside the host
}

// Alive reports whether the process runs; a zombie does not.
func (p Process) Alive(ctx context.Context) bool {
	start, zombie, err := processStart(ctx, p.PID)
	return err == nil && start == p.Start && !zombie
}

// signal sends a signal to exactly this process; one that is gone is no error.
func (p Process) signal(ctx context.Context, sig unix.Signal) error {
	fd, err := unix.PidfdOpen(p.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("lab: %s of %s, pid %d: %w", p.Name, p.Host, p.PID, err)
	}
	defer unix.Close(fd)
	// The descriptor holds the process, so the start time cannot change now.
	if !p.Alive(ctx) {
		return nil
	}
	if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("lab: signal %s of %s, pid %d: %w", p.Name, p.Host, p.PID, err)
	}
	return nil
}

// stop asks the process to end and kills it when it has not within the grace.
func (p Process) stop(ctx context.Context, grace time.Duration) error {
	if err := p.signal(ctx, unix.SIGTERM); err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	if p.waitGone(wait) == nil {
		return nil
	}
	if err := p.signal(ctx, unix.SIGKILL); err != nil {
		return err
	}
	return p.waitGone(ctx)
}

func (p Process) waitGone(ctx context.Context) error {
	return poll(ctx, 10*time.Millisecond, func() error {
		if p.Alive(ctx) {
			return fmt.Errorf("lab: %s of %s, pid %d, still runs", p.Name, p.Host, p.PID)
		}
		return nil
	})
}

// processStart reads a process's start time and whether it is a zombie.
func processStart(_ context.Context, pid int) (start uint64, zombie bool, err error) {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, false, err
	}
	// The second field, the name, is in parentheses and may hold anything.
	end := bytes.LastIndexByte(b, ')')
	fields := strings.Fields(string(b[end+1:]))
	if end < 0 || len(fields) < 20 {
		return 0, false, fmt.Errorf("lab: /proc/%d/stat: unknown form", pid)
	}
	start, err = strconv.ParseUint(fields[19], 10, 64)
	// A killed process looks like a zombie while threads of it (field 20) still
	// hold its files and sockets.
	threads := fields[17]
	return start, fields[0] == "X" || fields[0] == "Z" && (threads == "0" || threads == "1"), err
}

// launch starts the command detached from our terminal and session with its
// output in the log, and records it. The caller has set Process.Host and Name.
func (l *Lab) launch(ctx context.Context, cmd *exec.Cmd, p Process) (Process, error) {
	if err := os.MkdirAll(filepath.Dir(p.Log), 0o755); err != nil {
		return p, fmt.Errorf("lab: %w", err)
	}
	log, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return p, fmt.Errorf("lab: %w", err)
	}
	defer log.Close()
	if cmd.Stdout == nil {
		cmd.Stdout = log
	}
	cmd.Stderr = log
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &unix.SysProcAttr{}
	}
	cmd.SysProcAttr.Setsid = true
	if err := cmd.Start(); err != nil {
		return p, fmt.Errorf("lab: start %s on %s: %w", p.Name, p.Host, err)
	}
	go cmd.Wait() // reaps it while we live; afterwards init does
	p.PID = cmd.Process.Pid
	p.Start, _, err = processStart(ctx, p.PID)
	if err != nil {
		return p, fmt.Errorf("lab: start %s on %s: it ended at once, see %s", p.Name, p.Host, p.Log)
	}
	return p, l.record(ctx, func(st *state) {
		st.Processes = slices.DeleteFunc(st.Processes, func(q Process) bool {
			return q.Host == p.Host && q.Name == p.Name
		})
		st.Processes = append(st.Processes, p)
	})
}

// forget takes a process out of the record.
func (l *Lab) forget(ctx context.Context, p Process) error {
	return l.record(ctx, func(st *state) {
		st.Processes = slices.DeleteFunc(st.Processes, func(q Process) bool {
			return q.Host == p.Host && q.Name == p.Name
		})
	})
}

// markFile is in the private /run of each host; it holds the lab's id.
const markFile = "/run/neutrino-lab"

// marked finds every process that lives in a host of the lab, whoever started
// it: dnsmasq of an agent, a shell of an operator. It looks at the mark that
// each process sees in its own /run.
func (l *Lab) marked(ctx context.Context) ([]Process, error) {
	id := l.snapshot().ID
	if id == "" {
		return nil, nil
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("lab: list processes: %w", err)
	}
	var found []Process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		b, err := os.ReadFile(filepath.Join("/proc", e.Name(), "root", markFile))
		if err != nil {
			continue
		}
		mark, host, _ := strings.Cut(strings.TrimSpace(string(b)), " ")
		if mark != id {
			continue
		}
		start, zombie, err := processStart(ctx, pid)
		if err != nil || zombie {
			continue
		}
		comm, err := os.ReadFile(filepath.Join("/proc", e.Name(), "comm"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		found = append(found, Process{Host: host, Name: strings.TrimSpace(string(comm)), PID: pid, Start: start})
	}
	return found, nil
}

// tail is the end of a file, for error messages.
func tail(_ context.Context, path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	if len(lines) > tailLines {
		lines = lines[len(lines)-tailLines:]
	}
	return strings.Join(lines, "\n")
}

const tailLines = 15
