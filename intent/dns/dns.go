// Package dns is the part of the intent station for the names that ports have in
// the DNS of their network.
package dns

import (
	"cmp"
	"strings"

	"neutrino"
	"neutrino/intent/work"
)

// Network brings a network's domain into its one form, and refuses one that is
// none.
func Network(n *neutrino.Network) error {
	n.DNSDomain = strings.ToLower(n.DNSDomain)
	return domain(n.DNSDomain)
}

// Port brings a port's name and domain into their one form, and refuses what is
// none, or would be too long, or lies outside of the port's domain.
func Port(c *work.Config, n *neutrino.Network, p *neutrino.Port) error {
	p.DNSName, p.DNSDomain = strings.ToLower(p.DNSName), strings.ToLower(p.DNSDomain)
	if err := domain(p.DNSDomain); err != nil {
		return err
	}
	if p.DNSName == "" {
		return nil
	}
	if err := neutrino.CheckDNSName(p.DNSName); err != nil {
		return bad("dns_name", "'%s' not a valid PQDN or FQDN. Reason: %v", p.DNSName, err)
	}
	whole := strings.Trim(DomainOf(c, n, p), ".")
	switch {
	case !strings.HasSuffix(p.DNSName, "."):
		if len(p.DNSName)+1+len(whole)+1 > 255 {
			return bad("dns_name", "'%s' is too long in the domain %s; at most 255 characters make a name", p.DNSName, whole)
		}
	case !strings.HasSuffix(p.DNSName, "."+whole+"."):
		return bad("dns_name", "'%s' is a whole name outside of the port's domain %s.; leave the dot at its end out", p.DNSName, whole)
	}
	return nil
}

// DomainOf is the domain that the port's names are in: its own, its network's or
// the cloud's.
func DomainOf(c *work.Config, n *neutrino.Network, p *neutrino.Port) string {
	return cmp.Or(p.DNSDomain, n.DNSDomain, c.DNSDomain)
}

func domain(name string) error {
	if name == "" {
		return nil
	}
	if !strings.HasSuffix(name, ".") {
		return bad("dns_domain", "'%s' is not a FQDN: it must end with a dot", strings.ToValidUTF8(name, "?"))
	}
	if err := neutrino.CheckDNSName(name); err != nil {
		return bad("dns_domain", "'%s' not a valid FQDN. Reason: %v", name, err)
	}
	return nil
}

func bad(name, format string, args ...any) error {
	return neutrino.Errorf(neutrino.Invalid, "HTTPBadRequest", "Invalid input for "+name+". Reason: "+format+".", args...)
}
