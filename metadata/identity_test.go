package metadata

import (
	"errors"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"neutrino"
	"neutrino/host"
	"neutrino/host/realtest"
	"neutrino/view"
)

// shared is the cloud with two ports of another project on the red network: the
// spy has an allowed pair for everything, and the twins of a VRRP group have one
// for their common address.
func shared() *view.Host {
	v := cloud()
	all := []neutrino.AddressPair{{IPAddress: netip.MustParsePrefix("0.0.0.0/0")}, {IPAddress: netip.MustParsePrefix("10.1.0.7/32")}}
	v.Neighbours["spy"] = view.Neighbour{ID: "spy", NetworkID: "red", DeviceID: "spy", ProjectID: "spies", Host: "c1", MAC: spyMAC,
		FixedIPs: fixed("s-red", "10.1.0.66"), AllowedAddressPairs: all}
	for i, id := range []neutrino.ID{"vrrp0", "vrrp1"} {
		v.Neighbours[id] = view.Neighbour{ID: id, NetworkID: "red", DeviceID: string(id), ProjectID: "redp", Host: "c1", MAC: neutrino.MAC{2, 9, byte(i)},
			FixedIPs: fixed("s-red", "10.1.0.5"+string(rune('0'+i))),
			AllowedAddressPairs: []neutrino.AddressPair{{IPAddress: netip.MustParsePrefix("10.1.0.50/32")}, {IPAddress: netip.MustParsePrefix("10.1.0.51/32")},
				{IPAddress: netip.MustParsePrefix("10.1.0.99/32")}, {IPAddress: netip.MustParsePrefix("10.1.0.98/32"), MAC: vrrpMAC}}}
	}
	v.Neighbours["idle"] = view.Neighbour{ID: "idle", NetworkID: "red", DeviceID: "idle", ProjectID: "redp", MAC: neutrino.MAC{2, 7}, FixedIPs: fixed("s-red", "10.1.0.70")}
	return v
}

var (
	spyMAC  = neutrino.MAC{0xfa, 0x16, 0x3e, 6, 6, 6}
	vrrpMAC = neutrino.MAC{0, 0, 0x5e, 0, 1, 9}
	webMAC  = neutrino.MAC{0xfa, 0x16, 0x3e, 1, 2, 3}
)

// Whose an address is does not say who asks by it: the station that the kernel
// answers does, and it may have the address of another port only where its own
// pair allows it. Then it is told of itself.
func TestWhoAsksIsThePortWhoseMACHasTheAddress(t *testing.T) {
	d := directory(shared())
	for _, c := range []struct {
		name, client string
		mac          neutrino.MAC
		want         string // the instance
		refused      neutrino.ID
	}{
		{"the port itself", "10.1.0.7", webMAC, "red-web", ""},
		{"the spy by its own address", "10.1.0.66", spyMAC, "spy", ""},
		{"the spy by the port's address, which its pair covers", "10.1.0.7", spyMAC, "spy", ""},
		{"a stranger by the port's address", "10.1.0.7", neutrino.MAC{2, 4}, "", "red-web-port"},
		{"the port's address while nobody is known to have it", "10.1.0.7", neutrino.MAC{}, "", "red-web-port"},
		{"another port of the project by the port's address", "10.1.0.7", neutrino.MAC{2, 9, 0}, "", "red-web-port"},
		{"the spy by the link-local address of the port's MAC", webMAC.LinkLocal().String(), spyMAC, "", "red-web-port"},
		{"the port by its link-local address", webMAC.LinkLocal().String(), webMAC, "red-web", ""},
		{"the port by the spy's address", "10.1.0.66", webMAC, "", "spy"},
		{"the master of a VRRP group by the common address", "10.1.0.99", neutrino.MAC{2, 9, 0}, "vrrp0", ""},
		{"the backup by the common address", "10.1.0.99", neutrino.MAC{2, 9, 1}, "vrrp1", ""},
		{"the backup by the master's address, as their pairs allow", "10.1.0.50", neutrino.MAC{2, 9, 1}, "vrrp1", ""},
		{"one of the group by the common MAC", "10.1.0.98", vrrpMAC, "", ""}, // two fit
		{"a port that is bound nowhere", "10.1.0.70", neutrino.MAC{2, 7}, "", "idle"},
		{"nobody", "10.1.0.123", webMAC, "", ""},
	} {
		for _, scope := range []string{"router/router-red", "network/red"} {
			i, err := d.Find(Asker{scope, netip.MustParseAddr(c.client), c.mac})
			if i.DeviceID != c.want || (err == nil) != (c.want != "") {
				t.Errorf("%s, %s: %q, %v, want %q", scope, c.name, i.DeviceID, err, c.want)
			}
			var r *Refusal
			if errors.As(err, &r) != (c.refused != "") || r != nil && r.Port != c.refused {
				t.Errorf("%s, %s: %v, want a refusal in the name of %q", scope, c.name, err, c.refused)
			}
		}
	}
}

// A pair reaches no further than the subnets of the router that is asked.
func TestAPairCountsInTheSubnetsOfTheRouterOnly(t *testing.T) {
	d := directory(shared())
	if i, err := d.Find(Asker{"router/router-red", netip.MustParseAddr("192.0.2.7"), spyMAC}); err == nil {
		t.Errorf("by an address of no subnet of the router answers %q", i.DeviceID)
	}
}

func TestRefusalsAreCountedAndForgotten(t *testing.T) {
	var r refusals
	now := time.Unix(1000, 0)
	one := Refusal{Port: "p", Reason: "one"}
	if !r.add(one, now) || r.add(one, now) || r.count(one) != 2 {
		t.Error("the first is news, the second is not")
	}
	for i := range 2 * maxRefusals {
		r.add(Refusal{Port: "p", Reason: string(rune('a' + i))}, now)
	}
	if n := len(r.findings(now)); n != maxRefusals {
		t.Errorf("%d refusals are remembered", n)
	}
	if f := r.findings(now.Add(refusalPeriod + time.Second)); len(f) > 0 {
		t.Errorf("after the period there is %v", f)
	}
}

// segment connects namespaces to the device ns-red of qdhcp-red by a bridge;
// each gets the address on eth0, and the MAC.
func segment(t *testing.T, stations map[string]neutrino.MAC) {
	t.Helper()
	run := func(argv ...string) { t.Helper(); realtest.Run(t, "ip", argv...) }
	run("-n", "qdhcp-red", "address", "del", "10.1.0.7/32", "dev", "lo")
	run("link", "add", "hub", "type", "bridge")
	t.Cleanup(func() { _ = exec.Command("ip", "link", "del", "hub").Run() })
	run("link", "set", "hub", "up")
	run("-n", "qdhcp-red", "link", "add", "ns-red", "type", "veth", "peer", "name", "tap-dhcp", "netns", "1")
	run("-n", "qdhcp-red", "address", "add", "10.1.0.2/24", "dev", "ns-red")
	run("-n", "qdhcp-red", "address", "add", "169.254.169.254/32", "dev", "ns-red")
	run("-n", "qdhcp-red", "link", "set", "ns-red", "up")
	run("link", "set", "tap-dhcp", "master", "hub", "up")
	for name, mac := range stations {
		run("netns", "add", name)
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", name).Run() })
		run("-n", name, "link", "add", "eth0", "address", mac.String(), "type", "veth", "peer", "name", "tap-"+name, "netns", "1")
		run("link", "set", "tap-"+name, "master", "hub", "up")
		run("-n", name, "address", "add", "10.1.0.7/24", "dev", "eth0")
	}
}

// The attack by traffic: a station takes a guest's address, as an allowed pair
// lets it, and its ARP answers make the kernel send to it. It reads nothing, and
// the guest reads its own as soon as it is the one that answers.
func TestAStationThatTookAGuestsAddressReadsNothing(t *testing.T) {
	netNS(t, "qdhcp-red")
	segment(t, map[string]neutrino.MAC{"guest": webMAC, "spy": spyMAC})
	v := shared()
	spy := v.Neighbours["spy"]
	spy.AllowedAddressPairs = nil // what the spy may do is the host's business, not the service's
	v.Neighbours["spy"] = spy
	h := newHand(t, Options{NetNSDir: "/run/netns", Lookup: directory(v).Find})
	apply(t, h, map[host.ListenerKey]host.Listener{{NetNS: "qdhcp-red", Address: "169.254.169.254:80"}: {Scope: "network/red"}})
	service := &net.TCPAddr{IP: net.IPv4(169, 254, 169, 254), Port: 80}
	turn := func(on, off string) {
		realtest.Run(t, "ip", "-n", off, "link", "set", "eth0", "down")
		realtest.Run(t, "ip", "-n", on, "link", "set", "eth0", "up")
		realtest.Run(t, "ip", "-n", on, "route", "replace", "169.254.169.254/32", "dev", "eth0")
		// Whoever comes says so, and the kernel believes it.
		realtest.Run(t, "ip", "-n", "qdhcp-red", "neigh", "flush", "dev", "ns-red")
	}
	turn("guest", "spy")
	realtest.Eventually(t, "the guest reads its own", func() bool { return ask(t, "guest", service, idPath) == "red-web" })
	turn("spy", "guest")
	realtest.Eventually(t, "the spy is refused", func() bool {
		got := ask(t, "spy", service, idPath)
		if strings.Contains(got, "red-web") {
			t.Fatalf("the spy reads %q", got)
		}
		return strings.Contains(got, "404")
	})
	found := h.Findings()
	if len(found) != 1 || found[0].Object != neutrino.PortObject("red-web-port") || !strings.Contains(found[0].Reason, spyMAC.String()) {
		t.Errorf("found %v, want who asked in whose name", found)
	}
	turn("guest", "spy")
	realtest.Eventually(t, "the guest reads its own again", func() bool { return ask(t, "guest", service, idPath) == "red-web" })
}

// What the kernel knows of a station is read from each device of the namespace;
// a station that is on two is nobody.
func TestNeighboursAreReadFromTheKernel(t *testing.T) {
	netNS(t, "qdhcp-red")
	for _, dev := range []string{"one", "two"} {
		realtest.Run(t, "ip", "-n", "qdhcp-red", "link", "add", dev, "type", "veth", "peer", "name", "far-"+dev)
		realtest.Run(t, "ip", "-n", "qdhcp-red", "link", "set", "far-"+dev, "up")
		realtest.Run(t, "ip", "-n", "qdhcp-red", "link", "set", dev, "up")
	}
	h := newHand(t, Options{NetNSDir: "/run/netns"})
	r, err := h.resolverFor("qdhcp-red", host.Listener{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	entry := func(argv ...string) { realtest.Run(t, "ip", append([]string{"-n", "qdhcp-red", "neigh"}, argv...)...) }
	wants := func(client string, want neutrino.MAC) {
		t.Helper()
		if got, err := r.mac(netip.MustParseAddr(client)); got != want || (err == nil) == want.IsZero() {
			t.Errorf("%s is at %v, %v, want %v", client, got, err, want)
		}
	}
	wants("10.1.0.7", neutrino.MAC{})
	entry("add", "10.1.0.7", "lladdr", webMAC.String(), "dev", "one", "nud", "stale")
	entry("add", "10.1.0.8", "lladdr", spyMAC.String(), "dev", "two", "nud", "reachable")
	entry("add", webMAC.LinkLocal().String(), "lladdr", webMAC.String(), "dev", "two", "nud", "permanent")
	wants("10.1.0.7", webMAC)
	wants("10.1.0.8", spyMAC)
	wants(webMAC.LinkLocal().String(), webMAC)
	entry("add", "10.1.0.7", "lladdr", spyMAC.String(), "dev", "two", "nud", "stale")
	wants("10.1.0.7", neutrino.MAC{})
	entry("change", "10.1.0.8", "dev", "two", "nud", "failed")
	wants("10.1.0.8", neutrino.MAC{})
}
