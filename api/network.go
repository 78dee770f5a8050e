package api

import (
	"maps"
	"reflect"
	"slices"
	"strconv"

	"neutrino"
	"neutrino/api/wire"
	"neutrino/intent"
	"neutrino/intent/quota"
	"neutrino/intent/rbac"
	"neutrino/intent/work"
	"neutrino/store"
)

func networks() *kind[neutrino.Network] {
	return kind[neutrino.Network]{
		names: names{"network", "networks", "networks", "NetworkNotFound", "Network %s could not be found."},
		table: store.Networks,
		indexes: []filterIndex[neutrino.Network]{
			{"name", store.NetworksByName},
			{"project_id", store.NetworksByProject},
		},
		visible: work.VisibleNetwork,
		reach:   ownOrGiven(store.NetworksByProject, rbac.Network),
		related: related[neutrino.Network]{sharedFlag: networkShared().rule, networkExternal: isExternal().rule},
		create:  from(quota.Of(quota.Network), intent.CreateNetwork), update: intent.UpdateNetwork, remove: intent.DeleteNetwork,
		reshape: oneSegment, reshaped: []string{networkSegments},
		parse: map[string]func(*neutrino.Network, any) error{providerSegment: parseSegmentationID},
		computed: []column[neutrino.Network]{
			networkShared().column(sharedFlag),
			isExternal().column(networkExternal),
			{name: "is_default", has: isExternal(), write: func(b []byte, _ view, n *neutrino.Network) []byte {
				return strconv.AppendBool(b, n.IsDefault)
			}},
			{name: "subnets", write: appendSubnetIDs},
			{name: "availability_zones", write: appendNetworkZones},
			scopeColumn("ipv4_address_scope", 4),
			scopeColumn("ipv6_address_scope", 6),
		},
		filters: map[string]func(*query[neutrino.Network], []string) error{
			sharedFlag:      networkShared().filter,
			networkExternal: isExternal().filter,
		},
	}.ready()
}

// The attributes of a network's segment: the one that it has, or a list.
const (
	providerType     = "provider:network_type"
	providerPhysical = "provider:physical_network"
	providerSegment  = "provider:segmentation_id"
	networkSegments  = "segments"
)

// oneSegment reads a list of one segment as the provider attributes that it is; a
// network has one segment, and answers show it so (api.md section 2.1).
func oneSegment(o wire.Object) (wire.Object, error) {
	raw, given := o[networkSegments]
	if !given {
		return o, nil
	}
	attributes := []string{providerType, providerPhysical, providerSegment}
	for _, name := range attributes {
		if _, both := o[name]; both {
			return nil, neutrino.Errorf(neutrino.Invalid, "SegmentsSetInConjunctionWithProviders", "Segments and provider values cannot both be set.")
		}
	}
	list, isList := raw.([]any)
	switch {
	case !isList || len(list) == 0:
		return nil, wire.BadValue(networkSegments, "'%s' is not a list of segments", wire.Show(raw))
	case len(list) > 1:
		return nil, neutrino.Invalidf("segments: a network has one segment here, not %d", len(list))
	}
	segment, ok := list[0].(wire.Object)
	if !ok {
		return nil, wire.BadValue(networkSegments, "'%s' is not a dictionary", wire.Show(list[0]))
	}
	flat := maps.Clone(o)
	delete(flat, networkSegments)
	for key, value := range segment {
		if !slices.Contains(attributes, key) {
			return nil, wire.BadRequest("Unrecognized attribute(s) '%s'", wire.Show(key))
		}
		flat[key] = value
	}
	return flat, nil
}

// parseSegmentationID tells no number from 0, which is none that a segment can have.
func parseSegmentationID(n *neutrino.Network, raw any) error {
	err := wire.Decode(&wire.Attribute{Name: providerSegment, Type: reflect.TypeFor[int64](), Null: true}, &n.SegmentationID, raw)
	if err == nil && raw != nil && n.SegmentationID < 1 {
		err = neutrino.Invalidf("segmentation_id %d is out of range: it is 1 or more", n.SegmentationID)
	}
	return err
}

// networkExternal is the attribute of networks for gateways and floating IPs.
const networkExternal = "router:external"

// networkShared is the network's flag as the caller sees it.
func networkShared() fact[neutrino.Network] {
	return sharedBy(func(n *neutrino.Network) neutrino.ID { return n.ID })
}

func isExternal() fact[neutrino.Network] {
	return func(v view, n *neutrino.Network) bool { return work.IsExternal(v.Reader, n.ID) }
}

func appendSubnetIDs(b []byte, v view, n *neutrino.Network) []byte {
	b = append(b, '[')
	first := true
	for s := range store.By(v.Reader, store.SubnetsByNetwork, string(n.ID)) {
		if !first {
			b = append(b, ',')
		}
		first = false
		b = wire.AppendString(b, string(s.ID))
	}
	return append(b, ']')
}

// appendNetworkZones writes the zones of the agents that serve the network.
func appendNetworkZones(b []byte, v view, n *neutrino.Network) []byte {
	var hosts []string
	for binding := range store.By(v.Reader, store.DHCPBindingsByNetwork, string(n.ID)) {
		hosts = append(hosts, binding.Host)
	}
	return appendHostZones(b, v, neutrino.AgentDHCP, hosts)
}
