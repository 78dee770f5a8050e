package plan_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"neutrino/host/realtest"
	"neutrino/plan"
	"neutrino/view"
)

// named is the seed's network with a domain, and a name for the instance.
func named(name, domain string) *view.Host {
	v := seed("network1")
	n := v.Networks[seedNetwork]
	n.DNSDomain = "example.org."
	v.Networks[seedNetwork] = n
	nb := v.Neighbours[seedPort]
	nb.DNSName, nb.DNSDomain = name, domain
	v.Neighbours[seedPort] = nb
	return v
}

func TestNamesOfPortsAreInTheFilesOfDnsmasq(t *testing.T) {
	dir := "/var/lib/neutron/dhcp/" + string(seedNetwork)
	for _, c := range []struct{ name, domain, fqdn, short string }{
		{"", "", "host-10-1-0-2.example.org", " host-10-1-0-2"},
		{"web", "", "web.example.org", " web"},
		{"web", "other.org.", "web.other.org", " web"},
		{"web.example.org.", "", "web.example.org", ""},
	} {
		s := plan.Host(named(c.name, c.domain), settings(networkIP))
		if got, want := s.Files[dir+"/host"].Content, seedMAC.String()+","+c.fqdn+",10.1.0.2\n"; got != want {
			t.Errorf("%q in %q: host file\n%swant\n%s", c.name, c.domain, got, want)
		}
		if got, want := s.Files[dir+"/addn_hosts"].Content, "10.1.0.2\t"+c.fqdn+c.short+"\n"; got != want {
			t.Errorf("%q in %q: addn_hosts\n%swant\n%s", c.name, c.domain, got, want)
		}
		if argv := s.Processes[dir].Argv; !strings.HasSuffix(argv, "--domain=example.org") {
			t.Errorf("arguments %q", argv)
		}
	}
}

// Real dnsmasq answers for the names, in both directions, and after a change.
func TestRealDnsmasqKnowsTheNamesOfPorts(t *testing.T) {
	v := dualStack("")
	addClient(v, 10)
	rename := func(name string) {
		n := v.Networks[lanNetwork]
		n.DNSDomain = "example.org."
		v.Networks[lanNetwork] = n
		for id, nb := range v.Neighbours {
			nb.DNSName = name
			v.Neighbours[id] = nb
		}
	}
	rename("web")
	l := newLAN(t, v, 1)
	var server netip.Addr
	for k := range plan.Host(v, l.config).Addresses {
		if p := netip.MustParsePrefix(k.Prefix); p.Addr().Is6() && strings.HasPrefix(k.NetNS, "qdhcp-") {
			server = p.Addr()
		}
	}
	sh(t, fmt.Sprintf("ip -n %s addr add %s/64 dev eth0 nodad", clientName(10), clientIP(10)))
	ask := func(name, want string) {
		t.Helper()
		realtest.Eventually(t, name+" is "+want, func() bool {
			out := realtest.Run(t, "sh", "-c", fmt.Sprintf("ip netns exec %s busybox nslookup %s %s 2>&1 || true", clientName(10), name, server))
			return strings.Contains(out, want)
		})
	}
	ask("web.example.org", clientIP(10).String())
	ask(clientIP(10).String(), "web.example.org")
	rename("db")
	l.apply(v)
	ask("db.example.org", clientIP(10).String())
}
