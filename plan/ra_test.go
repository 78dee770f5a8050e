package plan_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"neutrino"
	"neutrino/plan"
	"neutrino/view"
)

// section is the paragraph of a plan's text with one heading.
func section(text, heading string) string {
	_, rest, _ := strings.Cut(text, "# "+heading+"\n")
	paragraph, _, _ := strings.Cut(rest, "\n\n")
	return strings.TrimSuffix(paragraph, "\n")
}

// routedIPv6 is the seed's router with an IPv6 subnet for each of the modes on
// its interface.
func routedIPv6(modes ...neutrino.IPv6Mode) (*view.Host, plan.Config) {
	v, c := routed()
	p := v.Ports[seedQR]
	for i, mode := range modes {
		prefix := netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, byte(i + 1)}), 64)
		id := neutrino.ID("6000000" + string(rune('1'+i)) + "-0000-4000-8000-000000000000")
		v.Subnets[id] = neutrino.Subnet{ID: id, NetworkID: seedNetwork, IPVersion: 6, EnableDHCP: true, CIDR: prefix,
			IPv6RAMode: mode, IPv6AddressMode: mode, DNSNameservers: []netip.Addr{addr("2001:db8::53"), addr("192.0.2.53"), addr("2001:db8::5" + string(rune('4'+i)))}}
		p.FixedIPs = append(p.FixedIPs, neutrino.FixedIP{SubnetID: id, IPAddress: prefix.Addr().Next()})
	}
	v.Ports[seedQR] = p
	return v, c
}

func TestAdvertisementsFollowTheModesOfIPv6(t *testing.T) {
	const device = "qrouter-2d214fde-293c-4d64-8062-797f80ae2d8f/qr-c2d7dd02-56 "
	for name, c := range map[string]struct {
		modes []neutrino.IPv6Mode
		want  string
	}{
		"slaac":     {[]neutrino.IPv6Mode{neutrino.SLAAC}, device + "mtu 1458 managed false other false dns 2001:db8::53,2001:db8::54\n\t2001:db8:1::/64 1 1"},
		"stateless": {[]neutrino.IPv6Mode{neutrino.DHCPv6Stateless}, device + "mtu 1458 managed false other true dns 2001:db8::53,2001:db8::54\n\t2001:db8:1::/64 1 1"},
		"stateful":  {[]neutrino.IPv6Mode{neutrino.DHCPv6Stateful}, device + "mtu 1458 managed true other false dns 2001:db8::53,2001:db8::54\n\t2001:db8:1::/64 1 0"},
		"no mode":   {[]neutrino.IPv6Mode{""}, ""},
		"no IPv6":   {nil, ""},
		"all, with three servers at most": {[]neutrino.IPv6Mode{neutrino.SLAAC, "", neutrino.DHCPv6Stateful, neutrino.DHCPv6Stateless},
			device + "mtu 1458 managed true other true dns 2001:db8::53,2001:db8::54,2001:db8::56\n\t2001:db8:1::/64 1 1\n\t2001:db8:3::/64 1 0\n\t2001:db8:4::/64 1 1"},
	} {
		if diff := cmp.Diff(c.want, section(plan.Host(routedIPv6(c.modes...)).Text(), "adverts")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// A router that is down or elsewhere, a gateway port, and an MTU that IPv6 does
// not know are not advertised.
func TestWhatIsNotAdvertised(t *testing.T) {
	for name, change := range map[string]func(v *view.Host){
		"down": func(v *view.Host) {
			r := v.Routers[seedRouter]
			r.AdminStateUp = false
			v.Routers[seedRouter] = r
		},
		"elsewhere": func(v *view.Host) { delete(v.Routers, seedRouter) },
		"gateway": func(v *view.Host) {
			p := v.Ports[seedQR]
			p.DeviceOwner = neutrino.OwnerGateway
			v.Ports[seedQR] = p
		},
	} {
		v, c := routedIPv6(neutrino.SLAAC)
		if change(v); len(plan.Host(v, c).Adverts) != 0 {
			t.Errorf("%s: %v", name, plan.Host(v, c).Adverts)
		}
	}
	v, c := routedIPv6(neutrino.SLAAC)
	n := v.Networks[seedNetwork]
	n.MTU = 1279
	v.Networks[seedNetwork] = n
	for k, a := range plan.Host(v, c).Adverts {
		if a.MTU != 0 {
			t.Errorf("%v: MTU %d", k, a.MTU)
		}
	}
}

// A prefix that dnsmasq has no range for (IPv6 longer or shorter than it can
// serve) does not end the plan.
func TestSubnetsOfEveryLengthArePlanned(t *testing.T) {
	for _, cidr := range []string{"2001:db8:1::/48", "2001:db8:1::/64", "2001:db8:1::/120", "2001:db8:1::1/128", "10.9.0.0/0", "10.9.0.1/32"} {
		v := seed("network1")
		p := netip.MustParsePrefix(cidr)
		v.Subnets["6"] = neutrino.Subnet{ID: "6", NetworkID: seedNetwork, IPVersion: 4 + 2*(p.Addr().BitLen()/128), EnableDHCP: true, CIDR: p}
		var ranges int
		for _, process := range plan.Host(v, settings(networkIP)).Processes {
			ranges = strings.Count(process.Argv, "--dhcp-range=")
		}
		want := 2
		if p.Addr().Is6() && p.Bits() < 64 {
			want = 1
		}
		if ranges != want {
			t.Errorf("%s: %d ranges", cidr, ranges)
		}
	}
}
