package agent

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"neutrino"
	"neutrino/host/inside"
	"neutrino/host/realtest"
	"neutrino/plan/names"
	"neutrino/view"
)

const (
	routerID = neutrino.ID("2d214fde-293c-4d64-8062-797f80ae2d8f")
	portQR   = neutrino.ID("c2d7dd02-56aa-4b51-a2b6-4e0d6b5f3c13")
	portQG   = neutrino.ID("d48b49e0-aabb-4b51-a2b6-4e0d6b5f3c14")
	extID    = neutrino.ID("eeeeeeee-68e0-49ca-a658-f1edff54a264")
	extSub   = neutrino.ID("ffffffff-0f0e-4a5b-8d11-0c7b5b1f5c11")
	labelID  = neutrino.ID("bbbbbbbb-1111-4a5b-8d11-0c7b5b1f5c11")
	floatID  = neutrino.ID("aaaaaaaa-0f0e-4a5b-8d11-0c7b5b1f5c11")
)

// routed is the small host with a router, its way out, a floating IP and a
// label that counts what its network sends.
func routed() *view.Host {
	v := small()
	delete(v.Ports, portB)
	a := v.Ports[portA]
	a.DeviceID, a.ProjectID, a.Name = "the-instance", "red", "web"
	v.Ports[portA] = a
	v.Networks[extID] = view.Network{LocalVLAN: 2, Network: neutrino.Network{ID: extID, AdminStateUp: true, External: true,
		NetworkType: neutrino.Flat, PhysicalNetwork: "public", MTU: 1500}}
	v.Subnets[extSub] = neutrino.Subnet{ID: extSub, NetworkID: extID, IPVersion: 4, CIDR: netip.MustParsePrefix("203.0.113.0/24"),
		GatewayIP: netip.MustParseAddr("203.0.113.1")}
	outside := []neutrino.FixedIP{{SubnetID: extSub, IPAddress: netip.MustParseAddr("203.0.113.7")}}
	v.Ports[portQR] = neutrino.Port{ID: portQR, NetworkID: netID, AdminStateUp: true, MAC: macOf(1), HostID: "c1", VIFType: neutrino.VIFOVS,
		DeviceOwner: neutrino.OwnerRouter, DeviceID: string(routerID), FixedIPs: fixed(1)}
	v.Ports[portQG] = neutrino.Port{ID: portQG, NetworkID: extID, AdminStateUp: true, MAC: macOf(2), HostID: "c1", VIFType: neutrino.VIFOVS,
		DeviceOwner: neutrino.OwnerGateway, DeviceID: string(routerID), FixedIPs: outside}
	v.Routers[routerID] = neutrino.Router{ID: routerID, AdminStateUp: true, GatewayPortID: portQG,
		Gateway: &neutrino.Gateway{NetworkID: extID, EnableSNAT: true, FixedIPs: outside}}
	v.FloatingIPs[floatID] = neutrino.FloatingIP{ID: floatID, FloatingNetworkID: extID, FloatingIPAddress: netip.MustParseAddr("203.0.113.8"),
		RouterID: routerID, PortID: portA, FixedIPAddress: netip.MustParseAddr("10.1.0.4")}
	v.MeteringLabels[labelID] = neutrino.MeteringLabel{ID: labelID, Shared: true}
	v.MeteringRules["sends"] = neutrino.MeteringLabelRule{ID: "sends", MeteringLabelID: labelID, Direction: neutrino.Egress,
		RemoteIPPrefix: netip.MustParsePrefix("10.1.0.0/24")}
	return v
}

// A router is built on a real host, an instance reads its metadata through it,
// a fresh agent leaves all as it is, and with the router everything of it goes.
func TestARealRouterIsBuiltAnswersForMetadataAndGoesAsAWhole(t *testing.T) {
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
	c.Plan.BridgeMappings, c.Plan.Metadata = map[string]string{"public": "br-ex"}, true
	p := Places{OVSDB: ovs.Socket, OVSRun: filepath.Dir(strings.TrimPrefix(ovs.Socket, "unix:")), NetNSDir: "/run/netns"}
	privateNetNS(t)
	ns := "qrouter-" + string(routerID)
	_, src, stop := realAgent(t, c, p, routed())
	realtest.Eventually(t, "the gateway waits for the missing bridge, and the router for nothing", func() bool {
		r, n := src.last()
		return n > 0 && pendingOn(r, neutrino.PortObject(portQG)) && !pendingOn(r, neutrino.PortObject(portQR)) && !pendingOn(r, neutrino.RouterObject(routerID))
	})
	ovs.Vsctl("add-br", "br-ex", "--", "set", "Bridge", "br-ex", "datapath_type=netdev")
	plugInstance(t, ovs)
	realtest.Eventually(t, "everything is as planned", func() bool { r, n := src.last(); return n > 0 && atRest(r) })
	rules := realtest.Run(t, "ip", "netns", "exec", ns, "iptables-save", "-t", "nat")
	if !strings.Contains(rules, "neutron-l3-agent-PREROUTING -d 203.0.113.8/32 -j DNAT --to-destination 10.1.0.4") {
		t.Errorf("no DNAT of the floating IP in\n%s", rules)
	}
	realtest.Eventually(t, "the instance reads its metadata", func() bool {
		return metadataFrom("vm", "/latest/meta-data/instance-id") == "the-instance"
	})
	if got := metadataFrom("vm", "/latest/meta-data/public-ipv4"); got != "203.0.113.8" {
		t.Errorf("public-ipv4 %q", got)
	}
	counted := Metered{Label: labelID, Router: routerID, Packets: 1, Bytes: 20 + 8 + 100}
	sendOut(t, "vm", 100)
	realtest.Eventually(t, "the status shows what the label counted", func() bool { return meteredBy(t, c.Socket) == counted })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	writes := ovs.Writes()
	var a *Agent
	a, src, stop = realAgent(t, c, p, routed())
	realtest.Eventually(t, "the fresh agent reports", func() bool { r, n := src.last(); return n > 0 && atRest(r) })
	// Sockets and advertisements end with the process and count as put.
	own := len(a.state.Listeners) + len(a.state.Adverts)
	if st := a.Status(); st.AllPuts > own || st.AllDrops > 0 || ovs.Writes() != writes {
		t.Errorf("a fresh agent put %d (%d of its own), dropped %d and wrote %d times to OVSDB", st.AllPuts, own, st.AllDrops, ovs.Writes()-writes)
	}
	if got := meteredBy(t, c.Socket); got != counted {
		t.Errorf("after the restart %+v is counted, before it %+v", got, counted)
	}
	if got := metadataFrom("vm", "/latest/meta-data/hostname"); got != "web" {
		t.Errorf("after the restart: hostname %q", got)
	}
	realtest.Eventually(t, "the silence of the external gateway, which nobody has made, is noticed", func() bool {
		r, _ := src.last()
		return atRest(r) && len(r.Pending) == 1 && r.Pending[0].Object == neutrino.RouterObject(routerID) &&
			strings.Contains(r.Pending[0].Reason, "203.0.113.1 does not answer ARP on "+names.QG(portQG))
	})
	v := small()
	delete(v.Ports, portB)
	src.set(v, 2)
	realtest.Eventually(t, "the router has gone", func() bool {
		r, _ := src.last()
		return r.Revision == 2 && !strings.Contains(realtest.Run(t, "ip", "netns", "list"), ns) &&
			!strings.Contains(ovs.Vsctl("list-ports", "br-ex"), "tap")
	})
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// atRest reports whether the host is as planned, whatever is noticed around it.
func atRest(r neutrino.Report) bool {
	return !slices.ContainsFunc(r.Pending, func(p neutrino.Pending) bool { return p.Kind != neutrino.Noticed })
}

func pendingOn(r neutrino.Report, object string) bool {
	for _, p := range r.Pending {
		if p.Object == object {
			return true
		}
	}
	return false
}

// plugInstance makes an instance in the namespace vm and plugs its port A.
func plugInstance(t *testing.T, ovs *realtest.OVS) {
	if _, err := exec.LookPath("ethtool"); err != nil {
		t.Skip("NOT TESTED: ethtool is not installed")
	}
	qvo := "qvo" + string(portA)[:11]
	_ = exec.Command("ip", "link", "del", qvo).Run() // another test of this process may have left it
	for _, args := range [][]string{
		{"netns", "add", "vm"},
		{"link", "add", qvo, "type", "veth", "peer", "name", "eth0", "netns", "vm", "address", macOf(4).String()},
		{"link", "set", qvo, "up"},
		{"-n", "vm", "link", "set", "lo", "up"}, {"-n", "vm", "link", "set", "eth0", "up"},
		{"-n", "vm", "address", "add", "10.1.0.4/24", "dev", "eth0"}, {"-n", "vm", "route", "add", "default", "via", "10.1.0.1"},
		{"netns", "exec", "vm", "ethtool", "-K", "eth0", "tx", "off"},
	} {
		realtest.Run(t, "ip", args...)
	}
	ovs.Vsctl("add-port", "br-int", qvo, "--", "set", "Interface", qvo,
		"external_ids:iface-id="+string(portA), "external_ids:attached-mac="+macOf(4).String())
}

// sendOut sends one UDP packet with so many bytes to a station outside.
func sendOut(t *testing.T, ns string, size int) {
	t.Helper()
	err := inside.Namespace(filepath.Join("/run/netns", ns), func() error {
		conn, err := net.Dial("udp4", "203.0.113.99:9")
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = conn.Write(make([]byte, size))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// meteredBy is the one counter that the agent's status shows.
func meteredBy(t *testing.T, socket string) Metered {
	t.Helper()
	st, err := ReadStatus(t.Context(), socket)
	if err != nil || st.MeteringProblem != "" || len(st.Metering) != 1 {
		t.Errorf("metered %+v, %q, %v", st.Metering, st.MeteringProblem, err)
		return Metered{}
	}
	return st.Metering[0]
}

// metadataFrom asks 169.254.169.254 in a namespace.
func metadataFrom(ns, path string) string {
	var c net.Conn
	err := inside.Namespace(filepath.Join("/run/netns", ns), func() (err error) {
		d := net.Dialer{Timeout: time.Second}
		c, err = d.Dial("tcp4", "169.254.169.254:80")
		return err
	})
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path)
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err.Error()
	}
	defer r.Body.Close()
	b, _ := io.ReadAll(r.Body) // what is cut is not what the test wants
	return string(b)
}
