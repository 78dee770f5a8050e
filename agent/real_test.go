package agent

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"neutrino"
	"neutrino/host/realtest"
	"neutrino/metadata"
	"neutrino/view"
)

// inNamespaces runs the tests in namespaces of their own where that is possible.
type inNamespaces struct{ *testing.M }

func (m inNamespaces) Run() int { return realtest.Main(m.M) }

// realAgent runs an agent with the real hands; the source is the test's.
func realAgent(t *testing.T, c Config, p Places, v *view.Host) (*Agent, *source, func() error) {
	src := newSource()
	src.set(v, 1)
	hands, surfaces := RealHands(c.Plan, p, metadata.Options{})
	a := New(c, Deps{Source: src, Hands: hands, Surfaces: surfaces})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	stop := sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { stop() })
	return a, src, stop
}

func needsTools(t *testing.T) {
	for _, tool := range []string{"iptables-restore", "ip6tables-restore", "ipset", "dnsmasq", "ip"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("NOT TESTED: %s is not installed", tool)
		}
	}
}

// The whole host is built on a real kernel and a real Open vSwitch; a port that
// is plugged goes live; a fresh agent finds everything as it is.
func TestARealHostIsBuiltAndAFreshAgentLeavesItAlone(t *testing.T) {
	ovs := realtest.StartOVS(t)
	needsTools(t)
	dir, err := os.MkdirTemp("", "agent")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // dnsmasq gives root up
		t.Fatal(err)
	}
	c := config(t)
	c.Socket, c.Plan.StatePath = filepath.Join(dir, "agent.sock"), dir
	c.RetryMin, c.RetryMax = 0, 0
	p := Places{OVSDB: ovs.Socket, OVSRun: filepath.Dir(strings.TrimPrefix(ovs.Socket, "unix:")), NetNSDir: "/run/netns"}
	privateNetNS(t)
	v := small()
	delete(v.Ports, portB)
	_, src, stop := realAgent(t, c, p, v)
	realtest.Eventually(t, "only the instance is missing", func() bool {
		r, n := src.last()
		return n > 0 && onlyPort(r, portA)
	})
	qvo := "qvo" + string(portA)[:11]
	realtest.Run(t, "ip", "link", "add", qvo, "type", "veth", "peer", "name", "qvb"+string(portA)[:11])
	plugged := time.Now()
	ovs.Vsctl("add-port", "br-int", qvo, "--", "set", "Interface", qvo,
		"external_ids:iface-id="+string(portA), "external_ids:attached-mac="+macOf(4).String())
	realtest.Eventually(t, "everything is as planned", func() bool { r, _ := src.last(); return len(r.Pending) == 0 })
	t.Logf("plugged and live after %v", time.Since(plugged))
	if tag := ovs.Vsctl("get", "Port", qvo, "tag"); tag != "1" {
		t.Errorf("tag %s", tag)
	}
	before := hostText(t, ovs)
	if !strings.Contains(before, "neutron-openvswi-i"+string(portA)[:10]) {
		t.Errorf("no chain of the port in\n%s", before)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	writes := ovs.Writes()
	var a *Agent
	a, src, stop = realAgent(t, c, p, v)
	realtest.Eventually(t, "the fresh agent reports", func() bool { r, n := src.last(); return n > 0 && len(r.Pending) == 0 })
	if st := a.Status(); st.AllPuts > len(a.state.Zones) || st.AllDrops > 0 {
		t.Errorf("a fresh agent on a finished host put %d and dropped %d items (zones, which count as put: %d)",
			st.AllPuts, st.AllDrops, len(a.state.Zones))
	}
	if n := ovs.Writes(); n != writes {
		t.Errorf("a fresh agent wrote %d times to OVSDB", n-writes)
	}
	if after := hostText(t, ovs); after != before {
		t.Errorf("a fresh agent changed the host from\n%s\nto\n%s", before, after)
	}
	repaired(t, ovs, p)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// repaired breaks the host by hand and waits for the agent to mend it.
func repaired(t *testing.T, ovs *realtest.OVS, p Places) {
	before, bridge := hostText(t, ovs), "unix:"+filepath.Join(p.OVSRun, "br-tun.mgmt")
	// How many flows there are says enough: ports get new numbers.
	flows := func() int {
		return strings.Count(realtest.Run(t, "ovs-ofctl", "-O", "OpenFlow14", "dump-flows", bridge), "\n")
	}
	all := flows()
	for what, harm := range map[string]func(){
		"chain": func() { realtest.Run(t, "iptables", "-F", "neutron-openvswi-i"+string(portA)[:10]) },
		"flows": func() { realtest.Run(t, "ovs-ofctl", "-O", "OpenFlow14", "del-flows", bridge) },
		"tag":   func() { ovs.Vsctl("clear", "Port", "qvo"+string(portA)[:11], "tag") },
		"device": func() {
			realtest.Run(t, "ip", "link", "del", "tap"+string(portD)[:11])
		},
	} {
		start := time.Now()
		harm()
		realtest.Eventually(t, what+" is mended", func() bool {
			return hostText(t, ovs) == before && flows() == all &&
				ovs.Vsctl("get", "Port", "qvo"+string(portA)[:11], "tag") == "1"
		})
		t.Logf("%s: mended after %v", what, time.Since(start))
	}
}

func onlyPort(r neutrino.Report, id neutrino.ID) bool {
	for _, p := range r.Pending {
		if p.Object != neutrino.PortObject(id) {
			return false
		}
	}
	return len(r.Pending) > 0
}

// privateNetNS gives the test a directory of namespace names of its own; the
// test's mount namespace is its own already.
func privateNetNS(t *testing.T) {
	if err := os.MkdirAll("/run/netns", 0o755); err != nil {
		t.Fatal(err)
	}
	realtest.Run(t, "mount", "-t", "tmpfs", "none", "/run/netns")
}

func hostText(t *testing.T, ovs *realtest.OVS) string {
	var b strings.Builder
	for _, table := range []string{"raw", "filter"} {
		b.WriteString(realtest.Run(t, "iptables", "-t", table, "-S") + "\n")
	}
	b.WriteString(realtest.Run(t, "ipset", "save") + "\n" + realtest.Run(t, "ip", "netns", "list") + "\n")
	b.WriteString(ovs.Vsctl("list-ports", "br-int") + "\n" + ovs.Vsctl("list-ports", "br-tun") + "\n")
	return b.String()
}
