package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// holdArgs are what the holder of a host's namespaces is told.
type holdArgs struct {
	ID   string // the lab's id
	Host string
	Role string
	Dir  string // the host's directory
	// Outside is the mount namespace of the lab that asks, "mnt:[4026531841]".
	Outside string
}

// Lines that the lab and a holder exchange.
const (
	wordGo    = "go"
	wordReady = "ready"
)

// hold is the holder: it starts in new net, mount and UTS namespaces, makes a
// host of them and stays until it is told to end. It waits for "go" first,
// because the lab must have recorded it before it makes anything; when the lab
// dies before, it ends by itself.
func hold(ctx context.Context, a holdArgs) error {
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != wordGo {
		return errors.New("lab: hold: the lab ended before the host was made")
	}
	if err := a.furnish(ctx); err != nil {
		fmt.Fprintln(os.Stdout, err)
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, unix.SIGTERM, unix.SIGINT)
	defer stop()
	fmt.Fprintln(os.Stdout, wordReady)
	if err := detach(ctx); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// detach puts /dev/null in the place of standard input and output, so that
// the lab sees the end of the pipe.
func detach(context.Context) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("lab: hold: %w", err)
	}
	defer null.Close()
	for _, fd := range []int{unix.Stdin, unix.Stdout} {
		if err := unix.Dup3(int(null.Fd()), fd, 0); err != nil {
			return fmt.Errorf("lab: hold: %w", err)
		}
	}
	return nil
}

// furnish makes the namespaces look like a host of their own.
func (a holdArgs) furnish(ctx context.Context) error {
	if err := a.refuseOutside(ctx); err != nil {
		return err
	}
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"mounts", a.mounts},
		{"mark", a.mark},
		{"hostname", func(context.Context) error { return unix.Sethostname([]byte(a.Host)) }},
		{"loopback", loopbackUp},
		{"sysctls", a.sysctls},
	} {
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("lab: hold %s: %s: %w", a.Host, step.name, err)
		}
	}
	return nil
}

// refuseOutside makes sure that we are in namespaces of our own: nothing may
// ever be mounted over the machine's files.
func (a holdArgs) refuseOutside(ctx context.Context) error {
	own, err := mountNamespace(ctx)
	if err != nil {
		return fmt.Errorf("lab: hold %s: %w", a.Host, err)
	}
	if own == a.Outside || a.Outside == "" {
		return fmt.Errorf("lab: hold %s: not in a mount namespace of its own", a.Host)
	}
	return nil
}

// mountNamespace names the mount namespace that we are in.
func mountNamespace(context.Context) (string, error) { return os.Readlink("/proc/self/ns/mnt") }

// stateDir is where Neutron keeps its files on a host; the seed's paths begin
// with it.
const stateDir = "/var/lib/neutron"

func (a holdArgs) mounts(ctx context.Context) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make / private: %w", err)
	}
	// One tmpfs over /run gives private /run/openvswitch, /run/netns and
	// /run/xtables.lock without leaving mount points on the machine.
	for _, dir := range []string{"/run", "/etc/openvswitch"} {
		if err := mountTmpfs(ctx, dir); err != nil {
			return err
		}
	}
	for _, dir := range []string{"/run/openvswitch", "/run/netns", "/run/lock", "/run/sendsigs.omit.d"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile("/run/xtables.lock", nil, 0o600); err != nil {
		return err
	}
	own := filepath.Join(a.Dir, "neutron")
	for _, dir := range []string{own, stateDir} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := unix.Mount(own, stateDir, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s: %w", stateDir, err)
	}
	// /sys shows the network namespace it was mounted in.
	if err := unix.Unmount("/sys", unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("unmount /sys: %w", err)
	}
	if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
		return fmt.Errorf("mount /sys: %w", err)
	}
	return nil
}

func mountTmpfs(_ context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID, "mode=755"); err != nil {
		return fmt.Errorf("mount tmpfs on %s: %w", dir, err)
	}
	return nil
}

func (a holdArgs) mark(context.Context) error {
	return os.WriteFile(markFile, []byte(a.ID+" "+a.Host+"\n"), 0o644)
}

func loopbackUp(context.Context) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}

// sysctls sets what the seed's hosts have: bridged frames pass iptables, and a
// host is no router. The underlay's switch filters nothing.
func (a holdArgs) sysctls(context.Context) error {
	bridged := "1"
	if a.Role == roleUnderlay {
		bridged = "0"
	}
	for key, value := range map[string]string{
		"net/bridge/bridge-nf-call-iptables":  bridged,
		"net/bridge/bridge-nf-call-ip6tables": bridged,
		"net/ipv4/ip_forward":                 "0",
	} {
		err := os.WriteFile(filepath.Join("/proc/sys", key), []byte(value), 0)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s is missing: load the kernel module br_netfilter", strings.ReplaceAll(key, "/", "."))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// startHolder makes a host's namespaces: it starts the holder in them, records
// it, lets it work and waits until the host is furnished.
func (l *Lab) startHolder(ctx context.Context, r HostRecord) error {
	dir := l.path("hosts", r.Name)
	outside, err := mountNamespace(ctx)
	if err != nil {
		return fmt.Errorf("lab: hold %s: %w", r.Name, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	cmd := exec.Command(l.Binary, "lab", "hold",
		"--id", l.snapshot().ID, "--host", r.Name, "--role", r.Role, "--host-dir", dir, "--outside", outside)
	cmd.Dir = "/"
	cmd.SysProcAttr = &unix.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWUTS}
	inR, inW, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("lab: hold %s: %w", r.Name, err)
	}
	defer inW.Close()
	outR, outW, err := os.Pipe()
	if err != nil {
		inR.Close()
		return fmt.Errorf("lab: hold %s: %w", r.Name, err)
	}
	defer outR.Close()
	cmd.Stdin, cmd.Stdout = inR, outW
	p, err := l.launch(ctx, cmd, Process{
		Host: r.Name, Name: processHolder, Argv: cmd.Args, Log: filepath.Join(dir, "log", "holder.log"),
	})
	inR.Close()
	outW.Close()
	if err != nil {
		return err
	}
	if err := l.record(ctx, func(st *state) { st.setHolder(r.Name, p.PID) }); err != nil {
		return err
	}
	fmt.Fprintln(inW, wordGo)
	return awaitReady(ctx, r.Name, outR)
}

func awaitReady(ctx context.Context, host string, out *os.File) error {
	stop := context.AfterFunc(ctx, func() { out.Close() })
	defer stop()
	b, err := io.ReadAll(io.LimitReader(out, 1<<16))
	answer := strings.TrimSpace(string(b))
	switch {
	case answer == wordReady:
		return nil
	case answer != "":
		return errors.New(answer)
	case ctx.Err() != nil:
		return fmt.Errorf("lab: hold %s: %w", host, ctx.Err())
	}
	return fmt.Errorf("lab: hold %s: the holder ended without a word (%v)", host, err)
}
