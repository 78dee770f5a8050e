// Package realtest gives the tests of the hands a real kernel and a real Open
// vSwitch without touching the machine: the test binary starts itself again in
// namespaces of its own, and an Open vSwitch runs in a test's directory. Only
// tests import it.
package realtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// inside marks the copy of the test binary that runs in its own namespaces.
const inside = "NEUTRINO_REALTEST_INSIDE"

// Main runs a package's tests in a new mount, network and process namespace,
// and returns the exit code. Without root it runs them where they are, and
// [Root] skips those that need more.
func Main(m *testing.M) int {
	if os.Geteuid() != 0 {
		return m.Run()
	}
	if os.Getenv(inside) != "" {
		if err := settle(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}
	runtime.LockOSThread() // the death signal below is tied to this thread
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL,
	}
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return max(exit.ExitCode(), 1)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "realtest: start in namespaces of its own:", err)
		return 1
	}
	return 0
}

func settle() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("realtest: make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("realtest: mount /proc: %w", err)
	}
	return nil
}

// Root skips a test that cannot be done without root.
func Root(t testing.TB) {
	t.Helper()
	if testing.Short() || os.Geteuid() != 0 {
		t.Skip("NOT TESTED: this test works on the real kernel: run it as root, without -short")
	}
}

// Eventually polls until the condition holds, for at most ten seconds.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("did not happen in 10 s: %s", what)
}

// OVS is an Open vSwitch of a test's own.
type OVS struct {
	Socket  string // "unix:…/db.sock"
	dir     string
	t       testing.TB
	db      *exec.Cmd
	switchd *exec.Cmd
}

// StartOVS starts ovsdb-server and ovs-vswitchd with an empty database; both
// end with the test.
func StartOVS(t testing.TB) *OVS {
	t.Helper()
	Root(t)
	for _, tool := range []string{"ovsdb-tool", "ovsdb-server", "ovs-vswitchd", "ovs-vsctl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("NOT TESTED: %s is not installed (package openvswitch-switch)", tool)
		}
	}
	// A socket's path has 108 bytes at most: the test's own directory can be longer.
	dir, err := os.MkdirTemp("", "ovs")
	if err != nil {
		t.Fatal(err)
	}
	o := &OVS{Socket: "unix:" + filepath.Join(dir, "db.sock"), dir: dir, t: t}
	t.Cleanup(func() {
		o.StopSwitch()
		o.StopDB()
		_ = os.RemoveAll(dir)
	})
	o.run("ovsdb-tool", "create", filepath.Join(dir, "conf.db"), "/usr/share/openvswitch/vswitch.ovsschema")
	o.StartDB()
	o.Vsctl("--no-wait", "init")
	o.StartSwitch()
	return o
}

// StartDB starts ovsdb-server on the database that is there.
func (o *OVS) StartDB() {
	o.t.Helper()
	socket := strings.TrimPrefix(o.Socket, "unix:")
	o.db = o.start("ovsdb-server", filepath.Join(o.dir, "conf.db"), "--remote=punix:"+socket,
		"--unixctl="+filepath.Join(o.dir, "db.ctl"), "--log-file="+filepath.Join(o.dir, "db.log"), "-vconsole:off")
	Eventually(o.t, "ovsdb-server listens", func() bool {
		c, err := net.Dial("unix", socket)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
}

// StartSwitch starts ovs-vswitchd.
func (o *OVS) StartSwitch() {
	o.t.Helper()
	o.switchd = o.start("ovs-vswitchd", o.Socket, "--unixctl="+filepath.Join(o.dir, "vswitchd.ctl"),
		"--log-file="+filepath.Join(o.dir, "vswitchd.log"), "-vconsole:off")
}

// StopDB kills ovsdb-server.
func (o *OVS) StopDB() { o.stop(&o.db) }

// StopSwitch kills ovs-vswitchd.
func (o *OVS) StopSwitch() { o.stop(&o.switchd) }

// Vsctl runs ovs-vsctl and returns what it printed.
func (o *OVS) Vsctl(args ...string) string {
	o.t.Helper()
	return o.run("ovs-vsctl", append([]string{"--db=" + o.Socket, "--timeout=5"}, args...)...)
}

// Writes counts the transactions that the database holds.
func (o *OVS) Writes() int {
	o.t.Helper()
	n := 0
	for _, line := range strings.Split(o.run("ovsdb-tool", "show-log", filepath.Join(o.dir, "conf.db")), "\n") {
		if strings.HasPrefix(line, "record ") && strings.Contains(line, "\"neutrino:") {
			n++
		}
	}
	return n
}

func (o *OVS) start(name string, args ...string) *exec.Cmd {
	o.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = o.env()
	if err := cmd.Start(); err != nil {
		o.t.Fatalf("start %s: %v", name, err)
	}
	return cmd
}

func (o *OVS) stop(cmd **exec.Cmd) {
	if *cmd == nil {
		return
	}
	_ = (*cmd).Process.Kill()
	_ = (*cmd).Wait()
	*cmd = nil
	_ = os.Remove(filepath.Join(o.dir, "db.ctl"))
	if o.db == nil {
		_ = os.Remove(strings.TrimPrefix(o.Socket, "unix:"))
	}
}

func (o *OVS) run(name string, args ...string) string {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = o.env()
	out, err := cmd.CombinedOutput()
	if err != nil {
		o.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func (o *OVS) env() []string {
	return append(os.Environ(), "OVS_RUNDIR="+o.dir, "OVS_LOGDIR="+o.dir, "OVS_DBDIR="+o.dir, "OVS_SYSCONFDIR="+o.dir)
}

// RunUntil runs a command until its output contains the part, and returns that
// output. A link's operational state, for one, follows its carrier by up to a
// second (the kernel's Documentation/networking/operstates.rst).
func RunUntil(t testing.TB, part, command string, args ...string) string {
	t.Helper()
	out := ""
	Eventually(t, part+" in the output of "+command+" "+strings.Join(args, " "), func() bool {
		out = Run(t, command, args...)
		return strings.Contains(out, part)
	})
	return out
}

// Run runs a command and fails the test when it fails.
func Run(t testing.TB, command string, args ...string) string {
	t.Helper()
	out, err := exec.Command(command, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", command, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}
