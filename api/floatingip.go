package api

import (
	"iter"

	"neutrino"
	"neutrino/api/wire"
	"neutrino/intent"
	"neutrino/intent/quota"
	"neutrino/intent/work"
	"neutrino/store"
)

// paramSubnet is the attribute of a POST that chooses the external subnet.
const paramSubnet = "subnet_id"

func floatingIPs() *kind[neutrino.FloatingIP] {
	k := kind[neutrino.FloatingIP]{
		names: names{"floatingip", "floatingips", "floatingips", "FloatingIPNotFound", "Floating IP %s could not be found"},
		table: store.FloatingIPs,
		indexes: []filterIndex[neutrino.FloatingIP]{
			{"port_id", store.FloatingIPsByPort},
			{"floating_ip_address", store.FloatingIPsByAddress},
			{"router_id", store.FloatingIPsByRouter},
			{"project_id", store.FloatingIPsByProject},
			{"floating_network_id", store.FloatingIPsByNetwork},
		},
		reach: func(v view) []keyed[neutrino.FloatingIP] {
			return []keyed[neutrino.FloatingIP]{{store.FloatingIPsByProject, []string{v.caller.ProjectID}}}
		},
		visible: work.VisibleFloatingIP,
		create: limited(quota.Of(quota.FloatingIP), func(tx *intent.Tx, req *request[neutrino.FloatingIP]) (*neutrino.FloatingIP, error) {
			for _, name := range []string{floatingName, floatingDomain} {
				if *req.asides[name].(*string) != "" {
					return nil, wire.BadValue(name, "names of floating IPs are published nowhere: leave %s and %s out", floatingName, floatingDomain)
				}
			}
			return intent.CreateFloatingIP(tx, req.noun, intent.FloatingRequest{SubnetID: req.hidden[paramSubnet]}, req.set)
		}),
		update: intent.UpdateFloatingIP, remove: intent.DeleteFloatingIP,
		hidden: []string{paramSubnet},
		// Nothing publishes names to a DNS service outside: a request for one is refused.
		asides: map[string]func() any{
			floatingName:   func() any { return new(string) },
			floatingDomain: func() any { return new(string) },
		},
		computed: []column[neutrino.FloatingIP]{
			{name: floatingName, write: appendNothing}, {name: floatingDomain, write: appendNothing},
			{name: "port_details", write: appendPortDetails},
			{name: "port_forwardings", write: appendForwardings},
		},
	}.ready()
	k.members = map[string]member{"port_forwardings": forwardingsOf(k)}
	return k
}

// The attributes of a floating IP for its name in a DNS service outside.
const (
	floatingName   = "dns_name"
	floatingDomain = "dns_domain"
)

// appendNothing writes an attribute that no object has set.
func appendNothing(b []byte, _ view, _ *neutrino.FloatingIP) []byte { return append(b, `""`...) }

// appendPortDetails writes what a floating IP tells of its port; null while it
// has none.
func appendPortDetails(b []byte, v view, f *neutrino.FloatingIP) []byte {
	p, ok := store.Peek(v.Reader, store.Ports, f.PortID)
	if f.PortID == "" || !ok {
		return append(b, "null"...)
	}
	b = wire.AppendString(append(b, `{"name":`...), p.Name)
	b = wire.AppendString(append(b, `,"network_id":`...), string(p.NetworkID))
	b = wire.AppendMAC(append(b, `,"mac_address":`...), p.MAC)
	b = wire.AppendValue(append(b, `,"admin_state_up":`...), &p.AdminStateUp)
	b = wire.AppendString(append(b, `,"status":`...), string(p.Status))
	b = wire.AppendString(append(b, `,"device_id":`...), p.DeviceID)
	b = wire.AppendString(append(b, `,"device_owner":`...), p.DeviceOwner)
	return append(b, '}')
}

// appendForwardings embeds what Neutron does of a floating IP's port forwardings:
// clients compare whole objects. Those of a range have it beside.
func appendForwardings(b []byte, v view, f *neutrino.FloatingIP) []byte {
	b = append(b, '[')
	first := true
	for p := range store.By(v.Reader, store.PortForwardingsByFloatingIP, string(f.ID)) {
		if !first {
			b = append(b, ',')
		}
		first = false
		b = wire.AppendString(append(b, `{"id":`...), string(p.ID))
		b = wire.AppendString(append(b, `,"protocol":`...), p.Protocol)
		b = wire.AppendNullable(append(b, `,"external_port":`...), &p.ExternalPort)
		b = wire.AppendAddr(append(b, `,"internal_ip_address":`...), p.InternalIPAddress)
		b = wire.AppendNullable(append(b, `,"internal_port":`...), &p.InternalPort)
		if p.ExternalPort == nil {
			b = wire.AppendString(append(b, `,"external_port_range":`...), p.ExternalPorts().String())
			b = wire.AppendString(append(b, `,"internal_port_range":`...), p.InternalPorts().String())
		}
		b = wire.AppendString(append(b, `,"internal_port_id":`...), string(p.InternalPortID))
		b = append(b, '}')
	}
	return append(b, ']')
}

// portForwardings is what the port forwardings of every floating IP have in
// common.
func portForwardings() *kind[neutrino.PortForwarding] {
	return kind[neutrino.PortForwarding]{
		names: names{"port_forwarding", "port_forwardings", "port_forwardings",
			"PortForwardingNotFound", "Port Forwarding %s could not be found."},
		table:   store.PortForwardings,
		visible: work.VisiblePortForwarding,
		rule:    "floatingip_port_forwarding",
	}.ready()
}

// forwardingsOf answers /v2.0/floatingips/<id>/port_forwardings and below: what
// belongs to another floating IP does not exist there.
func forwardingsOf(parents *kind[neutrino.FloatingIP]) member {
	all := portForwardings()
	answer := func(c *call, id neutrino.ID, rest []string) (*reply, error) {
		if len(rest) > 1 {
			return nil, noResource()
		}
		if _, err := parents.find(c.view(), id); err != nil {
			return nil, err
		}
		k := forwardingsBelow(*all, id)
		if len(rest) == 0 {
			return k.collection(c)
		}
		return k.item(c, neutrino.ID(rest[0]))
	}
	named := func(verb string) string { return verb + "_" + all.ruleName() }
	return member{answer, []route{
		{"GET", "", named("get")}, {"POST", "", named("create")}, {"GET", "/{port_forwarding_id}", named("get")},
		{"PUT", "/{port_forwarding_id}", named("update")}, {"DELETE", "/{port_forwarding_id}", named("delete")},
	}}
}

// forwardingsBelow is the kind of one floating IP's port forwardings.
func forwardingsBelow(k kind[neutrino.PortForwarding], parent neutrino.ID) *kind[neutrino.PortForwarding] {
	k.scope = func(v view) iter.Seq[*neutrino.PortForwarding] {
		return store.By(v.Reader, store.PortForwardingsByFloatingIP, string(parent))
	}
	k.visible = func(c intent.Caller, r store.Reader, p *neutrino.PortForwarding) bool {
		return p.FloatingIPID == parent && work.VisiblePortForwarding(c, r, p)
	}
	// The path names the parent, also of one that is still to be made.
	k.related = related[neutrino.PortForwarding]{
		"ext_parent:project_id": func(v view, _ *neutrino.PortForwarding) (string, bool) {
			f, ok := store.Peek(v.Reader, store.FloatingIPs, parent)
			if !ok {
				return "", false
			}
			return f.ProjectID, true
		},
	}
	k.create = limited(quota.Of(quota.PortForwarding), func(tx *intent.Tx, req *request[neutrino.PortForwarding]) (*neutrino.PortForwarding, error) {
		return intent.CreatePortForwarding(tx, parent, req.noun, req.set)
	})
	k.update = func(tx *intent.Tx, id neutrino.ID, change func(*neutrino.PortForwarding) error, _ neutrino.Fields) (*neutrino.PortForwarding, error) {
		return intent.UpdatePortForwarding(tx, parent, id, change)
	}
	k.remove = func(tx *intent.Tx, id neutrino.ID) error { return intent.DeletePortForwarding(tx, parent, id) }
	return &k
}
