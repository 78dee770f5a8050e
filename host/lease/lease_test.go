package lease

import (
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"neutrino/host"
	"neutrino/host/realtest"
	"neutrino/reconcile"
)

func TestMain(m *testing.M) { os.Exit(realtest.Main(m)) }

const (
	ns      = "qdhcp-88b1609c-68e0-49ca-a658-f1edff54a264"
	network = "88b1609c-68e0-49ca-a658-f1edff54a264"
	device  = "ns-f14c598d-98"
	macA    = "fa:16:3e:03:00:0a"
	macB    = "fa:16:3e:03:00:0b"
	address = "10.1.0.2"
)

// cloud is one network's DHCP server, as the plan of the seed has it, and the
// wire of its instances.
type cloud struct {
	t         *testing.T
	root, dir string
	netns     string
	served    map[string]string // MAC by address
	extra     []string
	client    string // device in this process's namespace
}

func newCloud(t *testing.T, extra ...string) *cloud {
	t.Helper()
	realtest.Root(t)
	for _, tool := range []string{"dnsmasq", "busybox", "ip"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("NOT TESTED: %s is not installed", tool)
		}
	}
	if err := syscall.Mount("tmpfs", "/run", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	for _, dir := range []string{filepath.Dir(root), root} { // dnsmasq gives up being root
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	c := &cloud{t: t, root: root, dir: filepath.Join(root, network), netns: "/run/netns", served: map[string]string{}, extra: extra, client: "tapclient"}
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if pid := running(c.dir); pid > 0 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		realtest.Run(t, "sh", "-c", "ip link del "+c.client+"; umount -l /run")
	})
	realtest.Run(t, "sh", "-ec", `ip netns add `+ns+`
		ip link add `+c.client+` type veth peer name `+device+` netns `+ns+`
		ip -n `+ns+` link set lo up; ip -n `+ns+` link set `+device+` up
		ip -n `+ns+` addr add 10.1.0.3/24 brd + dev `+device+`
		ip -n `+ns+` addr add 2001:db8::3/64 nodad dev `+device+`
		ip link set `+c.client+` up`)
	c.write("interface", device)
	return c
}

func (c *cloud) write(name, text string) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, name), []byte(text), 0o644); err != nil {
		c.t.Fatal(err)
	}
}

// plan writes the files that a plan with these ports has.
func (c *cloud) plan(served map[string]string) {
	c.t.Helper()
	c.served = served
	var hosts string
	for _, ip := range slices.Sorted(maps.Keys(served)) {
		if strings.Contains(ip, ":") {
			hosts += fmt.Sprintf("%s,tag:dhcpv6,host-%s.openstacklocal,[%s]\n", served[ip], strings.ReplaceAll(ip, ":", "-"), ip)
		} else {
			hosts += fmt.Sprintf("%s,host-%s.openstacklocal,%s\n", served[ip], strings.ReplaceAll(ip, ".", "-"), ip)
		}
	}
	c.write("host", hosts)
	c.write("addn_hosts", "")
	c.write("opts", "")
}

// want is what that plan says of leases.
func (c *cloud) want() map[host.LeaseKey]host.Lease {
	out := map[host.LeaseKey]host.Lease{}
	for ip, mac := range c.served {
		out[host.LeaseKey{Dir: c.dir, IP: ip, MAC: mac}] = host.Lease{NetNS: ns, Device: device, Server: "10.1.0.3",
			Why: host.Why{Feature: "dhcp", Object: "network/" + network}}
	}
	return out
}

// arguments are dnsmasq's in the plan of the seed's network host.
func (c *cloud) arguments() []string {
	c.t.Helper()
	b, err := os.ReadFile("../../plan/testdata/seed-network1.txt")
	if err != nil {
		c.t.Fatal(err)
	}
	var argv []string
	_, text, _ := strings.Cut(string(b), "# processes\n")
	for line := range strings.Lines(text) {
		if arg, ok := strings.CutPrefix(line, "\t"); ok {
			argv = append(argv, strings.ReplaceAll(strings.TrimSpace(arg), "/var/lib/neutron/dhcp", c.root))
		}
	}
	if len(argv) < 10 || argv[0] != "dnsmasq" {
		c.t.Fatalf("no dnsmasq in the plan: %q", argv)
	}
	return append(argv, c.extra...)
}

func (c *cloud) start() {
	c.t.Helper()
	realtest.Run(c.t, "ip", append([]string{"netns", "exec", ns}, append(c.arguments(), "--log-facility="+c.dir+"/log")...)...)
	realtest.Eventually(c.t, "dnsmasq runs", func() bool { return running(c.dir) > 0 })
}

func (c *cloud) hup() {
	c.t.Helper()
	if err := syscall.Kill(running(c.dir), syscall.SIGHUP); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cloud) log() string {
	b, _ := os.ReadFile(filepath.Join(c.dir, "log"))
	return string(b)
}

// ask lets the client with this MAC ask for its address, and returns it.
func (c *cloud) ask(mac string, seconds int) string {
	c.t.Helper()
	realtest.Run(c.t, "ip", "link", "set", c.client, "address", mac)
	out, _ := exec.Command("busybox", "udhcpc", "-i", c.client, "-n", "-q", "-t", strconv.Itoa(seconds), "-T", "1", "-s", "/bin/true").CombinedOutput()
	_, rest, ok := strings.Cut(string(out), "lease of ")
	if !ok {
		return ""
	}
	return strings.Fields(rest)[0]
}

func converge(t *testing.T, h *Hand, want map[host.LeaseKey]host.Lease) reconcile.Result {
	t.Helper()
	return reconcile.Sync(t.Context(), []reconcile.Step[map[host.LeaseKey]host.Lease]{
		&reconcile.Part[map[host.LeaseKey]host.Lease, host.LeaseKey, host.Lease]{Name: "leases", Hand: h, Want: h.Present,
			Same: Same, Object: func(l host.Lease) string { return l.Why.Object }},
	}, want)
}

func clean(t *testing.T, r reconcile.Result) reconcile.Result {
	t.Helper()
	if len(r.Problems) > 0 {
		t.Fatalf("problems: %v", r.Problems)
	}
	return r
}

func (c *cloud) hand() *Hand { return New(Options{Root: c.root, NetNSDir: c.netns}) }

func (c *cloud) leases() string {
	b, _ := os.ReadFile(filepath.Join(c.dir, "leases"))
	return string(b)
}

func TestAnAddressOfADeletedPortIsServedToItsNewPort(t *testing.T) {
	c := newCloud(t)
	h := c.hand()
	c.plan(map[string]string{address: macA})
	c.start()
	if got := c.ask(macA, 3); got != address {
		t.Fatalf("got %q\n%s", got, c.log())
	}
	if r := clean(t, converge(t, h, c.want())); r.Puts+r.Drops != 0 {
		t.Fatalf("a lease that may be there: %+v", r)
	}
	// The port is deleted and another one gets its address, in one change.
	c.plan(map[string]string{address: macB})
	c.hup()
	realtest.Eventually(t, "the fault shows", func() bool {
		c.ask(macB, 1)
		return strings.Contains(c.log(), "not using configured address "+address+" because it is leased to "+macA)
	})
	r := clean(t, converge(t, h, c.want()))
	if r.Puts != 1 || r.Drops != 0 {
		t.Fatalf("released in %+v, not as a put: the new port's wire would not wait for it", r)
	}
	if strings.Contains(c.leases(), macA) {
		t.Fatalf("still there: %s", c.leases())
	}
	if got := c.ask(macB, 3); got != address {
		t.Fatalf("the new port got %q\n%s", got, c.log())
	}
	if r := clean(t, converge(t, c.hand(), c.want())); r.Puts+r.Drops != 0 {
		t.Fatalf("a fresh hand has something to do: %+v", r)
	}
}

func TestALeaseThatOnlyTheSeededFileHoldsGoesToo(t *testing.T) {
	c := newCloud(t)
	c.plan(map[string]string{address: macB, "10.1.0.9": "fa:16:3e:03:00:09"})
	// The file of another time, as every server is started with.
	c.write("leases", "0 "+macA+" "+address+" * *\n0 fa:16:3e:03:00:09 10.1.0.9 * *\n0 fa:16:3e:03:00:08 10.1.0.8 * *\n")
	c.start()
	if got := c.ask(macB, 2); got != "" {
		t.Fatalf("got %q although the address is leased for ever", got)
	}
	// A fresh hand, and a lease of no plan beside it.
	r := clean(t, converge(t, c.hand(), c.want()))
	if r.Puts != 1 || r.Drops != 1 {
		t.Fatalf("%+v", r)
	}
	if got := c.leases(); !strings.HasPrefix(got, "0 fa:16:3e:03:00:09 10.1.0.9 ") || strings.Count(got, "\n") != 1 {
		t.Fatalf("left: %q\n%s", got, c.log())
	}
	if got := c.ask(macB, 3); got != address {
		t.Fatalf("got %q\n%s", got, c.log())
	}
}

func TestAServerThatThePlanSaysNothingOfIsFoundByItsFiles(t *testing.T) {
	c := newCloud(t)
	c.plan(map[string]string{address: macA})
	c.start()
	if got := c.ask(macA, 3); got != address {
		t.Fatalf("got %q", got)
	}
	c.plan(nil) // the network's last port is gone while no agent ran
	r := clean(t, converge(t, c.hand(), c.want()))
	if r.Drops != 1 || strings.Contains(c.leases(), address) {
		t.Fatalf("%+v, left %q", r, c.leases())
	}
}

func TestAServerThatDoesNotRunForgetsWhenItStarts(t *testing.T) {
	c := newCloud(t)
	c.plan(map[string]string{address: macB})
	c.write("leases", "0 "+macA+" "+address+" * *\nduid 00:01:00:01\n")
	clean(t, converge(t, c.hand(), c.want()))
	if got := c.leases(); got != "duid 00:01:00:01\n" {
		t.Fatalf("left: %q", got)
	}
	c.start()
	if got := c.ask(macB, 3); got != address {
		t.Fatalf("got %q", got)
	}
}

func TestAServerThatKeepsALeaseIsAProblemOfItsNetwork(t *testing.T) {
	c := newCloud(t)
	c.plan(map[string]string{address: macA})
	c.start()
	if got := c.ask(macA, 3); got != address {
		t.Fatalf("got %q", got)
	}
	pid := running(c.dir)
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	c.plan(map[string]string{"10.1.0.7": macB, address: macB})
	began := time.Now()
	r := converge(t, c.hand(), c.want())
	if len(r.Problems) != 1 || r.Problems[0].Object != "network/"+network {
		t.Fatalf("problems: %v", r.Problems)
	}
	if took := time.Since(began); took > tries*patience+time.Second {
		t.Errorf("gave up after %v only", took)
	}
	t.Log(r.Problems[0].Err)
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	realtest.Eventually(t, "it is released", func() bool { return len(converge(t, c.hand(), c.want()).Problems) == 0 })
}

func TestManyLeasesAreReleasedTogether(t *testing.T) {
	c := newCloud(t)
	c.plan(nil)
	var text strings.Builder
	for i := range 200 {
		fmt.Fprintf(&text, "0 fa:16:3e:04:00:%02x 10.1.0.%d * *\n", i, i+10)
	}
	c.write("leases", text.String())
	c.start()
	began := time.Now()
	r := clean(t, converge(t, c.hand(), c.want()))
	t.Logf("%d leases released in %v", r.Drops, time.Since(began))
	if r.Drops != 200 || c.leases() != "" {
		t.Fatalf("%+v, left %q", r, c.leases())
	}
}

func TestALeaseOfDHCPv6IsReleased(t *testing.T) {
	c := newCloud(t, "--dhcp-range=set:subnet-6,2001:db8::,static,64,86400s")
	const six = "2001:db8::2"
	c.plan(map[string]string{six: macA})
	c.start()
	realtest.Run(t, "ip", "link", "set", c.client, "address", macA)
	ask := func() { solicit(t, c.client) }
	realtest.Eventually(t, "DHCPv6 answers", func() bool { ask(); return strings.Contains(c.leases(), six) })
	if r := clean(t, converge(t, c.hand(), c.want())); r.Puts+r.Drops != 0 {
		t.Fatalf("a lease that may be there: %+v, %s", r, c.leases())
	}
	c.plan(map[string]string{six: macB})
	r := clean(t, converge(t, c.hand(), c.want()))
	if r.Puts+r.Drops != 1 || strings.Contains(c.leases(), six) {
		t.Fatalf("%+v, left %q\n%s", r, c.leases(), c.log())
	}
}

// solicit asks for an address by DHCPv6, with rapid commit: one packet and no
// waiting for its answer.
func solicit(t *testing.T, client string) {
	t.Helper()
	dev, err := net.InterfaceByName(client)
	if err != nil {
		t.Fatal(err)
	}
	const rapidCommit = 14
	packet := option6([]byte{1, 1, 2, 3}, optionClient6, append([]byte{0, 3, 0, 1}, dev.HardwareAddr...))
	packet = option6(packet, rapidCommit, nil)
	packet = option6(packet, optionIANA, make([]byte, 12))
	to := &net.UDPAddr{IP: net.ParseIP("ff02::1:2"), Port: 547, Zone: client}
	conn, err := net.DialUDP("udp6", nil, to)
	if err != nil {
		return // the link-local address is not there yet
	}
	defer conn.Close()
	_, _ = conn.Write(packet)
	time.Sleep(100 * time.Millisecond) // it may ask for the address of our MAC first
}

func TestAFileThatIsBeingWrittenIsReadAsFarAsItIs(t *testing.T) {
	c := parse("1795 fa:16:3e:03:00:0a 10.1.0.2 h 01:fa:16:3e:03:00:0a\nduid 00:03\nT12 12 2001:db8::1 * 00:03:00:01:fa:16:3e:03:00:0a\n" +
		"9 7 2001:db8::2 * 00:03:00:01:fa:16:3e:03:00:0a\nnonsense\n9 fa:16:3e:03:00:0b 10.1.0.3 h 01:fa")
	var got []host.LeaseKey
	for _, r := range c.records {
		got = append(got, r.key("d"))
	}
	want := []host.LeaseKey{{Dir: "d", IP: "10.1.0.2", MAC: macA}, {Dir: "d", IP: "2001:db8::1", MAC: macA}, {Dir: "d", IP: "2001:db8::2", MAC: macA}}
	if !slices.Equal(got, want[:1]) && !slices.Equal(got, []host.LeaseKey{want[0], want[1], want[2]}) || len(c.server) != 2 {
		t.Fatalf("%v %x", got, c.server)
	}
	rapid.Check(t, func(t *rapid.T) { parse(rapid.String().Draw(t, "file")) })
}
