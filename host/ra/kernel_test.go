package ra

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"neutrino/host"
	"neutrino/host/realtest"
	"neutrino/reconcile"
)

func TestMain(m *testing.M) { os.Exit(realtest.Main(m)) }

const (
	routerNS, device = "qrouter-1", "qr-1"
	object           = "port/1"
	// The addresses that follow from the MACs of both ends.
	routerIP, clientIP = "fe80::f816:3eff:fe00:1", "fe80::f816:3eff:fe00:2"
)

var (
	key    = host.AdvertKey{NetNS: routerNS, Device: device}
	usual  = host.Advert{Prefixes: "2001:db8:1::/64 1 1", MTU: 1442, DNS: "2001:db8::53", Why: host.Why{Feature: "adverts", Object: object}}
	sooner = pace{min: 300 * time.Millisecond, max: 600 * time.Millisecond, quick: 3, quickMax: 200 * time.Millisecond,
		first: time.Millisecond, answer: 20 * time.Millisecond, crowd: 50 * time.Millisecond, singles: 8, retry: 50 * time.Millisecond, patience: 2}
)

func ip(t testing.TB, args ...string) string { t.Helper(); return realtest.Run(t, "ip", args...) }

func inside(t testing.TB, ns, command string) string {
	t.Helper()
	return realtest.Run(t, "ip", "netns", "exec", ns, "sh", "-c", command)
}

// lan is a router's namespace and a client's with a wire between them. The
// client's end is down.
func lan(t *testing.T) {
	t.Helper()
	realtest.Root(t)
	realtest.Run(t, "sh", "-c", "mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns")
	t.Cleanup(func() {
		realtest.Run(t, "sh", "-c", "for n in $(ip netns list | cut -d' ' -f1); do ip netns del $n; done; umount -l /run/netns")
	})
	for _, ns := range []string{routerNS, "client"} {
		ip(t, "netns", "add", ns)
		inside(t, ns, "sysctl -qw net.ipv6.conf.default.accept_dad=0; ip link set lo up")
	}
	inside(t, routerNS, "sysctl -qw net.ipv6.conf.all.forwarding=1")
	wire(t)
}

func wire(t *testing.T) {
	t.Helper()
	ip(t, "link", "add", device, "netns", routerNS, "address", "fa:16:3e:00:00:01", "type", "veth",
		"peer", "name", "eth0", "netns", "client", "address", "fa:16:3e:00:00:02")
	ip(t, "-n", routerNS, "link", "set", device, "up")
	inside(t, "client", "sysctl -qw net.ipv6.conf.eth0.accept_ra=1")
}

// plug sets the client's end up, so that its kernel asks for a router.
func plug(t *testing.T) {
	t.Helper()
	ip(t, "-n", "client", "link", "set", "eth0", "up")
	realtest.Eventually(t, "both ends have an address", func() bool {
		return strings.Contains(ip(t, "-n", "client", "-6", "addr"), clientIP) && strings.Contains(ip(t, "-n", routerNS, "-6", "addr"), routerIP)
	})
}

func hand(t *testing.T, p pace) *Hand {
	h := New(Options{})
	h.pace = p
	t.Cleanup(func() {
		h.Close()
		goleak.VerifyNone(t)
	})
	return h
}

type adverts = map[host.AdvertKey]host.Advert

func put(h *Hand, want adverts) error {
	return h.Apply(context.Background(), reconcile.Diff[host.AdvertKey, host.Advert]{Put: want})
}

func drop(h *Hand, have adverts) error {
	return h.Apply(context.Background(), reconcile.Diff[host.AdvertKey, host.Advert]{Drop: have})
}

func read(t testing.TB, h *Hand) adverts {
	t.Helper()
	have, err := h.Read(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return have
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func event(t *testing.T, h *Hand, what string) {
	t.Helper()
	select {
	case <-h.Events():
	case <-time.After(5 * time.Second):
		t.Fatalf("no event: %s", what)
	}
}

func route(t testing.TB) string { return ip(t, "-n", "client", "-6", "route", "show", "default") }

func address(t testing.TB) string {
	return ip(t, "-n", "client", "-6", "addr", "show", "dev", "eth0", "scope", "global")
}

// The client's kernel makes its address, takes the MTU and the router, asks by
// itself when it starts, and is told when the router goes. A prefix that is no
// longer said goes out of use. tcpdump reads every field as we mean it.
func TestALinuxClientFollowsTheRouter(t *testing.T) {
	lan(t)
	h := hand(t, sooner)
	plug(t)
	must(t, put(h, adverts{key: usual}))
	realtest.Eventually(t, "the client has an address and a router", func() bool {
		return strings.Contains(address(t), "2001:db8:1:0:f816:3eff:fe00:2/64") && strings.Contains(route(t), "default via "+routerIP)
	})
	if got := inside(t, "client", "cat /proc/sys/net/ipv6/conf/eth0/mtu"); got != "1442" {
		t.Errorf("MTU %s", got)
	}
	if got := address(t); !strings.Contains(got, "valid_lft 86") || !strings.Contains(got, "preferred_lft 14") {
		t.Errorf("lifetimes: %s", got)
	}
	if have := read(t, h); len(have) != 1 || have[key] != usual {
		t.Errorf("read %+v", have)
	}
	other := usual
	other.Prefixes, other.Managed, other.Other = "2001:db8:2::/64 1 0", true, true
	must(t, put(h, adverts{key: other}))
	realtest.Eventually(t, "the old prefix goes out of use", func() bool { return strings.Contains(address(t), "deprecated") })
	text := inside(t, "client", "timeout 5 tcpdump -c1 -nvvi eth0 'icmp6 and ip6[40]==134' 2>/dev/null")
	for _, want := range []string{"hlim 255", routerIP + " > ff02::1", "Flags [managed, other stateful]", "router lifetime 300s", "source link-address option (1), length 8 (1): fa:16:3e:00:00:01",
		"mtu option (5), length 8 (1):  1442", "2001:db8:2::/64, Flags [onlink], valid time 86400s, pref. time 14400s", "rdnss option (25), length 24 (3):  lifetime 300s, addr: 2001:db8::53"} {
		if !strings.Contains(text, want) {
			t.Errorf("tcpdump does not say %q:\n%s", want, text)
		}
	}
	must(t, drop(h, adverts{key: other}))
	realtest.Eventually(t, "the client has no router", func() bool { return route(t) == "" })
	if have := read(t, h); len(have) != 0 || len(h.places) != 0 {
		t.Errorf("left: %+v, %d namespaces open", have, len(h.places))
	}
}

// The usual pace is slow; a client that starts later is answered at once.
func TestAClientThatStartsIsAnsweredAtOnce(t *testing.T) {
	lan(t)
	h := hand(t, usualPace())
	plug(t)
	must(t, put(h, adverts{key: usual}))
	realtest.Eventually(t, "the first advertisement", func() bool { return route(t) != "" })
	c := listen(t)
	began := time.Now()
	c.ask(t, solicitation)
	if c.wait(t, 1); time.Since(began) > 600*time.Millisecond || c.multicast.Load() != 0 {
		t.Errorf("answered after %v, %d to all", time.Since(began), c.multicast.Load())
	}
}

// A message that a router on the way could have brought, or that is broken, has
// no answer. Of thousands of good ones a few are answered.
func TestQuestionsOfStrangersAndFloods(t *testing.T) {
	lan(t)
	h := hand(t, usualPace())
	plug(t)
	must(t, put(h, adverts{key: usual}))
	realtest.Eventually(t, "the first advertisement", func() bool { return route(t) != "" })
	c := listen(t)
	must(t, unix.SetsockoptInt(c.fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 64))
	c.ask(t, solicitation)
	must(t, unix.SetsockoptInt(c.fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 255))
	c.ask(t, []byte{133, 1, 0, 0, 0, 0, 0, 0})
	c.ask(t, []byte{133, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0})
	for end := time.Now().Add(800 * time.Millisecond); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if n := c.unicast.Load() + c.multicast.Load(); n != 0 {
			t.Fatalf("%d answers", n)
		}
	}
	began := time.Now()
	for range 20000 {
		c.ask(t, solicitation)
	}
	c.wait(t, 1)
	took := time.Since(began)
	if n := c.unicast.Load() + c.multicast.Load(); n > 20+20*int64(took/time.Second) {
		t.Errorf("%d answers to 20000 questions in %v", n, took)
	}
	began = time.Now()
	must(t, drop(h, adverts{key: usual}))
	if took := time.Since(began); took > 200*time.Millisecond {
		t.Errorf("stopping took %v", took)
	}
}

// An agent that ends says nothing, and the next one goes on: the client never
// loses its router.
func TestAnAgentRestartsWithoutAGap(t *testing.T) {
	lan(t)
	h := hand(t, sooner)
	plug(t)
	must(t, put(h, adverts{key: usual}))
	realtest.Eventually(t, "the client has a router", func() bool {
		return strings.Contains(route(t), "expires 29") || strings.Contains(route(t), "expires 300")
	})
	h.Close()
	if err := put(h, adverts{key: usual}); !errors.Is(err, errClosed) {
		t.Errorf("a closed hand: %v", err)
	}
	next := hand(t, sooner)
	if got := route(t); got == "" {
		t.Error("the client lost its router")
	}
	must(t, put(next, adverts{key: usual}))
	c := listen(t)
	if c.wait(t, 1); route(t) == "" {
		t.Error("the client lost its router")
	}
}

// A device or a namespace that somebody takes away is told and forgotten, and
// a namespace without a name is not kept alive.
func TestWhatVanishesIsTold(t *testing.T) {
	lan(t)
	h := hand(t, sooner)
	plug(t)
	must(t, put(h, adverts{key: usual}))
	ip(t, "-n", routerNS, "link", "del", device)
	event(t, h, "the device vanished")
	if have := read(t, h); len(have) != 0 {
		t.Errorf("read %+v", have)
	}
	err := put(h, adverts{key: usual})
	var absent *host.Absent
	var one *host.ItemError
	if !errors.As(err, &absent) || !errors.As(err, &one) || one.Object() != object {
		t.Errorf("no device: %v", err)
	}
	wire(t)
	plug(t)
	must(t, put(h, adverts{key: usual}))
	realtest.Eventually(t, "the client has a router", func() bool { return route(t) != "" })
	ip(t, "netns", "del", routerNS)
	event(t, h, "the namespace vanished")
	if have := read(t, h); len(have) != 0 {
		t.Errorf("read %+v", have)
	}
	realtest.Eventually(t, "the namespace has ended, and the wire with it", func() bool {
		return exec.Command("ip", "-n", "client", "link", "show", "eth0").Run() != nil
	})
	if err := put(h, adverts{key: usual}); !errors.As(err, &absent) {
		t.Errorf("no namespace: %v", err)
	}
}

// Without a link-local address, or where a filter stops it, nothing can be
// sent: that is said, and when it can be, it goes on by itself.
func TestWhatCannotBeSentIsSaidAndHeals(t *testing.T) {
	lan(t)
	h := hand(t, sooner)
	err := put(h, adverts{key: usual}) // no carrier yet
	var absent *host.Absent
	if !errors.As(err, &absent) || !strings.Contains(absent.What, "link-local address of "+device) {
		t.Errorf("no address: %v", err)
	}
	if have := read(t, h); have[key].Error == "" {
		t.Errorf("read %+v", have)
	}
	plug(t)
	event(t, h, "the address came")
	realtest.Eventually(t, "the client has a router", func() bool { return route(t) != "" })
	if have := read(t, h); have[key] != usual {
		t.Errorf("read %+v", have)
	}
	inside(t, routerNS, "ip6tables -A OUTPUT -p ipv6-icmp --icmpv6-type 134 -j DROP")
	event(t, h, "a filter stops it")
	if have := read(t, h); !strings.Contains(have[key].Error, "not permitted") {
		t.Errorf("read %+v", have)
	}
	if err := put(h, adverts{key: usual}); err == nil {
		t.Error("what cannot be sent is no success")
	}
	inside(t, routerNS, "ip6tables -F")
	event(t, h, "it can be sent again")
	if have := read(t, h); have[key] != usual {
		t.Errorf("read %+v", have)
	}
	ip(t, "-n", routerNS, "link", "set", device, "address", "fa:16:3e:00:00:09")
	ip(t, "-n", routerNS, "link", "set", device, "down")
	ip(t, "-n", routerNS, "link", "set", device, "up")
	realtest.Eventually(t, "the router has another address", func() bool { return strings.Contains(route(t), "fe80::f816:3eff:fe00:9") })
}

func TestAThousandDevices(t *testing.T) {
	const pairs = 500
	lan(t)
	h := hand(t, usualPace())
	var batch strings.Builder
	want := adverts{}
	for i := range pairs {
		fmt.Fprintf(&batch, "link add a%d type veth peer name b%d\nlink set a%d up\nlink set b%d up\n", i, i, i, i)
		for _, side := range []string{"a", "b"} {
			want[host.AdvertKey{NetNS: routerNS, Device: fmt.Sprint(side, i)}] = usual
		}
	}
	cmd := exec.Command("ip", "-n", routerNS, "-batch", "-")
	cmd.Stdin = strings.NewReader(batch.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	realtest.Eventually(t, "all have addresses", func() bool {
		return strings.Count(ip(t, "-n", routerNS, "-6", "-o", "addr", "show", "scope", "link"), "fe80") >= 2*pairs
	})
	began := time.Now()
	must(t, put(h, want))
	t.Logf("%d devices started in %v", len(want), time.Since(began))
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("starting took %v", took)
	}
	sent := func() int {
		out := inside(t, routerNS, "awk '$1==\"Icmp6OutRouterAdvertisements\"{print $2}' /proc/net/snmp6")
		n, err := strconv.Atoi(out)
		must(t, err)
		return n
	}
	// The kernel's table of neighbours may be too small for all at once; who finds
	// no room tries again.
	realtest.Eventually(t, "all have sent", func() bool { return sent() >= len(want) })
	for k, a := range read(t, h) {
		if a != usual {
			t.Fatalf("%v: %+v", k, a)
		}
	}
	began = time.Now()
	must(t, drop(h, want))
	t.Logf("and stopped in %v", time.Since(began))
	if took := time.Since(began); took > 5*time.Second || len(read(t, h)) != 0 {
		t.Errorf("stopping took %v", took)
	}
}

// listener is a socket of the client that asks and counts what it hears.
type listener struct {
	fd, index          int
	unicast, multicast atomic.Int64
}

// solicitation names the client's link-layer address.
var solicitation = []byte{133, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0xfa, 0x16, 0x3e, 0, 0, 2}

func listen(t *testing.T) *listener {
	t.Helper()
	p, err := enter("client", "/run/netns/client")
	must(t, err)
	defer p.close()
	devices, err := p.devices()
	must(t, err)
	c := &listener{index: devices["eth0"].index}
	must(t, p.in(func() (err error) {
		c.fd, err = unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMPV6)
		return err
	}))
	must(t, unix.BindToDevice(c.fd, "eth0"))
	must(t, unix.SetsockoptInt(c.fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 255))
	must(t, unix.SetsockoptInt(c.fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1))
	must(t, unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 20000}))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.count(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		_ = unix.Close(c.fd)
	})
	return c
}

// count reads what comes until the context ends.
func (c *listener) count(ctx context.Context) {
	buf, oob := make([]byte, 1500), make([]byte, 128)
	for ctx.Err() == nil {
		n, oobn, _, _, err := unix.Recvmsg(c.fd, buf, oob, 0)
		if err != nil || n < headerBytes || buf[0] != typeAdvertisement {
			continue
		}
		messages, err := unix.ParseSocketControlMessage(oob[:oobn])
		if err != nil {
			continue
		}
		for _, m := range messages {
			if m.Header.Type != unix.IPV6_PKTINFO {
				continue
			}
			if to, _ := netip.AddrFromSlice(m.Data[:16]); to == allNodes {
				c.multicast.Add(1)
			} else {
				c.unicast.Add(1)
			}
		}
	}
}

func (c *listener) ask(t *testing.T, message []byte) {
	t.Helper()
	err := unix.Sendto(c.fd, message, 0, &unix.SockaddrInet6{Addr: allRouters.As16(), ZoneId: uint32(c.index)})
	if err != nil && !errors.Is(err, unix.ENOBUFS) {
		t.Fatal(err)
	}
}

// wait lasts until n messages were heard.
func (c *listener) wait(t *testing.T, n int64) {
	t.Helper()
	realtest.Eventually(t, "an advertisement", func() bool { return c.unicast.Load()+c.multicast.Load() >= n })
}
