package metadata

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"neutrino/host"
	"neutrino/host/inside"
	"neutrino/host/realtest"
	"neutrino/reconcile"
)

// realtestLoopback has lo up in the namespace of the test binary.
func realtestLoopback(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		realtest.Run(t, "ip", "link", "set", "lo", "up")
	}
}

// netNS makes a directory of names of its own and the named namespaces in it.
func netNS(t *testing.T, names ...string) string {
	t.Helper()
	realtest.Root(t)
	if err := os.MkdirAll("/run/netns", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", "/run/netns", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount("/run/netns", unix.MNT_DETACH) })
	for _, name := range names {
		makeNS(t, name)
	}
	return "/run/netns"
}

// makeNS makes a namespace with an instance's address, from which it is asked.
func makeNS(t *testing.T, name string) {
	t.Helper()
	realtest.Run(t, "ip", "netns", "add", name)
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", name).Run() }) // it may be gone
	realtest.Run(t, "ip", "-n", name, "link", "set", "lo", "up")
	realtest.Run(t, "ip", "-n", name, "address", "add", "10.1.0.7/32", "dev", "lo")
}

// ask asks inside a namespace as an instance with the address does.
func ask(t *testing.T, ns string, to *net.TCPAddr, path string) string {
	t.Helper()
	var c net.Conn
	err := inside.Namespace(filepath.Join("/run/netns", ns), func() (err error) {
		c, err = net.DialTimeout("tcp", to.String(), 3*time.Second)
		return err
	})
	if err != nil {
		return "failed: " + err.Error()
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path)
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return "failed: " + err.Error()
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		return fmt.Sprintf("failed: %d %v", r.StatusCode, err)
	}
	return string(b)
}

// router is where the instances of a router ask, after its redirection.
var router = &net.TCPAddr{IP: net.IPv4(10, 1, 0, 7), Port: 9697}

const idPath = "/latest/meta-data/instance-id"

// Two routers have clients with one address; each client reads its own data, by
// the namespace that it asks in. The address of the service need not be there
// when its socket is opened.
func TestTwoRoutersWithTheSameClientAddressSeeTheirOwn(t *testing.T) {
	dir := netNS(t, "qrouter-red", "qrouter-blue", "qdhcp-lone")
	h := newHand(t, Options{NetNSDir: dir, Lookup: directory(cloud()).Find, resolve: honest(cloud())})
	apply(t, h, map[host.ListenerKey]host.Listener{
		{NetNS: "qrouter-red", Address: "0.0.0.0:9697"}:      {Scope: "router/router-red"},
		{NetNS: "qrouter-blue", Address: "0.0.0.0:9697"}:     {Scope: "router/router-blue"},
		{NetNS: "qdhcp-lone", Address: "169.254.169.254:80"}: {Scope: "network/lone"},
	})
	realtest.Run(t, "ip", "-n", "qdhcp-lone", "address", "add", "169.254.169.254/32", "dev", "lo")
	for ns, want := range map[string]string{"qrouter-red": "red-web", "qrouter-blue": "blue-db"} {
		if got := ask(t, ns, router, idPath); got != want {
			t.Errorf("in %s: %q, want %q", ns, got, want)
		}
	}
	// There the client's address is that of the service; the lookup refuses it.
	if got := ask(t, "qdhcp-lone", &net.TCPAddr{IP: net.IPv4(169, 254, 169, 254), Port: 80}, idPath); !strings.Contains(got, "404") {
		t.Errorf("in qdhcp-lone: %q", got)
	}
	have, err := h.Read(t.Context())
	if err != nil || len(have) != 3 {
		t.Errorf("open: %v, %v", have, err)
	}
	if got, _ := os.Readlink("/proc/self/ns/net"); got != selfNS(t) {
		t.Error("the process's first thread is in another namespace")
	}
	if err := h.Apply(t.Context(), reconcile.Diff[host.ListenerKey, host.Listener]{Drop: have}); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, "qrouter-red", router, "/"); !strings.HasPrefix(got, "failed") {
		t.Errorf("after the drop: %q", got)
	}
}

func selfNS(t *testing.T) string {
	ns, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	return ns
}

// A namespace that went, or came again under its name, takes its socket with it.
func TestAReplacedNamespaceIsNoticedAndServedAgain(t *testing.T) {
	dir := netNS(t, "qrouter-red")
	h := newHand(t, Options{NetNSDir: dir, Lookup: directory(cloud()).Find, resolve: honest(cloud())})
	want := map[host.ListenerKey]host.Listener{{NetNS: "qrouter-red", Address: "0.0.0.0:9697"}: {Scope: "router/router-red"}}
	apply(t, h, want)
	realtest.Run(t, "ip", "netns", "del", "qrouter-red")
	if have, err := h.Read(t.Context()); err != nil || len(have) != 0 {
		t.Errorf("open in a namespace that is gone: %v, %v", have, err)
	}
	err := h.Apply(t.Context(), reconcile.Diff[host.ListenerKey, host.Listener]{Put: want})
	if err == nil || !strings.Contains(err.Error(), "namespace qrouter-red is not there yet") {
		t.Errorf("without the namespace: %v", err)
	}
	makeNS(t, "qrouter-red")
	apply(t, h, want)
	realtest.Run(t, "ip", "netns", "del", "qrouter-red")
	makeNS(t, "qrouter-red")
	if have, _ := h.Read(t.Context()); len(have) != 0 {
		t.Errorf("the socket of the old namespace counts: %v", have)
	}
	apply(t, h, want)
	if got := ask(t, "qrouter-red", router, idPath); got != "red-web" {
		t.Errorf("in the new namespace: %q", got)
	}
}

// An instance that has no address yet asks from its link-local one.
func TestALinkLocalClientIsKnownByItsMAC(t *testing.T) {
	dir := netNS(t, "qdhcp-red")
	realtest.Run(t, "ip", "netns", "add", "vm")
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", "vm").Run() })
	realtest.Run(t, "ip", "-n", "qdhcp-red", "link", "add", "ns-red", "type", "veth", "peer", "name", "eth0", "netns", "vm", "address", "fa:16:3e:01:02:03")
	for ns, dev := range map[string]string{"qdhcp-red": "ns-red", "vm": "eth0"} {
		realtest.Run(t, "ip", "netns", "exec", ns, "sysctl", "-qw", "net.ipv6.conf."+dev+".accept_dad=0")
		realtest.Run(t, "ip", "-n", ns, "link", "set", dev, "addrgenmode", "eui64", "up")
	}
	h := newHand(t, Options{NetNSDir: dir, Lookup: directory(cloud()).Find})
	key := host.ListenerKey{NetNS: "qdhcp-red", Address: "[fe80::a9fe:a9fe]:80"}
	err := h.Apply(t.Context(), reconcile.Diff[host.ListenerKey, host.Listener]{Put: map[host.ListenerKey]host.Listener{key: {Scope: "network/red"}}})
	if err == nil || !strings.Contains(err.Error(), "is not there yet") {
		t.Errorf("without its address: %v", err)
	}
	realtest.Run(t, "ip", "-n", "qdhcp-red", "address", "add", "fe80::a9fe:a9fe/128", "dev", "ns-red", "nodad")
	apply(t, h, map[host.ListenerKey]host.Listener{key: {Scope: "network/red"}})
	index := strings.TrimSpace(realtest.Run(t, "ip", "netns", "exec", "vm", "cat", "/sys/class/net/eth0/ifindex"))
	service := &net.TCPAddr{IP: net.ParseIP("fe80::a9fe:a9fe"), Port: 80, Zone: index}
	realtest.Eventually(t, "the link is up and answers", func() bool { return ask(t, "vm", service, idPath) == "red-web" })
}
