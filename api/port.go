package api

import (
	"net/netip"
	"slices"
	"strings"

	"neutrino"
	"neutrino/api/wire"
	"neutrino/intent"
	"neutrino/intent/dns"
	"neutrino/intent/quota"
	"neutrino/intent/work"
	"neutrino/store"
)

// The keys under which the parts of a fixed_ips filter are looked up in an
// index. No attribute has such a name.
const (
	fixedSubnet  = "fixed_ips subnet_id"
	fixedAddress = "fixed_ips ip_address"
)

func ports(config intent.Config) *kind[neutrino.Port] {
	k := kind[neutrino.Port]{
		names: names{"port", "ports", "ports", "PortNotFound", "Port %s could not be found."},
		table: store.Ports,
		indexes: []filterIndex[neutrino.Port]{
			{"mac_address", store.PortsByMAC},
			{fixedAddress, store.PortsByIP},
			{"device_id", store.PortsByDevice},
			{fixedSubnet, store.PortsBySubnet},
			{"network_id", store.PortsByNetwork},
			{"name", store.PortsByName},
			{"binding:host_id", store.PortsByHost},
			{"security_groups", store.PortsByGroup},
			{"project_id", store.PortsByProject},
			{"created_at", store.PortsByCreated},
		},
		visible: work.VisiblePort,
		reach:   reachOfPorts,
		related: ofNetwork(func(p *neutrino.Port) neutrino.ID { return p.NetworkID }),
		// An external network is no place for a tenant's port.
		above: func(v view, p *neutrino.Port) error {
			n, ok := v.network(p.NetworkID)
			if !ok || !v.caller.All() && !work.Owns(v.caller, n.ProjectID) && !work.SharesNetwork(v.caller, v.Reader, n) {
				return work.Networks().Missing(p.NetworkID)
			}
			return nil
		},
		create: from(quota.Of(quota.Port), intent.CreatePort), update: intent.UpdatePort, remove: intent.DeletePort,
		parse: map[string]func(*neutrino.Port, any) error{
			"binding:host_id": parseHostID,
			tagsMember:        parsePortTags,
		},
		computed: []column[neutrino.Port]{
			{name: "allowed_address_pairs", write: appendPairs},
			{name: "dns_assignment", write: func(b []byte, v view, p *neutrino.Port) []byte { return appendNames(b, v, config, p) }},
		},
		filters: map[string]func(*query[neutrino.Port], []string) error{
			"fixed_ips":       filterFixedIPs,
			"security_groups": filterGroups,
		},
	}.ready()
	k.members = map[string]member{"bindings": bindingsOf(k)}
	return k
}

// appendNames writes what a port is called in DNS.
func appendNames(b []byte, v view, config intent.Config, p *neutrino.Port) []byte {
	n, ok := v.network(p.NetworkID)
	if !ok {
		n = &neutrino.Network{}
	}
	return wire.AppendList(b, neutrino.AssignDNS(p.FixedIPs, p.DNSName, dns.DomainOf(&config, n, p)), func(b []byte, a neutrino.DNSAssignment) []byte {
		b = wire.AppendAddr(append(b, `{"ip_address":`...), a.IPAddress)
		b = wire.AppendString(append(b, `,"hostname":`...), a.Hostname)
		b = wire.AppendString(append(b, `,"fqdn":`...), a.FQDN)
		return append(b, '}')
	})
}

// reachOfPorts is a project's own ports, and those on its networks.
func reachOfPorts(v view) []keyed[neutrino.Port] {
	var networks []string
	for n := range store.By(v.Reader, store.NetworksByProject, v.caller.ProjectID) {
		networks = append(networks, string(n.ID))
	}
	return []keyed[neutrino.Port]{
		{store.PortsByProject, []string{v.caller.ProjectID}},
		{store.PortsByNetwork, networks},
	}
}

// parseHostID takes null as "not bound" (api.md section 3.3).
func parseHostID(p *neutrino.Port, raw any) error {
	return wire.DecodeText(&wire.Attribute{Name: "binding:host_id", Longest: 255, Null: true}, &p.HostID, raw)
}

// appendPairs fills in the port's own MAC where a pair names none.
func appendPairs(b []byte, _ view, p *neutrino.Port) []byte {
	return wire.AppendList(b, p.AllowedAddressPairs, func(b []byte, pair neutrino.AddressPair) []byte {
		if pair.MAC.IsZero() {
			pair.MAC = p.MAC
		}
		return wire.AppendPair(b, pair)
	})
}

// filterFixedIPs reads subnet_id=…, ip_address=… and ip_address_substr=…: the
// same key again is another choice, different keys must all hold for the port
// (api.md section 1.6).
func filterFixedIPs(q *query[neutrino.Port], values []string) error {
	var subnetIDs, addresses, parts []string
	for _, value := range values {
		key, wanted, ok := strings.Cut(value, "=")
		switch {
		case ok && key == "subnet_id":
			subnetIDs = append(subnetIDs, wanted)
		case ok && key == "ip_address":
			ip, err := netip.ParseAddr(wanted)
			if err != nil {
				return neutrino.Invalidf("'%s' is not a valid IP address", wanted)
			}
			addresses = append(addresses, ip.String())
		case ok && key == "ip_address_substr":
			parts = append(parts, strings.ToLower(wanted))
		default:
			return neutrino.Invalidf("'%s' is not a filter of fixed_ips", value)
		}
	}
	anyFixedIP(q, fixedSubnet, subnetIDs, func(f neutrino.FixedIP) bool {
		return slices.Contains(subnetIDs, string(f.SubnetID))
	})
	anyFixedIP(q, fixedAddress, addresses, func(f neutrino.FixedIP) bool {
		return slices.Contains(addresses, f.IPAddress.String())
	})
	anyFixedIP(q, "", parts, func(f neutrino.FixedIP) bool {
		ip := f.IPAddress.String()
		return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(ip, part) })
	})
	return nil
}

// anyFixedIP keeps the ports that have an address for which match holds; key
// is the index of the values, if there is one. Without values it keeps all.
func anyFixedIP(q *query[neutrino.Port], key string, values []string, match func(neutrino.FixedIP) bool) {
	if len(values) == 0 {
		return
	}
	if key != "" {
		q.keys[key] = values
	}
	q.match = append(q.match, func(_ view, p *neutrino.Port) bool { return slices.ContainsFunc(p.FixedIPs, match) })
}

// filterGroups keeps the ports that are in one of the groups.
func filterGroups(q *query[neutrino.Port], values []string) error {
	q.keys["security_groups"] = values
	q.match = append(q.match, func(_ view, p *neutrino.Port) bool {
		return slices.ContainsFunc(p.SecurityGroups, func(g neutrino.ID) bool {
			return slices.Contains(values, string(g))
		})
	})
	return nil
}
