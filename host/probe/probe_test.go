package probe

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"neutrino/host"
	"neutrino/host/realtest"
)

func TestMain(m *testing.M) { os.Exit(realtest.Main(m)) }

const (
	routerNS, device = "qrouter-1", "qg-1"
	scope            = "router/1"
	ownMAC           = "fa:16:3e:00:00:01"
	thiefMAC         = "fa:16:3e:00:00:66"
	gatewayMAC       = "fa:16:3e:00:00:fe"
)

var quick = pace{settle: 10 * time.Millisecond, first: 5 * time.Millisecond, every: 300 * time.Millisecond, again: 150 * time.Millisecond,
	wait: 60 * time.Millisecond, tries: 3, gap: time.Millisecond}

func ip(t testing.TB, args ...string) string { t.Helper(); return realtest.Run(t, "ip", args...) }

// link is a router's gateway interface, a gateway and a thief on one bridge.
func link(t *testing.T) {
	t.Helper()
	realtest.Root(t)
	realtest.Run(t, "sh", "-c", "mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns")
	t.Cleanup(func() {
		realtest.Run(t, "sh", "-c", "ip link delete ext; for l in $(ip -br link | grep -o '^t-[^@ ]*'); do ip link del $l; done; for n in $(ip netns list | cut -d' ' -f1); do ip netns del $n; done; umount -l /run/netns")
	})
	ip(t, "link", "add", "ext", "type", "bridge")
	ip(t, "link", "set", "ext", "up")
	for _, s := range []struct{ ns, device, mac string }{
		{routerNS, device, ownMAC}, {"gateway", "eth0", gatewayMAC}, {"thief", "eth0", thiefMAC},
	} {
		ip(t, "netns", "add", s.ns)
		realtest.Run(t, "ip", "netns", "exec", s.ns, "sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0")
		plug(t, s.ns, s.device, s.mac)
	}
	for _, a := range []string{"172.24.4.227/28", "172.24.4.228/32", "172.24.4.229/32"} {
		ip(t, "-n", routerNS, "address", "add", a, "dev", device)
	}
	ip(t, "-n", routerNS, "address", "add", "2001:db8:9::2/64", "dev", device, "nodad")
	ip(t, "-n", "gateway", "address", "add", "172.24.4.225/28", "dev", "eth0")
	ip(t, "-n", "gateway", "address", "add", "2001:db8:9::1/64", "dev", "eth0", "nodad")
}

func plug(t *testing.T, ns, device, mac string) {
	t.Helper()
	ip(t, "link", "add", "t-"+ns, "type", "veth", "peer", "name", device, "netns", ns, "address", mac)
	ip(t, "link", "set", "t-"+ns, "master", "ext", "up")
	ip(t, "-n", ns, "link", "set", device, "up")
}

func key(address string, kind host.ProbeKind) host.ProbeKey {
	return host.ProbeKey{NetNS: routerNS, Device: device, Address: address, Kind: kind}
}

func why(object string) host.Why { return host.Why{Feature: "router", Object: object} }

// questions are those of a router with two floating IPs and IPv6.
func questions() map[host.ProbeKey]host.Probe {
	return map[host.ProbeKey]host.Probe{
		key("172.24.4.227", host.ProbeUnique):   {Scope: scope, Why: why("port/1")},
		key("172.24.4.228", host.ProbeUnique):   {Scope: scope, Why: why("floatingip/1")},
		key("172.24.4.229", host.ProbeUnique):   {Scope: scope, Why: why("floatingip/2")},
		key("2001:db8:9::2", host.ProbeUnique):  {Scope: scope, Why: why("port/1")},
		key("172.24.4.225", host.ProbeAnswers):  {From: "172.24.4.227", Scope: scope, Why: why(scope)},
		key("2001:db8:9::1", host.ProbeAnswers): {From: "2001:db8:9::2", Scope: scope, Why: why(scope)},
	}
}

// running is a watch that runs until the test ends, without anything left of it.
func running(t *testing.T, p pace, want map[host.ProbeKey]host.Probe) *Watch {
	t.Helper()
	w := New(Options{})
	w.pace = p
	w.Expect(&host.State{Probes: want})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		goleak.VerifyNone(t)
	})
	return w
}

// finds waits until exactly one object is found to be wrong, with the words.
func finds(t *testing.T, w *Watch, object string, words ...string) {
	t.Helper()
	realtest.Eventually(t, fmt.Sprintf("%s: %v", object, words), func() bool {
		all := w.Findings()
		if len(all) != 1 || all[0].Object != object {
			return false
		}
		for _, word := range words {
			if !strings.Contains(all[0].Reason, word) {
				return false
			}
		}
		return true
	})
	select {
	case <-w.Events():
	default:
		t.Error("a new finding is no event")
	}
}

func clear(t *testing.T, w *Watch) {
	t.Helper()
	realtest.Eventually(t, "nothing is wrong", func() bool { return len(w.Findings()) == 0 })
}

// calm waits until every question has been judged once.
func calm(t *testing.T, w *Watch) {
	t.Helper()
	realtest.Eventually(t, "every question has been put", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, c := range w.courses {
			if c.fresh {
				return false
			}
		}
		return true
	})
}

func TestAnotherStationWithOurAddressIsNamedUntilItGoes(t *testing.T) {
	link(t)
	w := running(t, quick, questions())
	calm(t, w)
	if f := w.Findings(); len(f) > 0 {
		t.Fatalf("nothing is wrong, and it says %v", f)
	}
	for _, theft := range []struct{ address, object, protocol string }{
		{"172.24.4.228/28", "floatingip/1", "ARP"}, {"172.24.4.227/28", "port/1", "ARP"}, {"2001:db8:9::2/64", "port/1", "neighbour discovery"},
	} {
		address, _, _ := strings.Cut(theft.address, "/")
		args := []string{"-n", "thief", "address", "add", theft.address, "dev", "eth0"}
		if theft.protocol != "ARP" {
			args = append(args, "nodad")
		}
		ip(t, args...)
		finds(t, w, theft.object, address, thiefMAC, theft.protocol, device, scope, "take the address from that station")
		ip(t, "-n", "thief", "address", "del", theft.address, "dev", "eth0")
		clear(t, w)
	}
}

func TestAGatewayThatIsSilentIsNamedUntilItAnswers(t *testing.T) {
	link(t)
	w := running(t, quick, questions())
	calm(t, w)
	inGateway := []string{"netns", "exec", "gateway"}
	for _, g := range []struct{ silence, speech, address, protocol string }{
		{"sysctl -qw net.ipv4.conf.eth0.arp_ignore=8", "sysctl -qw net.ipv4.conf.eth0.arp_ignore=0", "172.24.4.225", "ARP"},
		{"ip addr del 2001:db8:9::1/64 dev eth0", "ip addr add 2001:db8:9::1/64 dev eth0 nodad", "2001:db8:9::1", "neighbour discovery"},
	} {
		realtest.Run(t, "ip", append(inGateway, strings.Fields(g.silence)...)...)
		finds(t, w, scope, g.address, "does not answer "+g.protocol, device, "gateway_ip")
		realtest.Run(t, "ip", append(inGateway, strings.Fields(g.speech)...)...)
		clear(t, w)
	}
}

// The kernel makes the link-local address from the MAC; a station that has the
// same one keeps it from being used.
func TestAFailureOfTheKernelsOwnDetectionIsToldOn(t *testing.T) {
	link(t)
	const local = "fe80::f816:3eff:fe00:1"
	ip(t, "-n", "thief", "address", "add", local+"/64", "dev", "eth0", "nodad")
	ip(t, "-n", routerNS, "link", "set", device, "down")
	realtest.Run(t, "ip", "netns", "exec", routerNS, "sysctl", "-qw", "net.ipv6.conf."+device+".accept_dad=1", "net.ipv6.conf.all.accept_dad=1")
	ip(t, "-n", routerNS, "link", "set", device, "up")
	ip(t, "-n", routerNS, "address", "add", "2001:db8:9::2/64", "dev", device, "nodad")
	realtest.Eventually(t, "the kernel refuses its address", func() bool {
		return strings.Contains(ip(t, "-n", routerNS, "-6", "address", "show", "dadfailed"), local)
	})
	one := map[host.ProbeKey]host.Probe{key("2001:db8:9::2", host.ProbeUnique): {Scope: scope, Why: why("port/1")}}
	w := running(t, quick, one)
	finds(t, w, "port/1", local, device, scope)
	ip(t, "-n", routerNS, "address", "del", local+"/64", "dev", device)
	clear(t, w)
}

func TestWhatThePlanHasNoMoreIsAskedNoMoreAndItsNamespaceEnds(t *testing.T) {
	link(t)
	ip(t, "-n", "thief", "address", "add", "172.24.4.228/28", "dev", "eth0")
	w := running(t, quick, questions())
	finds(t, w, "floatingip/1", thiefMAC)
	heard := listenToAll(t, "gateway")
	w.Expect(host.NewState())
	if f := w.Findings(); len(f) > 0 {
		t.Errorf("the plan is empty, and it says %v", f)
	}
	ip(t, "netns", "del", routerNS)
	// The router's device goes with its namespace when no socket is open there.
	realtest.Eventually(t, "the namespace ends", func() bool { return exec.Command("ip", "link", "show", "t-"+routerNS).Run() != nil })
	before := heard()
	end := time.Now().Add(4 * quick.every)
	realtest.Eventually(t, "some rounds pass", func() bool { return time.Now().After(end) })
	if after := heard(); after != before {
		t.Errorf("%d frames were sent for a router that is gone", after-before)
	}
}

func TestADeviceThatIsMadeAgainIsAskedOnAgain(t *testing.T) {
	link(t)
	w := running(t, quick, questions())
	calm(t, w)
	ip(t, "link", "del", "t-"+routerNS)
	realtest.Eventually(t, "the sockets are given up", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.ears) == 0
	})
	if f := w.Findings(); len(f) > 0 {
		t.Errorf("a missing device is no fault of others: %v", f)
	}
	plug(t, routerNS, device, ownMAC)
	ip(t, "-n", "thief", "address", "add", "172.24.4.229/28", "dev", "eth0")
	finds(t, w, "floatingip/2", thiefMAC)
}

// listenToAll counts the router's frames that a station hears.
func listenToAll(t *testing.T, ns string) func() int {
	t.Helper()
	cmd := exec.Command("ip", "netns", "exec", ns, "tcpdump", "-i", "eth0", "-nn", "-e", "-l", "--immediate-mode", "ether src "+ownMAC+" and arp")
	var mu sync.Mutex
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = locked{&mu, &out}, locked{&mu, &said}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	text := func(b *bytes.Buffer) string {
		mu.Lock()
		defer mu.Unlock()
		return b.String()
	}
	realtest.Eventually(t, "tcpdump listens", func() bool { return strings.Contains(text(&said), "listening on") })
	realtest.Eventually(t, "the router is heard", func() bool { return text(&out) != "" })
	for line := range strings.Lines(text(&out)) {
		if !strings.Contains(line, "Request who-has") {
			t.Errorf("no question: %s", line)
		}
	}
	return func() int { return strings.Count(text(&out), "\n") }
}

type locked struct {
	mu *sync.Mutex
	b  *bytes.Buffer
}

func (l locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// Two hundred floating IPs are asked for one after the other, and the loop of
// the agent waits for none of it.
func TestACrowdIsSpread(t *testing.T) {
	link(t)
	want := map[host.ProbeKey]host.Probe{}
	for i := range 200 {
		a := netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}).String()
		want[key(a, host.ProbeUnique)] = host.Probe{Scope: scope, Why: why("floatingip/" + a)}
	}
	p := quick
	p.every, p.gap = time.Hour, 2*time.Millisecond
	w := running(t, p, nil)
	began := time.Now()
	w.Expect(&host.State{Probes: want})
	calm(t, w)
	took := time.Since(began)
	if frames := 200 * p.tries; took < time.Duration(frames)*p.gap {
		t.Errorf("%d frames were sent within %v", frames, took)
	}
	for range 100 {
		began := time.Now()
		w.Expect(&host.State{Probes: want})
		w.Findings()
		if took := time.Since(began); took > 50*time.Millisecond {
			t.Errorf("the agent waited %v", took)
		}
	}
}

func TestARoundIsJudgedByItsAnswers(t *testing.T) {
	stranger := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	for _, r := range []struct {
		name    string
		kind    host.ProbeKind
		fresh   bool
		answers string // one letter for each question: y or n
		asked   int
		wrong   bool
	}{
		{"nobody has our new address", host.ProbeUnique, true, "nnn", 3, false},
		{"nobody has our old address", host.ProbeUnique, false, "n", 1, false},
		{"somebody has it", host.ProbeUnique, false, "yy", 2, true},
		{"somebody had it and lost it", host.ProbeUnique, false, "ynn", 3, false},
		{"somebody is slow", host.ProbeUnique, true, "yny", 3, true},
		{"the gateway answers", host.ProbeAnswers, true, "y", 1, false},
		{"the gateway is slow", host.ProbeAnswers, false, "nny", 3, false},
		{"the gateway is silent", host.ProbeAnswers, false, "nnn", 3, true},
	} {
		t.Run(r.name, func(t *testing.T) {
			c := &course{kind: r.kind, address: netip.MustParseAddr("192.0.2.1"), fresh: r.fresh}
			now, asked := time.Now(), 0
			for c.step(now, quick) {
				if asked < len(r.answers) && r.answers[asked] == 'y' {
					c.hear(now, stranger)
				}
				asked++
				now = c.next
			}
			if asked != r.asked || c.wrong != r.wrong {
				t.Errorf("asked %d times, wrong %v; want %d, %v", asked, c.wrong, r.asked, r.wrong)
			}
		})
	}
}

func TestOnlyThoseWhoClaimAnAddressAreHeard(t *testing.T) {
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	if _, ok := parse(request(mac, a, b)); ok {
		t.Error("a question counts as a claim")
	}
	if c, ok := parse(request(mac, a, a)); !ok || c.address != a || c.mac.String() != mac.String() {
		t.Errorf("an announcement is read as %v, %v", c, ok)
	}
	if _, ok := parse(solicitation(mac, netip.IPv6Unspecified(), netip.MustParseAddr("2001:db8::1"))); ok {
		t.Error("a solicitation counts as a claim")
	}
	for n := range 86 {
		long := append(request(mac, a, a), make([]byte, 60)...)
		parse(long[:n]) // nothing that is cut is more than refused
		long[12], long[13], long[20], long[21], long[54] = 0x86, 0xdd, icmpv6, hopLimit, typeAdvertisement
		long[78], long[79] = optionTargetLink, 200
		parse(long[:n])
	}
}
