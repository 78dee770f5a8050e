package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"neutrino"
)

// bareName is a name as dnsmasq's files have it: without the dot at its end.
func bareName(name string) string { return strings.TrimSuffix(name, ".") }

// hosts is the file of dataplane.md section 4.3: which MAC gets which address.
// tagged is true when a line sets a tag.
func (d *server) hosts() (content string, tagged bool) {
	served := map[neutrino.ID]neutrino.Subnet{}
	for _, s := range d.served() {
		served[s.ID] = s
	}
	var stateless, lines []string
	for _, c := range d.clients {
		tag := ""
		if own, _ := splitOptions(c.options); len(own) > 0 {
			tag, tagged = ",set:port-"+string(c.id), true
		}
		for i, ip := range c.ips {
			s, ok := served[ip.SubnetID]
			name := bareName(c.names[i].FQDN)
			switch {
			case !ok:
			case s.IsAutoAddress() && tag == "":
			case s.IsAutoAddress(): // only options: dnsmasq reads backwards, so these come first
				stateless = append(stateless, c.mac.String()+",tag:dhcpv6"+tag)
			case s.IPVersion == 6:
				lines = append(lines, fmt.Sprintf("%s,tag:dhcpv6,%s,[%s]%s", c.mac, name, ip.IPAddress, tag))
			default:
				lines = append(lines, fmt.Sprintf("%s,%s%s,%s%s", c.mac, clientID(c), name, ip.IPAddress, tag))
			}
		}
	}
	return joinLines(append(stateless, lines...)), tagged
}

// clientID is the extra option that names the client instead of its MAC.
func clientID(c client) string {
	if _, id := splitOptions(c.options); id != "" {
		return "id:" + id + ","
	}
	return ""
}

// splitOptions takes the client id, which belongs into the hosts file, away
// from the options that belong into the options file.
func splitOptions(all []neutrino.DHCPOption) (options []neutrino.DHCPOption, clientID string) {
	for _, o := range all {
		if o.IsClientID() {
			clientID = o.Value
		} else {
			options = append(options, o)
		}
	}
	return options, clientID
}

// addnHosts gives every port of the network a name in DNS; the full name comes
// first so that reverse look-ups answer with it.
func (d *server) addnHosts() string {
	var lines []string
	for _, c := range d.clients {
		for _, name := range c.names {
			line := fmt.Sprintf("%s\t%s", name.IPAddress, bareName(name.FQDN))
			if short := bareName(name.Hostname); short != bareName(name.FQDN) {
				line += " " + short
			}
			lines = append(lines, line)
		}
	}
	return joinLines(lines)
}

// leases are what dnsmasq starts with: every port holds its address for ever,
// so a client that renews with a server that never saw it is not refused.
func (d *server) leases() string {
	var lines []string
	for _, c := range d.clients {
		for _, ip := range c.ips {
			if s, ok := d.view.Subnets[ip.SubnetID]; ok && s.EnableDHCP && s.IPVersion == 4 {
				lines = append(lines, fmt.Sprintf("0 %s %s * *", c.mac, ip.IPAddress))
			}
		}
	}
	return joinLines(lines)
}

func joinLines(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, "\n") + "\n"
}

// options is the file of dataplane.md section 4.4.
func (d *server) options() string {
	var lines []string
	for _, s := range d.served() {
		tag := "tag:subnet-" + string(s.ID) + ","
		lines = append(lines, prefixed(tag, d.nameservers(s))...)
		if s.IPVersion == 6 {
			lines = append(lines, tag+"option6:domain-search,"+d.domain())
			continue
		}
		if routes := d.routes(s); len(routes) > 0 {
			list := strings.Join(routes, ",")
			lines = append(lines, tag+"option:classless-static-route,"+list, tag+"249,"+list)
		}
		if s.GatewayIP.IsValid() {
			lines = append(lines, tag+"option:router,"+s.GatewayIP.String())
		} else {
			lines = append(lines, tag+"option:router")
		}
	}
	for _, c := range d.clients {
		lines = append(lines, d.clientOptions(c)...)
	}
	return joinLines(lines)
}

func prefixed(prefix string, lines []string) []string {
	for i := range lines {
		lines[i] = prefix + lines[i]
	}
	return lines
}

// nameservers are the subnet's own; a single unspecified address announces
// none. Without any, dnsmasq announces itself.
func (d *server) nameservers(s neutrino.Subnet) []string {
	option := "option:dns-server"
	if s.IPVersion == 6 {
		option = "option6:dns-server"
	}
	if len(s.DNSNameservers) == 1 && s.DNSNameservers[0].IsUnspecified() {
		return []string{option}
	}
	var list []string
	for _, a := range s.DNSNameservers {
		switch { // dnsmasq refuses the whole option for one address of the other family
		case familyOf(a) != s.IPVersion:
		case a.Is6():
			list = append(list, "["+a.String()+"]")
		default:
			list = append(list, a.String())
		}
	}
	if len(list) == 0 {
		return nil
	}
	return []string{option + "," + strings.Join(list, ",")}
}

// routes are the classless static routes of a subnet (RFC 3442): the other
// IPv4 subnets of the network are on the link, then the host routes, and the
// gateway last, since a client that takes this option ignores the router's.
func (d *server) routes(s neutrino.Subnet) []string {
	var out []string
	for _, other := range d.subnets {
		if other.ID != s.ID && other.IPVersion == 4 {
			out = slices.Insert(out, 0, other.CIDR.String()+",0.0.0.0")
		}
	}
	gateway := s.GatewayIP
	for _, r := range s.HostRoutes {
		if r.Destination.Bits() == 0 {
			if !gateway.IsValid() {
				gateway = r.Nexthop
			}
			continue
		}
		out = append(out, r.Destination.String()+","+r.Nexthop.String())
	}
	if hop := d.metadataHop(s); hop.IsValid() {
		out = append(out, metadataAddress+"/32,"+hop.String())
	}
	if len(out) > 0 && gateway.IsValid() {
		out = append(out, "0.0.0.0/0,"+gateway.String())
	}
	return out
}

// metadataHop is where a subnet's instances find the metadata service: the
// DHCP server where no router serves the subnet, else the gateway; the zero
// address when nobody answers.
func (d *server) metadataHop(s neutrino.Subnet) netip.Addr {
	if !d.isolated(s) {
		return s.GatewayIP
	}
	if d.config.Metadata && d.config.IsolatedMetadata {
		for _, ip := range d.port.FixedIPs {
			if ip.SubnetID == s.ID {
				return ip.IPAddress
			}
		}
	}
	return netip.Addr{}
}

// clientOptions are the extra options of one port, for the families it has.
func (d *server) clientOptions(c client) []string {
	has := map[int]bool{}
	for _, ip := range c.ips {
		has[familyOf(ip.IPAddress)] = true
	}
	options, _ := splitOptions(c.options)
	var out []string
	for _, o := range options {
		if !has[o.IPVersion] || !o.Fits() {
			continue
		}
		kind := "option:"
		if o.IPVersion == 6 {
			kind = "option6:"
		}
		if o.IPVersion == 4 && strings.Trim(o.Name, "0123456789") == "" {
			kind = ""
		}
		line := "tag:port-" + string(c.id) + "," + kind + o.Name
		if o.Value != "" {
			line += "," + o.Value
		}
		out = append(out, line)
	}
	return out
}
