package plan_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"neutrino"
	"neutrino/host"
	"neutrino/host/process"
	"neutrino/host/realtest"
	"neutrino/plan"
	"neutrino/reconcile"
	"neutrino/view"
)

func TestMain(m *testing.M) { os.Exit(realtest.Main(m)) }

const (
	lanNetwork = neutrino.ID("6b1609c8-68e0-49ca-a658-f1edff54a264")
	lanServer  = neutrino.ID("d14c598d-98aa-4b51-a2b6-4e0d6b5f3c12")
	lanV4      = neutrino.ID("40000000-0000-4000-8000-000000000000")
	lanV6      = neutrino.ID("60000000-0000-4000-8000-000000000000")
)

// dualStack is a host that serves a network with an IPv4 subnet and an IPv6
// subnet of the given mode.
func dualStack(mode neutrino.IPv6Mode) *view.Host {
	v := view.New("network1")
	v.Networks[lanNetwork] = view.Network{Network: neutrino.Network{ID: lanNetwork, AdminStateUp: true, NetworkType: neutrino.GRE, SegmentationID: 6, MTU: 1458}, LocalVLAN: 1, DHCP: true}
	v.Subnets[lanV4] = neutrino.Subnet{ID: lanV4, NetworkID: lanNetwork, IPVersion: 4, EnableDHCP: true, CIDR: netip.MustParsePrefix("10.6.0.0/24")}
	v.Subnets[lanV6] = neutrino.Subnet{ID: lanV6, NetworkID: lanNetwork, IPVersion: 6, EnableDHCP: true, CIDR: netip.MustParsePrefix("2001:db8:6::/64"),
		GatewayIP: netip.MustParseAddr("2001:db8:6::1"), IPv6RAMode: mode, IPv6AddressMode: mode,
		DNSNameservers: []netip.Addr{netip.MustParseAddr("2001:db8::53"), netip.MustParseAddr("192.0.2.53")}}
	v.Ports[lanServer] = neutrino.Port{ID: lanServer, NetworkID: lanNetwork, AdminStateUp: true, MAC: mac("fa:16:3e:06:00:02"), DeviceOwner: neutrino.OwnerDHCP,
		FixedIPs: []neutrino.FixedIP{{SubnetID: lanV4, IPAddress: netip.MustParseAddr("10.6.0.2")}, {SubnetID: lanV6, IPAddress: netip.MustParseAddr("2001:db8:6::2")}}}
	return v
}

// addClient is instance number n of the network.
func addClient(v *view.Host, n int, options ...neutrino.DHCPOption) {
	id := neutrino.ID(fmt.Sprintf("c%07d-0000-4000-8000-000000000000", n))
	v.Neighbours[id] = view.Neighbour{ID: id, NetworkID: lanNetwork, MAC: mac(clientMAC(n)), DeviceOwner: "compute:nova", ExtraDHCPOpts: options,
		FixedIPs: []neutrino.FixedIP{{SubnetID: lanV4, IPAddress: netip.MustParseAddr(fmt.Sprintf("10.6.0.%d", n))},
			{SubnetID: lanV6, IPAddress: clientIP(n)}}}
}

func clientMAC(n int) string       { return fmt.Sprintf("fa:16:3e:06:01:%02x", n) }
func clientIP(n int) netip.Addr    { return netip.MustParseAddr(fmt.Sprintf("2001:db8:6::%x", n)) }
func clientName(n int) string      { return fmt.Sprintf("client%d", n) }
func sh(t testing.TB, line string) { t.Helper(); realtest.Run(t, "sh", "-c", line) }

// lan is a served network on a wire of the test's own: its namespace, its
// server and some clients behind one bridge.
type lan struct {
	t      *testing.T
	config plan.Config
	hand   *process.Hand
	ends   []string // of wires, at the bridge
}

func newLAN(t *testing.T, v *view.Host, clients int) *lan {
	t.Helper()
	realtest.Root(t)
	if _, err := exec.LookPath("dnsmasq"); err != nil {
		t.Skip("NOT TESTED: dnsmasq is not installed (package dnsmasq-base)")
	}
	sh(t, "mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns && ip link add br0 type bridge && ip link set br0 up")
	l := &lan{t: t, config: settings(networkIP)}
	dir, err := os.MkdirTemp("", "neutrino") // t.TempDir cannot be entered by dnsmasq, which runs as nobody
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	l.config.StatePath = dir
	l.hand = process.New(process.Options{Root: filepath.Join(l.config.StatePath, "dhcp")})
	t.Cleanup(func() {
		l.sync(&host.State{})
		l.hand.Close()
		os.RemoveAll(dir)
		for _, end := range l.ends {
			sh(t, "ip link del "+end)
		}
		sh(t, "for n in $(ip netns list | cut -d' ' -f1); do ip netns del $n; done; ip link del br0; umount -l /run/netns")
	})
	for i := range clients {
		l.wire(clientName(i+10), "eth0", clientMAC(i+10))
	}
	s := plan.Host(v, l.config)
	for _, link := range s.Links {
		l.wire(link.PeerNS, link.Peer, link.PeerMAC)
	}
	for k := range s.Addresses {
		sh(t, fmt.Sprintf("ip -n %s addr add %s dev %s", k.NetNS, k.Prefix, k.Device))
	}
	l.apply(v)
	return l
}

// wire makes a namespace with a device on the bridge.
func (l *lan) wire(ns, device, mac string) {
	l.t.Helper()
	end := fmt.Sprint("p", len(l.ends))
	l.ends = append(l.ends, end)
	sh(l.t, fmt.Sprintf(`set -e; ip netns add %[1]s; ip netns exec %[1]s sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.default.accept_ra=0
		ip link add %[4]s master br0 type veth peer name %[2]s netns %[1]s address %[3]s
		ip link set %[4]s up; ip -n %[1]s link set %[2]s up; ip -n %[1]s link set lo up`, ns, device, mac, end))
}

// apply makes the files and the daemon as the plan wants them.
func (l *lan) apply(v *view.Host) {
	l.t.Helper()
	s := plan.Host(v, l.config)
	for path, f := range s.Files {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			l.t.Fatal(err)
		}
		if _, err := os.Stat(path); f.Seed && err == nil {
			continue
		}
		if err := os.WriteFile(path, []byte(f.Content), os.FileMode(f.Mode)); err != nil {
			l.t.Fatal(err)
		}
	}
	l.sync(s)
}

func (l *lan) sync(s *host.State) {
	l.t.Helper()
	part := &reconcile.Part[*host.State, string, host.Process]{Name: "processes", Hand: l.hand, Same: process.Same,
		Want: func(s *host.State) map[string]host.Process { return s.Processes }, Object: func(p host.Process) string { return p.Why.Object }}
	if r := reconcile.Sync(context.Background(), []reconcile.Step[*host.State]{part}, s); len(r.Problems) > 0 {
		l.t.Errorf("processes: %+v", r.Problems)
	}
}

func (l *lan) pid() string {
	l.t.Helper()
	b, err := os.ReadFile(filepath.Join(l.config.StatePath, "dhcp", string(lanNetwork), "pid"))
	if err != nil {
		l.t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// The messages and options of DHCPv6 that the tests use (RFC 8415, 7.3 and 21).
const (
	solicit, advertise, request, renew, reply, information = 1, 2, 3, 5, 7, 11

	optClient, optServer, optIANA, optAddress, optWanted, optElapsed, optStatus = 1, 2, 3, 5, 6, 8, 13
	optDNS, optSearch, optNTP                                                   = 23, 24, 31
)

// dhcp6 is a client: the exchange that a DHCPv6 client does, and no more.
type dhcp6 struct {
	t    *testing.T
	n    int
	conn *net.UDPConn
	zone string
}

func (l *lan) client(n int) *dhcp6 {
	l.t.Helper()
	c := &dhcp6{t: l.t, n: n}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the thread ends with the goroutine
		done <- func() error {
			ns, err := netns.GetFromPath("/run/netns/" + clientName(n))
			if err != nil {
				return err
			}
			defer ns.Close()
			if err := netns.Set(ns); err != nil {
				return err
			}
			device, err := net.InterfaceByName("eth0")
			if err != nil {
				return err
			}
			c.zone = fmt.Sprint(device.Index)
			c.conn, err = net.ListenUDP("udp6", &net.UDPAddr{Port: 546})
			return err
		}()
	}()
	if err := <-done; err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { c.conn.Close() })
	return c
}

type option struct {
	code  uint16
	value []byte
}

func encode(options []option) []byte {
	var b []byte
	for _, o := range options {
		b = binary.BigEndian.AppendUint16(b, o.code)
		b = binary.BigEndian.AppendUint16(b, uint16(len(o.value)))
		b = append(b, o.value...)
	}
	return b
}

func decode(t *testing.T, b []byte) map[uint16][]byte {
	t.Helper()
	out := map[uint16][]byte{}
	for len(b) >= 4 {
		code, n := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		if len(b) < 4+n {
			t.Fatalf("option %d is cut off", code)
		}
		out[code], b = b[4:4+n], b[4+n:]
	}
	return out
}

// ask sends a message, again after a while as a client does, and returns the
// options of the answer of the wanted kind.
func (c *dhcp6) ask(kind, want byte, more ...option) map[uint16][]byte {
	c.t.Helper()
	hw, err := net.ParseMAC(clientMAC(c.n))
	if err != nil {
		c.t.Fatal(err)
	}
	options := append([]option{{optClient, append([]byte{0, 3, 0, 1}, hw...)}, {optElapsed, []byte{0, 0}},
		{optWanted, []byte{0, optDNS, 0, optSearch, 0, optNTP}}}, more...)
	message := append([]byte{kind, 1, 2, byte(c.n)}, encode(options)...)
	to := &net.UDPAddr{IP: net.ParseIP("ff02::1:2"), Port: 547, Zone: c.zone}
	buf := make([]byte, 1500)
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		if _, err := c.conn.WriteToUDP(message, to); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
			c.t.Fatal(err)
		}
		if err := c.conn.SetReadDeadline(time.Now().Add(500 * time.Millisecond)); err != nil {
			c.t.Fatal(err)
		}
		n, err := c.conn.Read(buf)
		if err == nil && n >= 4 && buf[0] == want && string(buf[1:4]) == string(message[1:4]) {
			return decode(c.t, slices.Clone(buf[4:n]))
		}
	}
	c.t.Fatalf("client %d: no answer %d to message %d", c.n, want, kind)
	return nil
}

// association is an IA_NA, with an address or without (RFC 8415, 21.4).
func association(ip netip.Addr) option {
	b := make([]byte, 12)
	b[3] = 1
	if ip.IsValid() {
		b = append(b, encode([]option{{optAddress, append(ip.AsSlice(), make([]byte, 8)...)}})...)
	}
	return option{optIANA, b}
}

// addressOf is the address in an answer, with its valid lifetime.
func addressOf(t *testing.T, options map[uint16][]byte) (ip netip.Addr, valid uint32) {
	t.Helper()
	ia := options[optIANA]
	if len(ia) < 12 {
		return netip.Addr{}, 0
	}
	b := decode(t, ia[12:])[optAddress]
	if len(b) < 24 {
		return netip.Addr{}, 0
	}
	ip, _ = netip.AddrFromSlice(b[:16])
	return ip, binary.BigEndian.Uint32(b[20:])
}

// lease is the whole way to an address: SOLICIT and REQUEST.
func (c *dhcp6) lease() (netip.Addr, option) {
	c.t.Helper()
	offer := c.ask(solicit, advertise, association(netip.Addr{}))
	ip, _ := addressOf(c.t, offer)
	if !ip.IsValid() {
		return ip, option{}
	}
	server := option{optServer, offer[optServer]}
	got, valid := addressOf(c.t, c.ask(request, reply, server, association(ip)))
	if got != ip || valid != 86400 {
		c.t.Errorf("client %d: offered %s, got %s for %d s", c.n, ip, got, valid)
	}
	return ip, server
}

const searchDomain = "\x0eopenstacklocal\x00"

// Stateful: the port's own address, for the lifetime that the host's
// configuration says; a stranger gets none. A change of the network's ports
// reaches dnsmasq without ending it, and leases go on through a restart.
func TestStatefulDHCPv6OnRealDnsmasq(t *testing.T) {
	v := dualStack(neutrino.DHCPv6Stateful)
	addClient(v, 10)
	l := newLAN(t, v, 3)
	first := l.client(10)
	ip, server := first.lease()
	if ip != clientIP(10) {
		t.Errorf("client 10 has %s", ip)
	}
	options := first.ask(information, reply)
	if dns := netip.MustParseAddr("2001:db8::53").AsSlice(); string(options[optDNS]) != string(dns) || string(options[optSearch]) != searchDomain {
		t.Errorf("dns %x, search %q", options[optDNS], options[optSearch])
	}
	if ip, _ := l.client(12).lease(); ip.IsValid() {
		t.Errorf("a stranger got %s", ip)
	}
	before := l.pid()
	addClient(v, 11)
	l.apply(v)
	if ip, _ := l.client(11).lease(); ip != clientIP(11) {
		t.Errorf("client 11 has %s", ip)
	}
	for range 3 { // a SIGHUP after leases is what dnsmasq 2.90 dies of with other tags
		n := v.Neighbours["c0000011-0000-4000-8000-000000000000"]
		n.FixedIPs = slices.Clone(n.FixedIPs)
		n.FixedIPs[0].IPAddress = n.FixedIPs[0].IPAddress.Next()
		v.Neighbours[n.ID] = n
		l.apply(v)
		if ip, valid := addressOf(t, first.ask(renew, reply, server, association(clientIP(10)))); ip != clientIP(10) || valid != 86400 {
			t.Errorf("renewed %s for %d s", ip, valid)
		}
	}
	if l.pid() != before {
		t.Errorf("dnsmasq was %s and is %s: a reload ended it", before, l.pid())
	}
	l.sync(&host.State{})
	l.apply(v)
	if ip, valid := addressOf(t, first.ask(renew, reply, server, association(clientIP(10)))); ip != clientIP(10) || valid != 86400 {
		t.Errorf("after a restart renewed %s for %d s", ip, valid)
	}
}

// Stateless: options for everyone, a port's own options for that port, and no
// address for anybody.
func TestStatelessDHCPv6OnRealDnsmasq(t *testing.T) {
	v := dualStack(neutrino.DHCPv6Stateless)
	addClient(v, 10, neutrino.DHCPOption{Name: "sntp-server", Value: "[2001:db8::123]", IPVersion: 6})
	addClient(v, 11)
	l := newLAN(t, v, 2)
	clients := map[int]*dhcp6{10: l.client(10), 11: l.client(11)}
	for n, ntp := range map[int]string{10: string(netip.MustParseAddr("2001:db8::123").AsSlice()), 11: ""} {
		c := clients[n]
		options := c.ask(information, reply)
		if dns := netip.MustParseAddr("2001:db8::53").AsSlice(); string(options[optDNS]) != string(dns) || string(options[optSearch]) != searchDomain {
			t.Errorf("client %d: dns %x, search %q", n, options[optDNS], options[optSearch])
		}
		if string(options[optNTP]) != ntp {
			t.Errorf("client %d: time server %x, want %x", n, options[optNTP], ntp)
		}
		if ip, _ := c.lease(); ip.IsValid() {
			t.Errorf("client %d got %s", n, ip)
		}
	}
	before := l.pid()
	addClient(v, 12)
	l.apply(v)
	if options := clients[11].ask(information, reply); len(options[optDNS]) != 16 {
		t.Errorf("after a change: %v", options)
	}
	if before == l.pid() {
		t.Error("a file with tags was reloaded: dnsmasq 2.90 dies of that")
	}
}

// Without a mode DHCPv6 gives addresses and nobody advertises a router; with
// SLAAC nobody asks DHCP, so there is no range for it.
func TestTheOtherModesOfIPv6(t *testing.T) {
	v := dualStack("")
	addClient(v, 10)
	l := newLAN(t, v, 1)
	if ip, _ := l.client(10).lease(); ip != clientIP(10) {
		t.Errorf("client 10 has %s", ip)
	}
	s := plan.Host(dualStack(neutrino.SLAAC), l.config)
	dir := filepath.Join(l.config.StatePath, "dhcp", string(lanNetwork))
	if argv := s.Processes[dir].Argv; strings.Contains(argv, "2001:db8") || !strings.Contains(argv, "10.6.0.0,static") {
		t.Errorf("arguments %q", argv)
	}
	if opts := s.Files[dir+"/opts"].Content; strings.Contains(opts, string(lanV6)) {
		t.Errorf("options %s", opts)
	}
	only := dualStack(neutrino.SLAAC)
	delete(only.Subnets, lanV4)
	if s := plan.Host(only, l.config); len(s.Processes) != 0 {
		t.Errorf("a network of SLAAC only has %v", s.Processes)
	}
}
