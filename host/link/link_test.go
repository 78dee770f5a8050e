package link

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"neutrino/host"
	"neutrino/host/realtest"
	"neutrino/reconcile"
)

func TestMain(m *testing.M) { os.Exit(realtest.Main(m)) }

const (
	port = "port/b9d54a5b-0d00-4b0c-a1a1-000000000003"
	ns   = "qdhcp-88b1609c"
	tap  = "tapb9d54a5b-0d"
	dev  = "ns-b9d54a5b-0d"
	mac  = "fa:16:3e:3f:12:34"
)

func why(object string) host.Why { return host.Why{Feature: "dhcp", Object: object} }

// dhcpPort is what a DHCP port needs of these hands.
func dhcpPort() *host.State {
	s := host.NewState()
	s.Namespaces[ns] = host.Namespace{Why: why(port)}
	s.Links[host.LinkKey{Name: tap}] = host.Link{Kind: "veth", PeerNS: ns, Peer: dev, PeerMAC: mac, MTU: 1458, NoTxChecksum: true, Why: why(port)}
	s.Addresses[host.AddressKey{NetNS: ns, Device: dev, Prefix: "10.1.0.3/24"}] = host.Address{Why: why(port)}
	s.Addresses[host.AddressKey{NetNS: ns, Device: dev, Prefix: "2001:db8::3/64"}] = host.Address{Why: why(port)}
	s.Routes[host.RouteKey{NetNS: ns, Dst: "default"}] = host.Route{Via: "10.1.0.1", Device: dev, Why: why(port)}
	s.Routes[host.RouteKey{NetNS: ns, Dst: "default", IPv6: true}] = host.Route{Via: "2001:db8::1", Device: dev, Why: why(port)}
	s.Routes[host.RouteKey{NetNS: ns, Dst: "192.0.2.0/24"}] = host.Route{Device: dev, Why: why(port)}
	s.Sysctls[host.SysctlKey{NetNS: ns, Name: "net.ipv4.ip_nonlocal_bind"}] = host.Sysctl{Value: "1", Why: why(port)}
	return s
}

func fresh(t testing.TB, dir string) *Hands {
	t.Helper()
	h := New(Options{RunDir: dir, Prefixes: []string{"qdhcp-", "qrouter-"}})
	t.Cleanup(h.Close)
	return h
}

// directory is a private directory for names of namespaces. What is left in it
// goes with the test.
func directory(t testing.TB) string {
	t.Helper()
	realtest.Root(t)
	dir := filepath.Join(t.TempDir(), "netns")
	t.Cleanup(func() {
		h := New(Options{RunDir: dir, Prefixes: []string{""}})
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			_ = h.remove(e.Name())
		}
		h.Close()
		realtest.Run(t, "sh", "-c", "umount "+dir+" 2>/dev/null; true")
	})
	return dir
}

// in runs a command in a named namespace, as "ip netns exec" does.
func in(t testing.TB, dir, namespace string, args ...string) string {
	t.Helper()
	return realtest.Run(t, "nsenter", append([]string{"--net=" + filepath.Join(dir, namespace)}, args...)...)
}

func part[K comparable, V any](name string, hand reconcile.Hand[K, V], want func(*host.State) map[K]V, why func(*V) *host.Why) reconcile.Step[*host.State] {
	return &reconcile.Part[*host.State, K, V]{Name: name, Hand: hand, Want: want,
		Object: func(v V) string { return why(&v).Object },
		Same: func(a, b V) bool {
			if x, ok := any(a).(host.Address); ok {
				return SameAddress(x, host.Address{})
			}
			*why(&a), *why(&b) = host.Why{}, host.Why{}
			return any(a) == any(b)
		}}
}

func converge(t testing.TB, h *Hands, want *host.State) reconcile.Result {
	t.Helper()
	steps := []reconcile.Step[*host.State]{
		part("namespaces", h.Namespaces(), func(s *host.State) map[string]host.Namespace { return s.Namespaces }, func(v *host.Namespace) *host.Why { return &v.Why }),
		part("links", h.Links(), func(s *host.State) map[host.LinkKey]host.Link { return s.Links }, func(v *host.Link) *host.Why { return &v.Why }),
		part("sysctls", h.Sysctls(), func(s *host.State) map[host.SysctlKey]host.Sysctl { return s.Sysctls }, func(v *host.Sysctl) *host.Why { return &v.Why }),
		part("addresses", h.Addresses(), func(s *host.State) map[host.AddressKey]host.Address { return s.Addresses }, func(v *host.Address) *host.Why { return &v.Why }),
		part("routes", h.Routes(), func(s *host.State) map[host.RouteKey]host.Route { return s.Routes }, func(v *host.Route) *host.Why { return &v.Why }),
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return reconcile.Sync(ctx, steps, want)
}

func clean(t testing.TB, r reconcile.Result) reconcile.Result {
	t.Helper()
	for _, p := range r.Problems {
		t.Errorf("problem of %s: %v", p.Object, p.Err)
	}
	if t.Failed() {
		t.FailNow()
	}
	return r
}

// quiet is a fresh hand on an unchanged kernel.
func quiet(t testing.TB, dir string, want *host.State) {
	t.Helper()
	h := fresh(t, dir)
	for k := range want.Sysctls {
		h.ExpectSysctls(k)
	}
	if r := clean(t, converge(t, h, want)); r.Puts+r.Drops != 0 {
		t.Fatalf("a fresh hand has something to do: %+v", r)
	}
}

func TestADHCPPortIsBuiltAndAFreshHandWritesNothing(t *testing.T) {
	dir := directory(t)
	want := dhcpPort()
	clean(t, converge(t, fresh(t, dir), want))
	link := realtest.RunUntil(t, "state UP", "nsenter", "--net="+filepath.Join(dir, ns), "ip", "-d", "link", "show", dev)
	for _, expect := range []string{mac, "mtu 1458", "neutrino dhcp " + port} {
		if !strings.Contains(link, expect) {
			t.Errorf("%q is missing in %s", expect, link)
		}
	}
	addresses := in(t, dir, ns, "ip", "addr", "show", dev)
	for _, expect := range []string{"10.1.0.3/24 brd 10.1.0.255 scope global", "2001:db8::3/64 scope global nodad"} {
		if !strings.Contains(addresses, expect) {
			t.Errorf("%q is missing in %s", expect, addresses)
		}
	}
	if got := in(t, dir, ns, "ip", "route"); !strings.Contains(got, "default via 10.1.0.1 dev "+dev+" proto static") || !strings.Contains(got, "192.0.2.0/24 dev "+dev+" proto static scope link") {
		t.Errorf("routes: %s", got)
	}
	if got := in(t, dir, ns, "ethtool", "-k", dev); !strings.Contains(got, "tx-checksumming: off") {
		t.Errorf("offload: %s", got)
	}
	if got := in(t, dir, ns, "ip", "link", "show", "lo"); !strings.Contains(got, "UP") {
		t.Errorf("lo: %s", got)
	}
	if got := in(t, dir, ns, "sysctl", "-n", "net.ipv4.ip_nonlocal_bind", "net.ipv4.conf.all.promote_secondaries", "net.ipv6.conf.default.accept_ra"); got != "1\n1\n0" {
		t.Errorf("settings: %q", got)
	}
	if got := realtest.Run(t, "ip", "addr", "show", tap); strings.Contains(got, "inet") {
		t.Errorf("the host has an address on the tenant's wire: %s", got)
	}
	quiet(t, dir, want)
	r := clean(t, converge(t, fresh(t, dir), host.NewState()))
	if r.Drops == 0 {
		t.Fatal("nothing was dropped")
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Fatalf("left: %v", left)
	}
	if got := realtest.Run(t, "ip", "-br", "link"); strings.Contains(got, tap) {
		t.Fatalf("left: %s", got)
	}
}

func TestWhateverIsBrokenIsRepaired(t *testing.T) {
	dir := directory(t)
	want := dhcpPort()
	h := fresh(t, dir)
	clean(t, converge(t, h, want))
	t.Cleanup(func() { clean(t, converge(t, fresh(t, dir), host.NewState())) })
	nsIP := func(args ...string) { in(t, dir, ns, append([]string{"ip"}, args...)...) }
	for name, harm := range map[string]func(){
		"the first end has another MTU":    func() { realtest.Run(t, "ip", "link", "set", tap, "mtu", "1400") },
		"the other end has another MTU":    func() { nsIP("link", "set", dev, "mtu", "1300") },
		"the other end has another MAC":    func() { nsIP("link", "set", dev, "address", "fa:16:3e:00:00:01") },
		"an end is down":                   func() { realtest.Run(t, "ip", "link", "set", tap, "down") },
		"the other end is down":            func() { nsIP("link", "set", dev, "down") },
		"lo is down":                       func() { nsIP("link", "set", "lo", "down") },
		"offload is on":                    func() { in(t, dir, ns, "ethtool", "-K", dev, "tx", "on") },
		"the pair is gone":                 func() { realtest.Run(t, "ip", "link", "del", tap) },
		"the other end has another name":   func() { nsIP("link", "set", dev, "down"); nsIP("link", "set", dev, "name", "odd") },
		"the other end left its namespace": func() { nsIP("link", "set", dev, "netns", "1") },
		"an address is gone":               func() { nsIP("addr", "del", "10.1.0.3/24", "dev", dev) },
		"an address is too many":           func() { nsIP("addr", "add", "10.9.0.3/24", "dev", dev) },
		"a route is gone":                  func() { nsIP("route", "del", "default") },
		"a route is another":               func() { nsIP("route", "replace", "default", "via", "10.1.0.9", "proto", "static") },
		"a setting is another":             func() { in(t, dir, ns, "sysctl", "-w", "net.ipv4.ip_nonlocal_bind=0") },
		"the namespace is gone":            func() { realtest.Run(t, "umount", "-l", filepath.Join(dir, ns)); _ = os.Remove(filepath.Join(dir, ns)) },
		"the namespace is a hollow name":   func() { realtest.Run(t, "umount", "-l", filepath.Join(dir, ns)) },
	} {
		harm()
		realtest.Eventually(t, name+" and is repaired", func() bool { return len(converge(t, h, want).Problems) == 0 })
		if r := clean(t, converge(t, h, want)); r.Puts+r.Drops != 0 {
			t.Errorf("%s: still at work: %+v", name, r)
		}
		quiet(t, dir, want)
	}
}

func TestForeignThingsStay(t *testing.T) {
	dir := directory(t)
	realtest.Run(t, "ip", "link", "add", "op0", "type", "veth", "peer", "name", "op1")
	t.Cleanup(func() { realtest.Run(t, "ip", "link", "del", "op0") })
	realtest.Run(t, "ip", "addr", "add", "198.51.100.1/24", "dev", "op0")
	realtest.Run(t, "ip", "link", "set", "op0", "up")
	realtest.Run(t, "ip", "route", "add", "203.0.113.0/24", "dev", "op0", "proto", "static")
	foreign := New(Options{RunDir: dir, Prefixes: []string{"operator"}})
	if err := foreign.create("operator1"); err != nil {
		t.Fatal(err)
	}
	foreign.Close()
	want, h := dhcpPort(), fresh(t, dir)
	clean(t, converge(t, h, want))
	in(t, dir, ns, "ip", "route", "add", "203.0.113.0/24", "dev", dev, "proto", "bird")
	in(t, dir, ns, "ip", "link", "add", "theirs", "type", "veth", "peer", "name", "theirs1")
	clean(t, converge(t, h, want))
	// A name that is taken is the problem of its object and of no other.
	want.Links[host.LinkKey{Name: "op0"}] = host.Link{Kind: "veth", PeerNS: ns, Peer: "x", MTU: 1400, Why: why("port/x")}
	want.Links[host.LinkKey{Name: "tapelse"}] = host.Link{Kind: "veth", PeerNS: "qdhcp-none", Peer: "x", MTU: 1400, Why: why("port/y")}
	r := converge(t, h, want)
	if len(r.Problems) != 2 || r.Problems[0].Object != "port/x" || !strings.Contains(r.Problems[0].Err.Error(), "not ours") {
		t.Fatalf("problems: %+v", r.Problems)
	}
	var absent *host.Absent
	if !errors.As(r.Problems[1].Err, &absent) {
		t.Fatalf("a missing namespace: %v", r.Problems[1].Err)
	}
	if got := in(t, dir, ns, "ip", "route"); !strings.Contains(got, "203.0.113.0/24") {
		t.Errorf("a route of another protocol is gone: %s", got)
	}
	clean(t, converge(t, h, host.NewState()))
	if got := realtest.Run(t, "ip", "route"); !strings.Contains(got, "203.0.113.0/24") {
		t.Errorf("the operator's route is gone: %s", got)
	}
	if got := realtest.Run(t, "ip", "addr", "show", "op0"); !strings.Contains(got, "198.51.100.1/24") {
		t.Errorf("the operator's address is gone: %s", got)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 || left[0].Name() != "operator1" {
		t.Errorf("namespaces: %v", left)
	}
}

func TestACrashHalfWayLeavesNothingBehind(t *testing.T) {
	dir := directory(t)
	want := dhcpPort()
	temp := temporaryName(host.LinkKey{Name: tap})
	half := map[string][][]string{
		"before the alias": {{"link", "add", temp + "a", "type", "veth", "peer", "name", temp + "b"}},
		"one end named": {{"link", "add", temp + "a", "type", "veth", "peer", "name", temp + "b"},
			{"link", "set", temp + "a", "alias", "neutrino dhcp " + port}, {"link", "set", temp + "a", "name", tap}},
		"both ends named": {{"link", "add", tap, "type", "veth", "peer", "name", dev},
			{"link", "set", tap, "alias", "neutrino dhcp " + port}, {"link", "set", dev, "alias", "neutrino dhcp " + port + " peer " + tap}},
	}
	for name, commands := range half {
		for _, c := range commands {
			realtest.Run(t, "ip", c...)
		}
		h := fresh(t, dir)
		clean(t, converge(t, h, want))
		quiet(t, dir, want)
		if got := realtest.Run(t, "ip", "-br", "link"); strings.Contains(got, temporary) {
			t.Errorf("%s: left: %s", name, got)
		}
		clean(t, converge(t, h, host.NewState()))
	}
}

func TestEventsTellOfOthersAndNotOfUs(t *testing.T) {
	dir := directory(t)
	want, h := dhcpPort(), fresh(t, dir)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	defer func() { cancel(); <-done }()
	<-h.Events()
	clean(t, converge(t, h, want))
	select {
	case <-h.Events():
		t.Fatal("our own writes came back as an event")
	case <-time.After(10 * burst): // the kernel's messages are there in one burst
	}
	for name, harm := range map[string]func(){
		"device deleted":    func() { realtest.Run(t, "ip", "link", "del", tap) },
		"MTU changed":       func() { realtest.Run(t, "ip", "link", "set", tap, "mtu", "1400") },
		"alias removed":     func() { realtest.Run(t, "ip", "link", "set", tap, "alias", "") },
		"address deleted":   func() { in(t, dir, ns, "ip", "addr", "del", "10.1.0.3/24", "dev", dev) },
		"route deleted":     func() { in(t, dir, ns, "ip", "route", "del", "default") },
		"namespace deleted": func() { realtest.Run(t, "umount", "-l", filepath.Join(dir, ns)); _ = os.Remove(filepath.Join(dir, ns)) },
	} {
		harm()
		select {
		case <-h.Events():
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: no event", name)
		}
		realtest.Eventually(t, name+" and repaired", func() bool {
			r := converge(t, h, want)
			return len(r.Problems) == 0 && r.Puts+r.Drops == 0
		})
		quiet(t, dir, want)
		for len(h.Events()) > 0 {
			<-h.Events()
		}
	}
	h.Invalidate()
	if r := clean(t, converge(t, h, want)); r.Puts+r.Drops != 0 {
		t.Fatalf("after Invalidate: %+v", r)
	}
	clean(t, converge(t, h, host.NewState()))
}

func TestIPNetnsSeesOurNamespaces(t *testing.T) {
	realtest.Root(t)
	// In this test's own mount namespace; the machine's /run stays as it is.
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { realtest.Run(t, "umount", "-l", "/run") })
	h, want := fresh(t, ""), host.NewState()
	want.Namespaces[ns] = host.Namespace{}
	clean(t, converge(t, h, want))
	if got := realtest.Run(t, "ip", "netns", "list"); got != ns {
		t.Errorf("ip netns list: %q", got)
	}
	if got := realtest.Run(t, "ip", "netns", "exec", ns, "ip", "-br", "link"); !strings.Contains(got, "LOOPBACK,UP") {
		t.Errorf("ip netns exec: %q", got)
	}
	realtest.Run(t, "ip", "netns", "del", ns)
	clean(t, converge(t, h, want))
	realtest.Run(t, "ip", "netns", "add", "qdhcp-byhand")
	clean(t, converge(t, h, host.NewState()))
	if got := realtest.Run(t, "ip", "netns", "list"); got != "" {
		t.Errorf("left: %q", got)
	}
}
