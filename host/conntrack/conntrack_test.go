package conntrack

import (
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"pgregory.net/rapid"

	"neutrino/host"
	"neutrino/host/realtest"
	"neutrino/reconcile"
)

func TestMain(m *testing.M) { os.Exit(realtest.Main(m)) }

func conn(protocol uint8, src, dst string) tuple {
	from, to := netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst)
	return tuple{protocol: protocol, src: from.Addr(), dst: to.Addr(), sport: from.Port(), dport: to.Port()}
}

func icmp(src, dst string, kind, code uint8) tuple {
	t := tuple{protocol: 1, src: netip.MustParseAddr(src), dst: netip.MustParseAddr(dst), kind: kind, code: code}
	if t.src.Is6() {
		t.protocol = 58
	}
	return t
}

func TestTheOriginalDirectionDecides(t *testing.T) {
	const own = "10.1.0.2,2001:db8::2"
	for name, c := range map[string]struct {
		allow string
		t     tuple
		want  bool
	}{
		"ssh in":                     {"ingress 4 6 22-22 any", conn(6, "9.9.9.9:4000", "10.1.0.2:22"), true},
		"telnet in":                  {"ingress 4 6 22-22 any", conn(6, "9.9.9.9:4000", "10.1.0.2:23"), false},
		"ssh out is not in":          {"ingress 4 6 22-22 any", conn(6, "10.1.0.2:4000", "9.9.9.9:22"), false},
		"out":                        {"egress 4 any any any", conn(6, "10.1.0.2:4000", "9.9.9.9:22"), true},
		"out, v6":                    {"egress 4 any any any", conn(6, "[2001:db8::2]:4000", "[2001:db8::9]:22"), false},
		"in v6":                      {"ingress 6 17 1-65535 2001:db8::/64", conn(17, "[2001:db8::9]:1", "[2001:db8::2]:9"), true},
		"in v6, other remote":        {"ingress 6 17 1-65535 2001:db8::/64", conn(17, "[2001:db9::9]:1", "[2001:db8::2]:9"), false},
		"remote group member":        {"ingress 4 any any 10.1.0.3", conn(17, "10.1.0.3:1", "10.1.0.2:9"), true},
		"range":                      {"ingress 4 6 8000-8100 192.0.2.0/24", conn(6, "192.0.2.7:1", "10.1.0.2:8100"), true},
		"beyond the range":           {"ingress 4 6 8000-8100 192.0.2.0/24", conn(6, "192.0.2.7:1", "10.1.0.2:8101"), false},
		"neither address is ours":    {"ingress 4 any any any\negress 4 any any any", conn(6, "9.9.9.9:1", "10.1.0.9:1"), false},
		"ping":                       {"ingress 4 1 8-0 any", icmp("9.9.9.9", "10.1.0.2", 8, 0), true},
		"any code":                   {"ingress 4 1 8-any any", icmp("9.9.9.9", "10.1.0.2", 8, 7), true},
		"timestamp is no ping":       {"ingress 4 1 8-0 any", icmp("9.9.9.9", "10.1.0.2", 13, 0), false},
		"any icmp":                   {"ingress 4 1 any any", icmp("9.9.9.9", "10.1.0.2", 13, 0), true},
		"vrrp with a senseless port": {"ingress 4 112 5-5 any", tuple{protocol: 112, src: netip.MustParseAddr("9.9.9.9"), dst: netip.MustParseAddr("10.1.0.2")}, true},
		"dhcp":                       {"", conn(17, "0.0.0.0:68", "255.255.255.255:67"), true},
		"dhcpv6":                     {"", conn(17, "[fe80::1]:546", "[ff02::1:2]:547"), true},
		"neighbour discovery":        {"", icmp("fe80::1", "ff02::1", 135, 0), true},
		"dns is no dhcp":             {"", conn(17, "10.1.0.2:68", "9.9.9.9:53"), false},
		"nothing is allowed":         {"", conn(6, "10.1.0.2:1", "9.9.9.9:1"), false},
	} {
		p, err := parsePolicy(host.Zone{Allow: c.allow, Addresses: own}, memberSets{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if got := p.admits(c.t); got != c.want {
			t.Errorf("%s: admitted %v", name, got)
		}
	}
}

func TestAnExpectedEntryLivesAsLongAsItsMaster(t *testing.T) {
	ftp, data := conn(6, "10.1.0.2:4000", "9.9.9.9:21"), conn(6, "9.9.9.9:20", "10.1.0.2:4001")
	entries := []entry{{zone: 5, tuple: data, expected: true, master: ftp}, {zone: 5, tuple: ftp}}
	count := func(allow string) int {
		p, err := parsePolicy(host.Zone{Allow: allow, Addresses: "10.1.0.2"}, memberSets{})
		if err != nil {
			t.Fatal(err)
		}
		return len(doomed(entries, map[uint16]policy{5: p}))
	}
	if n := count("egress 4 6 21-21 any"); n != 0 {
		t.Errorf("%d entries go although their master stays", n)
	}
	if n := count("egress 4 6 80-80 any"); n != 2 {
		t.Errorf("%d entries go, not master and child", n)
	}
	if n := len(doomed(entries, map[uint16]policy{5: {}})); n != 2 {
		t.Errorf("%d entries of a dropped zone go", n)
	}
	loop := []entry{{zone: 5, tuple: data, expected: true, master: data}}
	if n := len(doomed(loop, map[uint16]policy{5: {live: true}})); n != 1 {
		t.Errorf("its own master keeps an entry alive")
	}
}

func TestAZoneThatCannotBeReadIsLeftAlone(t *testing.T) {
	for _, z := range []host.Zone{{Allow: "nonsense"}, {Allow: "ingress 4 6 a-b any"}, {Allow: "ingress 4 6 any 2001:db8::/64"},
		{Allow: "ingress 5 6 any any"}, {Allow: "sideways 4 6 any any"}, {Allow: "ingress 4 300 any any"}, {Addresses: "x"},
		{Allow: "ingress 4 6 1-any any"}} {
		h := New()
		err := h.Apply(t.Context(), reconcile.Diff[uint16, host.Zone]{Put: map[uint16]host.Zone{7: z}})
		var ie reconcile.ObjectError
		if err == nil || !strings.Contains(err.Error(), "zone 7") {
			t.Errorf("%+v: %v %v", z, err, ie)
		}
		if have, _ := h.Read(t.Context()); len(have) != 0 {
			t.Errorf("%+v counts as enforced", z)
		}
	}
}

func TestParsersSurviveAnything(t *testing.T) {
	all := func(uint16) bool { return true }
	rapid.Check(t, func(t *rapid.T) {
		parseEntry(rapid.SliceOf(rapid.Byte()).Draw(t, "message"), all)
		if p, err := parsePolicy(host.Zone{Allow: rapid.String().Draw(t, "allow"), Addresses: rapid.String().Draw(t, "own")}, memberSets{}); err == nil {
			p.admits(conn(6, "10.0.0.1:1", "10.0.0.2:2"))
		}
	})
}

func FuzzParseEntry(f *testing.F) {
	seed, err := hex.DecodeString("02000000340001001400010008000100010203040800020005060708")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, b []byte) { parseEntry(b, func(uint16) bool { return true }) })
}

// table fills the kernel's table; it skips when that is not possible.
func table(t *testing.T) {
	t.Helper()
	realtest.Root(t)
	if err := netlink.ConntrackTableFlush(netlink.ConntrackTable); err != nil {
		t.Skipf("SKIPPED, NOT TESTED: no connection tracking here: %v", err)
	}
}

func add(t *testing.T, zone uint16, c tuple) {
	t.Helper()
	src, dst := net.IP(c.src.AsSlice()), net.IP(c.dst.AsSlice())
	family := netlink.InetFamily(syscall.AF_INET)
	if c.src.Is6() {
		family = syscall.AF_INET6
	}
	flow := &netlink.ConntrackFlow{FamilyType: uint8(family), Zone: zone, TimeOut: 600,
		Forward: netlink.IPTuple{SrcIP: src, DstIP: dst, SrcPort: c.sport, DstPort: c.dport, Protocol: c.protocol},
		Reverse: netlink.IPTuple{SrcIP: dst, DstIP: src, SrcPort: c.dport, DstPort: c.sport, Protocol: c.protocol}}
	if c.protocol == 6 {
		flow.ProtoInfo = &netlink.ProtoInfoTCP{State: 3}
	}
	if err := netlink.ConntrackCreate(netlink.ConntrackTable, family, flow); err != nil {
		t.Fatalf("adding %v: %v", c, err)
	}
}

func held(t *testing.T, zone uint16) []string {
	t.Helper()
	entries, err := dump(t.Context(), func(z uint16) bool { return z == zone })
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, fmt.Sprintf("%s:%d>%s:%d", e.tuple.src, e.tuple.sport, e.tuple.dst, e.tuple.dport))
	}
	slices.Sort(out)
	return out
}

func apply(t *testing.T, h *Hand, d reconcile.Diff[uint16, host.Zone]) {
	t.Helper()
	if err := h.Apply(t.Context(), d); err != nil {
		t.Fatal(err)
	}
}

func TestARevokedRuleEndsItsConnectionsInItsZoneOnly(t *testing.T) {
	table(t)
	ssh, web := conn(6, "9.9.9.9:4000", "10.1.0.2:22"), conn(6, "9.9.9.9:4001", "10.1.0.2:80")
	out, six := conn(17, "10.1.0.2:4002", "8.8.8.8:53"), conn(6, "[2001:db8::9]:5", "[2001:db8::2]:22")
	dhcp := conn(17, "0.0.0.0:68", "255.255.255.255:67")
	for _, zone := range []uint16{0, 4097, 4098, 4099} {
		for _, c := range []tuple{ssh, web, out, six, dhcp} {
			add(t, zone, c)
		}
	}
	const all = "ingress 4 6 22-22 any\ningress 4 6 80-80 any\nINGRESS6egress 4 any any any"
	z := host.Zone{Allow: strings.Replace(all, "INGRESS6", "ingress 6 6 any any\n", 1), Addresses: "10.1.0.2,2001:db8::2"}
	h := New()
	apply(t, h, reconcile.Diff[uint16, host.Zone]{Put: map[uint16]host.Zone{4097: z, 4098: z}})
	if got := held(t, 4097); len(got) != 5 {
		t.Fatalf("a fresh hand deleted admitted entries, left: %v", got)
	}
	z.Allow = "ingress 4 6 80-80 any\negress 4 any any any"
	apply(t, h, reconcile.Diff[uint16, host.Zone]{Put: map[uint16]host.Zone{4097: z}})
	want := []string{"0.0.0.0:68>255.255.255.255:67", "10.1.0.2:4002>8.8.8.8:53", "9.9.9.9:4001>10.1.0.2:80"}
	if got := held(t, 4097); !slices.Equal(got, want) {
		t.Fatalf("zone holds %v, want %v", got, want)
	}
	have, err := h.Read(t.Context())
	if err != nil || !Same(have[4097], z) {
		t.Fatalf("%v %v", have, err)
	}
	apply(t, h, reconcile.Diff[uint16, host.Zone]{Drop: map[uint16]host.Zone{4098: have[4098]}})
	if got := held(t, 4098); len(got) != 0 {
		t.Fatalf("a dropped zone holds %v", got)
	}
	for _, zone := range []uint16{0, 4099} {
		if got := held(t, zone); len(got) != 5 {
			t.Fatalf("zone %d of others holds %v", zone, got)
		}
	}
	h.Invalidate()
	if have, _ := h.Read(t.Context()); len(have) != 1 || Same(have[4097], z) {
		t.Fatalf("after Invalidate: %v", have)
	}
}

func TestManyEntriesTakeOneDump(t *testing.T) {
	table(t)
	for i := range 3000 {
		add(t, 5000, conn(17, fmt.Sprintf("9.9.%d.%d:4000", i/250, i%250+1), "10.1.0.2:53"))
	}
	h := New()
	z := host.Zone{Allow: "ingress 4 17 any 9.9.0.0/24", Addresses: "10.1.0.2"}
	apply(t, h, reconcile.Diff[uint16, host.Zone]{Put: map[uint16]host.Zone{5000: z}})
	if got := held(t, 5000); len(got) != 250 {
		t.Fatalf("%d entries left", len(got))
	}
}

// The table is what there is, not what a hand remembers: a fresh hand on a
// table that fits the plan has nothing to do, and an audit finds what came.
func TestAHandSeesWhetherTheTableFitsThePlan(t *testing.T) {
	table(t)
	add(t, 4097, conn(6, "9.9.9.9:4000", "10.1.0.2:22"))
	add(t, 4098, conn(6, "9.9.9.9:4000", "10.1.0.3:23"))
	ssh := "ingress 4 6 22-22 any"
	plan := &host.State{Zones: map[uint16]host.Zone{
		4097: {Allow: ssh, Addresses: "10.1.0.2"}, 4098: {Allow: ssh, Addresses: "10.1.0.3"}, 4099: {Allow: "nonsense"},
	}}
	h := New()
	h.Expect(plan)
	wrong := func() []uint16 {
		t.Helper()
		have, err := h.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var out []uint16
		for _, id := range []uint16{4097, 4098, 4099} {
			if z, ok := have[id]; !ok || !Same(z, plan.Zones[id]) {
				out = append(out, id)
			}
		}
		return out
	}
	if got := wrong(); !slices.Equal(got, []uint16{4098, 4099}) {
		t.Fatalf("a fresh hand finds zones %v wrong, want the one with telnet and the one that cannot be read", got)
	}
	apply(t, h, reconcile.Diff[uint16, host.Zone]{Put: map[uint16]host.Zone{4098: plan.Zones[4098]}})
	add(t, 4097, conn(6, "9.9.9.9:4001", "10.1.0.2:80"))
	if got := wrong(); !slices.Equal(got, []uint16{4099}) {
		t.Fatalf("between audits zones %v are wrong", got)
	}
	h.Invalidate()
	if got := wrong(); !slices.Equal(got, []uint16{4097, 4099}) {
		t.Fatalf("after Invalidate zones %v are wrong, want the one with a new entry", got)
	}
}
