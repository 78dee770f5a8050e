package neutrino

import (
	"fmt"
	"net/netip"
	"strings"
)

// The longest name and label of DNS, characters (RFC 1035, section 2.3.4).
const (
	maxDNSName  = 255
	maxDNSLabel = 63
)

// DNSAssignment is a name of a port in DNS (api.md section 2.5). FQDN ends with
// a dot.
type DNSAssignment struct {
	IPAddress      netip.Addr
	Hostname, FQDN string
}

// AssignDNS names the addresses of a port: by its own name, or by the address.
// A name that ends with a dot is whole, any other is in the domain.
func AssignDNS(ips []FixedIP, name, domain string) []DNSAssignment {
	var out []DNSAssignment
	for _, ip := range ips {
		a := DNSAssignment{IPAddress: ip.IPAddress, Hostname: name}
		if name == "" {
			a.Hostname = hostname(ip.IPAddress)
		}
		a.FQDN = a.Hostname
		if !strings.HasSuffix(name, ".") {
			a.FQDN = strings.TrimSuffix(a.Hostname+"."+strings.Trim(domain, "."), ".") + "."
		}
		out = append(out, a)
	}
	return out
}

// hostname is the name of an address: "host-10-0-0-5".
func hostname(ip netip.Addr) string {
	b := ip.AppendTo(append(make([]byte, 0, 48), "host-"...))
	for i, c := range b {
		if c == '.' || c == ':' {
			b[i] = '-'
		}
	}
	return string(b)
}

// CheckDNSName says what is wrong with a name of DNS in lower case: letters,
// digits and hyphens in labels of 1 to 63 characters (RFC 1123, section 2.1),
// 255 in all. The last of several labels is not all digits, for that is an
// address. One dot may stand at the end.
func CheckDNSName(name string) error {
	if len(name) > maxDNSName {
		return fmt.Errorf("it is longer than %d characters", maxDNSName)
	}
	labels := strings.Split(strings.TrimSuffix(name, "."), ".")
	for _, l := range labels {
		switch {
		case l == "":
			return fmt.Errorf("it has an empty label")
		case len(l) > maxDNSLabel:
			return fmt.Errorf("its label %s is longer than %d characters", l, maxDNSLabel)
		case l[0] == '-' || l[len(l)-1] == '-':
			return fmt.Errorf("its label %s begins or ends with a hyphen", l)
		case strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-") != "":
			return fmt.Errorf("its label %q has more than letters, digits and hyphens", l)
		}
	}
	if last := labels[len(labels)-1]; len(labels) > 1 && strings.Trim(last, "0123456789") == "" {
		return fmt.Errorf("its last label %s has digits only", last)
	}
	return nil
}
