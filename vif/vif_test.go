package vif

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netns"

	"neutrino/host"
	"neutrino/host/link"
	"neutrino/host/ovsdb"
	"neutrino/host/realtest"
	"neutrino/reconcile"
)

func TestMain(m *testing.M) { os.Exit(realtest.Main(m)) }

const (
	port = "7c7ae61e-0500-4b0c-a1a1-000000000001"
	mac  = "fa:16:3e:03:00:e7"
	vm   = "d4a5b6c7-0000-4000-8000-000000000001"
)

func cloud(t testing.TB) (*realtest.OVS, Options) {
	t.Helper()
	o := realtest.StartOVS(t)
	o.Vsctl("add-br", "br-int", "--", "set", "Bridge", "br-int", "datapath_type=netdev")
	return o, Options{PortID: port, MAC: strings.ToUpper(mac), MTU: 1458, InstanceID: vm, OVSDBSocket: o.Socket}
}

func plug(t testing.TB, o Options) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := Plug(ctx, o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = Unplug(context.Background(), o) })
}

// netnsDir is a private directory with the namespaces of a test.
func netnsDir(t testing.TB, names ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "netns")
	h := link.New(link.Options{RunDir: dir, Prefixes: []string{"inst"}})
	d := reconcile.Diff[string, host.Namespace]{}
	d.Put = map[string]host.Namespace{}
	for _, n := range names {
		d.Put[n] = host.Namespace{}
	}
	if err := h.Namespaces().Apply(context.Background(), d); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		d.Put, d.Drop = nil, d.Put
		if err := h.Namespaces().Apply(context.Background(), d); err != nil {
			t.Error(err)
		}
		h.Close()
		realtest.Run(t, "umount", "-l", dir)
	})
	return dir
}

func expect(t testing.TB, what, got string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(got, p) {
			t.Errorf("%s: %q is missing in\n%s", what, p, got)
		}
	}
}

func TestAVMsPortIsPluggedAsNovaDoes(t *testing.T) {
	ovs, o := cloud(t)
	o.Tap.Kind = TapTun
	for range 2 { // twice is as good as once
		plug(t, o)
		expect(t, "qbr", realtest.Run(t, "ip", "-d", "link", "show", "qbr7c7ae61e-05"), "forward_delay 0 ", "stp_state 0", "ageing_time 0 ", "mcast_snooping 0", "mtu 1458", ",UP")
		expect(t, "qvb", realtest.RunUntil(t, "state UP", "ip", "-d", "link", "show", "qvb7c7ae61e-05"), "PROMISC", "master qbr7c7ae61e-05", "mtu 1458", "@qvo7c7ae61e-05")
		expect(t, "qvo", realtest.RunUntil(t, "state UP", "ip", "-d", "link", "show", "qvo7c7ae61e-05"), "PROMISC", "mtu 1458")
		expect(t, "tap", realtest.Run(t, "ip", "-d", "link", "show", "tap7c7ae61e-05"), "tun type tap", "persist on", "master qbr7c7ae61e-05", "mtu 1458", ",UP")
		expect(t, "offload", realtest.Run(t, "ethtool", "-k", "qvb7c7ae61e-05"), "tx-checksumming: off")
		expect(t, "settings", realtest.Run(t, "sysctl", "net.ipv6.conf.qbr7c7ae61e-05.disable_ipv6", "net.ipv4.conf.qbr7c7ae61e-05.arp_ignore", "net.ipv4.conf.qbr7c7ae61e-05.arp_announce"),
			"disable_ipv6 = 1", "arp_ignore = 1", "arp_announce = 2")
		if got := realtest.Run(t, "ip", "-6", "addr"); strings.Contains(got, "7c7ae61e-05") {
			t.Errorf("the host is on the tenant's wire: %s", got)
		}
		ids := ovs.Vsctl("get", "Interface", "qvo7c7ae61e-05", "external_ids")
		expect(t, "row", ids, `attached-mac="`+mac+`"`, "iface-id=\""+port, "iface-status=active", "vm-uuid=\""+vm)
		if got := ovs.Vsctl("get", "Port", "qvo7c7ae61e-05", "tag", "vlan_mode", "trunks"); got != "4095\ntrunk\n[4095]" {
			t.Errorf("wiring: %q", got)
		}
	}
	for range 2 {
		if err := Unplug(context.Background(), o); err != nil {
			t.Fatal(err)
		}
	}
	if got := realtest.Run(t, "ip", "-br", "link"); strings.Contains(got, "7c7ae61e-05") {
		t.Errorf("left: %s", got)
	}
	if got := ovs.Vsctl("list-ports", "br-int"); got != "" {
		t.Errorf("left in OVS: %q", got)
	}
}

func TestAPlugThatWasInterruptedIsCompleted(t *testing.T) {
	ovs, o := cloud(t)
	o.Tap.Kind = TapTun
	for name, harm := range map[string]func(){
		"no tap":                  func() { realtest.Run(t, "ip", "link", "del", "tap7c7ae61e-05") },
		"no bridge":               func() { realtest.Run(t, "ip", "link", "del", "qbr7c7ae61e-05") },
		"no pair":                 func() { realtest.Run(t, "ip", "link", "del", "qvb7c7ae61e-05") },
		"no row":                  func() { ovs.Vsctl("del-port", "qvo7c7ae61e-05") },
		"tap off the bridge":      func() { realtest.Run(t, "ip", "link", "set", "tap7c7ae61e-05", "nomaster") },
		"pair off the bridge":     func() { realtest.Run(t, "ip", "link", "set", "qvb7c7ae61e-05", "nomaster", "down", "mtu", "1500") },
		"row without the port id": func() { ovs.Vsctl("clear", "Interface", "qvo7c7ae61e-05", "external_ids") },
	} {
		plug(t, o)
		harm()
		plug(t, o)
		bridge := realtest.Run(t, "ip", "-br", "link", "show", "master", "qbr7c7ae61e-05")
		expect(t, name, bridge, "tap7c7ae61e-05", "qvb7c7ae61e-05@qvo7c7ae61e-05")
		expect(t, name, ovs.Vsctl("get", "Interface", "qvo7c7ae61e-05", "external_ids"), port)
	}
}

func TestAForeignDeviceIsNotTaken(t *testing.T) {
	_, o := cloud(t)
	o.Tap.Kind = TapTun
	realtest.Run(t, "ip", "link", "add", "tap7c7ae61e-05", "type", "bridge")
	defer realtest.Run(t, "ip", "link", "del", "tap7c7ae61e-05")
	if err := Plug(context.Background(), o); err == nil || !strings.Contains(err.Error(), "of kind bridge") {
		t.Fatalf("error: %v", err)
	}
	if err := Unplug(context.Background(), o); err == nil || !strings.Contains(err.Error(), "of kind bridge") {
		t.Fatalf("error: %v", err)
	}
	if got := realtest.Run(t, "ip", "-br", "link"); !strings.Contains(got, "tap7c7ae61e-05") || strings.Contains(got, "qvb") {
		t.Fatalf("devices: %s", got)
	}
}

func TestNamespacesTalkTCPThroughTheUserspaceDatapath(t *testing.T) {
	ovs, o := cloud(t)
	dir := netnsDir(t, "inst1", "inst2")
	inside := func(n, command string) string {
		return realtest.Run(t, "nsenter", "--net="+filepath.Join(dir, "inst"+n), "sh", "-c", command)
	}
	db := ovsdb.New(ovsdb.Options{Socket: ovs.Socket})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = db.Run(ctx) }()
	defer func() { cancel(); <-done }()
	vifs := reconcile.Diff[string, host.VIF]{Put: map[string]host.VIF{}}
	for i, n := range []string{"1", "2"} {
		one := o
		one.PortID, one.MAC = n+port[1:], mac[:16]+n
		one.Tap = Tap{Kind: TapNamespace, NetNS: "inst" + n, RunDir: dir}
		plug(t, one)
		plug(t, one)
		up := realtest.RunUntil(t, "state UP", "nsenter", "--net="+filepath.Join(dir, "inst"+n), "ip", "link", "show", "eth0")
		expect(t, "eth0", up, one.MAC, "mtu 1458")
		inside(n, "ip addr add 10.1.0.1"+n+"/24 dev eth0")
		vifs.Put[one.PortID] = host.VIF{MAC: one.MAC, Tag: uint16(1 + i)}
	}
	wired := func() {
		realtest.Eventually(t, "both are wired", func() bool { return db.VIFs().Apply(ctx, vifs) == nil })
	}
	wired()
	if got := inside("1", "ping -c1 -W1 10.1.0.12 >/dev/null && echo yes || echo no"); got != "no" {
		t.Fatal("two VLANs reach each other")
	}
	second := vifs.Put["2"+port[1:]]
	second.Tag = 1
	vifs.Put["2"+port[1:]] = second
	wired()
	realtest.Eventually(t, "ping on one VLAN", func() bool {
		return inside("1", "ping -c1 -W1 10.1.0.12 >/dev/null && echo yes || echo no") == "yes"
	})
	if n := transfer(t, filepath.Join(dir, "inst1"), filepath.Join(dir, "inst2")); n != megabyte {
		t.Fatalf("%d bytes of %d came over TCP", n, megabyte)
	}
}

const megabyte = 1 << 20

// transfer sends a megabyte over TCP from one namespace to 10.1.0.12 in
// another and returns how much arrived.
func transfer(t testing.TB, from, to string) int64 {
	t.Helper()
	at := &net.TCPAddr{IP: net.IPv4(10, 1, 0, 12), Port: 5001}
	var listener *net.TCPListener
	within(t, to, func() (err error) { listener, err = net.ListenTCP("tcp4", at); return err })
	defer listener.Close()
	received := make(chan int64, 1)
	go func() {
		c, err := listener.Accept()
		if err != nil {
			received <- -1
			return
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		n, _ := io.Copy(io.Discard, c)
		received <- n
	}()
	var c net.Conn
	dialer := net.Dialer{Timeout: 5 * time.Second}
	within(t, from, func() (err error) { c, err = dialer.Dial("tcp4", at.String()); return err })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Write(make([]byte, megabyte)); err != nil {
		t.Errorf("send: %v", err)
	}
	c.Close()
	return <-received
}

// within runs a function in a namespace, on a thread that ends there.
func within(t testing.TB, path string, f func() error) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		fd, err := netns.GetFromPath(path)
		if err == nil {
			defer fd.Close()
			err = netns.Set(fd)
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
