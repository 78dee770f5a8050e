package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// HostRecord is a host as lab.json keeps it.
type HostRecord struct {
	Name    string     `json:"name"`
	Role    string     `json:"role"`    // RoleController, RoleNetwork, RoleCompute, RoleOutside
	Address netip.Addr `json:"address"` // on the underlay, the tunnel endpoint; the outside's is the public network's gateway
	Holder  int        `json:"holder"`  // pid that holds the namespaces
	// Provider is set on a compute host that was given a provider bridge later.
	Provider bool `json:"provider,omitempty"`
}

// Host is one host of a lab.
type Host struct {
	HostRecord
	lab *Lab
}

// hasOVS reports whether the host has an Open vSwitch and an agent.
func (r HostRecord) hasOVS() bool { return r.Role == RoleNetwork || r.Role == RoleCompute }

// Dir is the host's directory on the machine: logs, configuration, state.
func (h *Host) Dir() string { return h.lab.path("hosts", h.Name) }

// LogFile is where a process of the host writes.
func (h *Host) LogFile(process string) string {
	return filepath.Join(h.Dir(), "log", strings.ReplaceAll(process, "/", "-")+".log")
}

// Command makes a command that runs inside the host: in its network, mount
// and UTS namespaces, with / as its directory. Standard streams are the
// caller's to set; the exit code is the command's own.
func (h *Host) Command(ctx context.Context, argv ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "nsenter", h.enter(argv)...)
}

// enter is nsenter's arguments; nsenter execs the command, so that its pid and
// exit code are the command's.
func (h *Host) enter(argv []string) []string {
	return append([]string{"--target", strconv.Itoa(h.Holder), "--net", "--mount", "--uts", "--"}, argv...)
}

// Run runs a command inside the host and returns its standard output without
// the last newline. A command that fails is an error with what it said.
func (h *Host) Run(ctx context.Context, argv ...string) (string, error) {
	cmd := h.Command(ctx, argv...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.WaitDelay = runDelay // a daemon that it left may hold our pipe
	if err := cmd.Run(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return strings.TrimRight(out.String(), "\n"), fmt.Errorf("lab: %s: %s: %w: %s",
			h.Name, strings.Join(argv, " "), err, strings.TrimSpace(errs.String()))
	}
	return strings.TrimRight(out.String(), "\n"), nil
}

// runDelay is how long Run waits for the output's end after the command's.
const runDelay = 500 * time.Millisecond

// Start starts a process inside the host that stays when we end. Its output
// goes to [Host.LogFile].
func (h *Host) Start(ctx context.Context, name string, argv ...string) (Process, error) {
	// Not CommandContext: the process outlives the context.
	return h.lab.launch(ctx, exec.Command("nsenter", h.enter(argv)...), h.process(name, argv))
}

func (h *Host) process(name string, argv []string) Process {
	return Process{Host: h.Name, Name: name, Argv: argv, Log: h.LogFile(name)}
}

// Process finds a process that was started on the host by its name.
func (h *Host) Process(name string) (Process, error) {
	for _, p := range h.lab.snapshot().Processes {
		if p.Host == h.Name && p.Name == name {
			return p, nil
		}
	}
	return Process{}, fmt.Errorf("lab: %s: no process %q was started", h.Name, name)
}

// Processes are all processes that the lab started on the host.
func (h *Host) Processes() []Process {
	var ps []Process
	for _, p := range h.lab.snapshot().Processes {
		if p.Host == h.Name {
			ps = append(ps, p)
		}
	}
	return ps
}

// Kill kills a process with SIGKILL and waits until it is gone. It stays in
// the record, for [Host.Restart].
func (h *Host) Kill(ctx context.Context, name string) error {
	p, err := h.Process(name)
	if err != nil {
		return err
	}
	if err := p.signal(ctx, unix.SIGKILL); err != nil {
		return err
	}
	return p.waitGone(ctx)
}

// Stop asks a process to end, kills it when it does not within 10 s, and
// keeps it in the record, for [Host.Restart].
func (h *Host) Stop(ctx context.Context, name string) error {
	p, err := h.Process(name)
	if err != nil {
		return err
	}
	return p.stop(ctx, 10*time.Second)
}

// Restart starts a process again as it was started, stopping it first if it
// runs. After ovs-vswitchd the bridges' addresses are put back, as a real
// host's network scripts do.
func (h *Host) Restart(ctx context.Context, name string) error {
	p, err := h.Process(name)
	if err != nil {
		return err
	}
	if err := p.stop(ctx, 10*time.Second); err != nil {
		return err
	}
	switch name {
	case processServer:
		return h.startServer(ctx)
	case processVswitchd:
		if _, err := h.Start(ctx, name, p.Argv...); err != nil {
			return err
		}
		if err := h.plugUnderlay(ctx); err != nil || !h.hasBridge() {
			return err
		}
		return h.replugExternal(ctx)
	}
	_, err = h.Start(ctx, name, p.Argv...)
	return err
}

// write puts a file into the host's directory.
func (h *Host) write(_ context.Context, name, content string) (string, error) {
	path := filepath.Join(h.Dir(), name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", fmt.Errorf("lab: %s: %w", h.Name, err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		return "", fmt.Errorf("lab: %s: %w", h.Name, err)
	}
	return path, nil
}

// Failure is a step of Up that failed on a host, with what helps to find out
// why.
type Failure struct {
	Host string
	Err  error
	Log  string // path of the log that tells most
	Tail string // its end
	Hint string // what to try
}

// Error is the whole story, over several lines.
func (f *Failure) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %v", f.Host, f.Err)
	if f.Tail != "" {
		fmt.Fprintf(&b, "\n\nthe end of %s:\n%s", f.Log, f.Tail)
	}
	if f.Hint != "" {
		fmt.Fprintf(&b, "\n\nhint: %s", f.Hint)
	}
	return b.String()
}

// Unwrap is the error behind the failure.
func (f *Failure) Unwrap() error { return f.Err }

func (h *Host) fail(ctx context.Context, process string, err error) error {
	if err == nil {
		return nil
	}
	f := &Failure{Host: h.Name, Err: err, Log: h.LogFile(process)}
	f.Tail = tail(context.WithoutCancel(ctx), f.Log)
	if p, perr := h.Process(process); perr == nil && !p.Alive(ctx) {
		f.Hint = process + " has ended; run it by hand with --debug, or read its whole log"
	} else {
		f.Hint = "neutrino lab up --keep leaves everything running for a look with neutrino lab exec " + h.Name
	}
	return f
}
