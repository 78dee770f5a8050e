package intent

import (
	"strings"
	"testing"

	"neutrino"
	"neutrino/intent/dns"
)

func TestNamesOfDNSAreChecked(t *testing.T) {
	config := DefaultConfig()
	c := newCloud(t)
	n := c.network(alice, neutrino.Network{DNSDomain: "Example.ORG."})
	if n.DNSDomain != "example.org." {
		t.Errorf("stored %q", n.DNSDomain)
	}
	p := c.port(alice, neutrino.Port{NetworkID: n.ID, DNSName: "Web"})
	if p.DNSName != "web" || dns.DomainOf(&config, n, p) != "example.org." {
		t.Errorf("stored %+v", p)
	}
	c.port(alice, neutrino.Port{NetworkID: n.ID, DNSName: "web.example.org."})
	c.port(alice, neutrino.Port{NetworkID: n.ID, DNSName: "web.other.org.", DNSDomain: "other.org."})
	for _, bad := range []neutrino.Port{
		{DNSName: "web\n10.0.0.1 bank"}, {DNSName: "web,set:x"}, {DNSName: "web_1"}, {DNSName: "-web"}, {DNSName: "."},
		{DNSName: "web.other.org."}, {DNSName: "webexample.org."}, {DNSName: strings.Repeat("a.", 122) + "a"},
		{DNSDomain: "example.org"}, {DNSDomain: "ex ample.org."}, {DNSDomain: "."},
	} {
		bad.NetworkID = n.ID
		c.refused(alice, "HTTPBadRequest", func(tx *Tx) error { _, err := CreatePort(tx, bad, nil); return err })
		c.refused(alice, "HTTPBadRequest", updatePort(p.ID, func(p *neutrino.Port) { p.DNSName, p.DNSDomain = bad.DNSName, bad.DNSDomain }, nil, "dns_name", "dns_domain"))
	}
	for _, bad := range []string{"example.org", "example.org.\n", "a b.", "."} {
		c.refused(alice, "HTTPBadRequest", func(tx *Tx) error {
			_, err := CreateNetwork(tx, neutrino.Network{DNSDomain: bad}, nil)
			return err
		})
		c.refused(alice, "HTTPBadRequest", func(tx *Tx) error {
			_, err := UpdateNetwork(tx, n.ID, func(n *neutrino.Network) error { n.DNSDomain = bad; return nil }, fieldsOf("dns_domain"))
			return err
		})
	}
}
