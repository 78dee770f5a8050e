package openflow_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"neutrino/host"
	"neutrino/host/openflow"
	"neutrino/host/unixctl"
	"neutrino/reconcile"
)

// ovs is an Open vSwitch of the test's own, with the dummy datapath, in a
// network namespace that ends with its processes.
type ovs struct {
	t      testing.TB
	dir    string
	db     *exec.Cmd
	daemon *exec.Cmd
}

func startOVS(t testing.TB) *ovs {
	t.Helper()
	if testing.Short() || os.Geteuid() != 0 {
		t.Skip("NOT TESTED: needs root for an Open vSwitch in a namespace of its own")
	}
	for _, tool := range []string{"ovs-vswitchd", "ovsdb-server", "ovsdb-tool", "ovs-vsctl", "ovs-ofctl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("NOT TESTED: needs %s: %v", tool, err)
		}
	}
	o := &ovs{t: t, dir: t.TempDir()}
	o.run("ovsdb-tool", "create", o.path("conf.db"), "/usr/share/openvswitch/vswitch.ovsschema")
	o.db = o.start("ovsdb-server", o.path("conf.db"), "--remote=punix:"+o.path("db.sock"), "--pidfile", "--unixctl="+o.path("db.ctl"), "--log-file="+o.path("db.log"))
	t.Cleanup(func() { stop(o.db) })
	waitFor(t, "ovsdb-server", func() bool { return exists(o.path("db.sock")) })
	o.run("ovs-vsctl", "--no-wait", "init")
	o.startDaemon()
	t.Cleanup(func() { stop(o.daemon) })
	return o
}

func (o *ovs) startDaemon() {
	o.t.Helper()
	o.daemon = o.start("ovs-vswitchd", "unix:"+o.path("db.sock"), "--enable-dummy=override", "--disable-system", "--pidfile", "--log-file="+o.path("vswitchd.log"))
	waitFor(o.t, "ovs-vswitchd", func() bool {
		_, err := unixctl.Find(o.dir, "ovs-vswitchd")
		return err == nil
	})
	o.run("ovs-vsctl", "get", "Open_vSwitch", ".", "ovs_version")
}

func (o *ovs) path(name string) string { return filepath.Join(o.dir, name) }

func (o *ovs) env() []string {
	return append(os.Environ(), "OVS_RUNDIR="+o.dir, "OVS_DBDIR="+o.dir, "OVS_LOGDIR="+o.dir, "OVS_SYSCONFDIR="+o.dir)
}

func (o *ovs) start(name string, args ...string) *exec.Cmd {
	o.t.Helper()
	c := exec.Command(name, args...)
	c.Env = o.env()
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	var out bytes.Buffer
	c.Stderr = &out
	if err := c.Start(); err != nil {
		o.t.Fatalf("%s: %v", name, err)
	}
	return c
}

// stop ends a process of the test by its pid.
func stop(c *exec.Cmd) {
	if c.ProcessState == nil {
		c.Process.Kill()
		c.Wait()
	}
}

func (o *ovs) run(name string, args ...string) string {
	o.t.Helper()
	c := exec.Command(name, args...)
	c.Env = o.env()
	out, err := c.CombinedOutput()
	if err != nil {
		o.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (o *ovs) vsctl(args ...string) string { o.t.Helper(); return o.run("ovs-vsctl", args...) }

func (o *ovs) ofctl(args ...string) string {
	o.t.Helper()
	return o.run("ovs-ofctl", append([]string{"-O", "OpenFlow14"}, args...)...)
}

// bridge makes a bridge with ports of the dummy kind.
func (o *ovs) bridge(name string, ports ...string) {
	o.t.Helper()
	args := []string{"add-br", name, "--", "set", "Bridge", name, "datapath_type=dummy", "fail_mode=secure"}
	o.vsctl(args...)
	for i, p := range ports {
		o.plug(name, p, i+1)
	}
}

func (o *ovs) plug(bridge, port string, number int) {
	o.t.Helper()
	o.vsctl("add-port", bridge, port, "--", "set", "Interface", port, "type=dummy", fmt.Sprintf("ofport_request=%d", number))
}

// flows are the bridge's flows by ovs-ofctl, without counters and cookies.
func (o *ovs) flows(bridge string) []string {
	o.t.Helper()
	out := strings.TrimSpace(o.ofctl("--names", "--no-stats", "dump-flows", bridge))
	if out == "" {
		return nil
	}
	lines := strings.Split(out, "\n")
	for i, l := range lines {
		l = strings.TrimSpace(l)
		if _, rest, ok := strings.Cut(l, ", "); ok && strings.HasPrefix(l, "cookie=") {
			l = rest
		}
		lines[i] = strings.TrimSpace(l)
	}
	slices.Sort(lines)
	return lines
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long for %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

type flowMap = map[host.FlowKey]host.Flow

func newHand(t testing.TB, o *ovs, bridges ...string) *openflow.Hand {
	t.Helper()
	h := openflow.New(openflow.Options{RunDir: o.dir, Bridges: func() []string { return bridges }})
	t.Cleanup(h.Close)
	return h
}

// sync makes the flows as wanted with the loop that the agent uses.
func sync(t testing.TB, h *openflow.Hand, want flowMap) reconcile.Result {
	t.Helper()
	part := &reconcile.Part[flowMap, host.FlowKey, host.Flow]{
		Name: "flows", Hand: h,
		Want:   func(f flowMap) flowMap { out, _ := h.Canonicalise(f); return out },
		Same:   func(a, b host.Flow) bool { return a.Actions == b.Actions },
		Object: func(f host.Flow) string { return f.Why.Object },
	}
	return reconcile.Sync(context.Background(), []reconcile.Step[flowMap]{part}, want)
}

func mustSync(t testing.TB, h *openflow.Hand, want flowMap) reconcile.Result {
	t.Helper()
	r := sync(t, h, want)
	for _, p := range r.Problems {
		t.Errorf("%s: %v", p.Object, p.Err)
	}
	return r
}

func flow(bridge string, priority uint16, match, actions string) (host.FlowKey, host.Flow) {
	return host.FlowKey{Bridge: bridge, Priority: priority, Match: match},
		host.Flow{Actions: actions, Why: host.Why{Feature: "test", Object: "object/" + match}}
}

func read(t testing.TB, h *openflow.Hand) flowMap {
	t.Helper()
	m, err := h.Read(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return m
}
