package neutrino

import (
	"net/netip"
	"strings"
	"testing"
)

func TestWhatIsANameOfDNS(t *testing.T) {
	long := strings.Repeat("a", 63)
	for _, name := range []string{"a", "web-1", "1", "3com.example", "example.org.", long, long + "." + long + "." + long + "." + long[:62]} {
		if err := CheckDNSName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", ".", "a..b", ".a", "-a", "a-", "a_b", "A", "a b", "a\nb", "a\n", "a,b", "a/b", "1.2", "10.0.0.1",
		"\xff", "é", long + "a", strings.Repeat("a.", 128)} {
		if CheckDNSName(name) == nil {
			t.Errorf("%q was taken", name)
		}
	}
}

func TestAPortIsNamedAfterItselfOrItsAddress(t *testing.T) {
	ips := []FixedIP{{IPAddress: netip.MustParseAddr("10.1.0.2")}, {IPAddress: netip.MustParseAddr("2001:db8::2")}}
	for _, c := range []struct{ name, domain, host, fqdn string }{
		{"", "openstacklocal", "host-10-1-0-2", "host-10-1-0-2.openstacklocal."},
		{"", "", "host-10-1-0-2", "host-10-1-0-2."},
		{"web", "example.org.", "web", "web.example.org."},
		{"a.b", "example.org.", "a.b", "a.b.example.org."},
		{"web.example.org.", "example.org.", "web.example.org.", "web.example.org."},
	} {
		got := AssignDNS(ips, c.name, c.domain)
		if len(got) != 2 || got[0].Hostname != c.host || got[0].FQDN != c.fqdn || got[0].IPAddress != ips[0].IPAddress {
			t.Errorf("%+v: %+v", c, got)
		}
	}
	if got := AssignDNS(ips, "", "x")[1].Hostname; got != "host-2001-db8--2" {
		t.Errorf("got %s", got)
	}
}
