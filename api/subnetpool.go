package api

import (
	"net/netip"
	"strconv"

	"neutrino"
	"neutrino/api/bounds"
	"neutrino/api/openapi"
	"neutrino/api/wire"
	"neutrino/intent"
	"neutrino/intent/addressscope"
	"neutrino/intent/quota"
	"neutrino/intent/rbac"
	"neutrino/intent/subnetpool"
	"neutrino/intent/work"
	"neutrino/store"
)

// sharedFlag is the attribute of an object that RBAC policies share.
const sharedFlag = "shared"

func subnetPools() *kind[neutrino.SubnetPool] {
	shared := sharedBy(func(p *neutrino.SubnetPool) neutrino.ID { return p.ID })
	k := kind[neutrino.SubnetPool]{
		names: names{"subnetpool", "subnetpools", "subnetpools", "SubnetPoolNotFound", "Subnet pool %s could not be found."},
		table: store.SubnetPools,
		indexes: []filterIndex[neutrino.SubnetPool]{
			{"name", store.SubnetPoolsByName},
			{"address_scope_id", store.SubnetPoolsByScope},
			{"project_id", store.SubnetPoolsByProject},
		},
		visible: work.VisibleSubnetPool,
		reach:   ownOrGiven(store.SubnetPoolsByProject, rbac.SubnetPool),
		related: related[neutrino.SubnetPool]{sharedFlag: shared.rule},
		create:  from(quota.Of(quota.SubnetPool), subnetpool.Create), update: subnetpool.Update, remove: subnetpool.Delete,
		computed: []column[neutrino.SubnetPool]{
			shared.column(sharedFlag),
			lengthColumn("default_prefixlen", func(p *neutrino.SubnetPool) int { return p.DefaultPrefixLen }),
			lengthColumn("min_prefixlen", func(p *neutrino.SubnetPool) int { return p.MinPrefixLen }),
			lengthColumn("max_prefixlen", func(p *neutrino.SubnetPool) int { return p.MaxPrefixLen }),
		},
		flags:   map[string]fact[neutrino.SubnetPool]{sharedFlag: shared},
		filters: map[string]func(*query[neutrino.SubnetPool], []string) error{sharedFlag: shared.filter},
	}.ready()
	k.members = map[string]member{
		"add_prefixes":            k.prefixAction("add_prefixes", subnetpool.AddPrefixes),
		"remove_prefixes":         k.prefixAction("remove_prefixes", subnetpool.RemovePrefixes),
		"onboard_network_subnets": k.onboardAction(),
	}
	return k
}

// lengthColumn writes a prefix length as text, as Neutron does (api.md section 7,
// T7).
func lengthColumn(name string, of func(*neutrino.SubnetPool) int) column[neutrino.SubnetPool] {
	return column[neutrino.SubnetPool]{name: name, form: openapi.Of("string"), write: func(b []byte, _ view, p *neutrino.SubnetPool) []byte {
		return wire.AppendString(b, strconv.Itoa(of(p)))
	}}
}

// prefixAction answers PUT add_prefixes and remove_prefixes with the prefixes
// that the pool has then.
func (k *kind[T]) prefixAction(rule string, do func(*intent.Tx, neutrino.ID, []netip.Prefix) ([]netip.Prefix, error)) member {
	answer := func(c *call, id neutrino.ID, rest []string) (*reply, error) {
		if err := onlyPut(c, rest); err != nil {
			return nil, err
		}
		body, err := c.parse(bounds.Shape{})
		if err != nil {
			return nil, err
		}
		only, ok := wire.StrictKeys(body, "prefixes")
		if !ok {
			return nil, wire.BadRequest("Invalid input: prefixes, and only prefixes, must be specified")
		}
		var list []netip.Prefix
		if err := wire.Decode(&wire.Attribute{Name: "prefixes"}, &list, only["prefixes"]); err != nil {
			return nil, err
		}
		return k.action(c, id, rule, func(_ view, tx *intent.Tx) ([]byte, error) {
			now, err := do(tx, id, list)
			return append(wire.AppendValue([]byte(`{"prefixes":`), &now), '}'), err
		})
	}
	return member{answer, []route{{"PUT", "", rule}}}
}

// onboardAction answers PUT onboard_network_subnets with the prefixes that the
// pool has then.
func (k *kind[T]) onboardAction() member {
	const rule = "onboard_network_subnets"
	answer := func(c *call, id neutrino.ID, rest []string) (*reply, error) {
		if err := onlyPut(c, rest); err != nil {
			return nil, err
		}
		body, err := c.parse(bounds.Shape{})
		if err != nil {
			return nil, err
		}
		ids, err := namedIDs(body, "network_id")
		if err == nil && ids[0] == "" {
			err = wire.BadRequest("network_id must be specified")
		}
		if err != nil {
			return nil, err
		}
		return k.action(c, id, rule, func(_ view, tx *intent.Tx) ([]byte, error) {
			p, err := subnetpool.Onboard(tx, id, ids[0])
			if err != nil {
				return nil, err
			}
			return append(wire.AppendValue([]byte(`{"prefixes":`), &p.Prefixes), '}'), nil
		})
	}
	return member{answer, []route{{"PUT", "", rule}}}
}

func addressScopes() *kind[neutrino.AddressScope] {
	shared := sharedBy(func(a *neutrino.AddressScope) neutrino.ID { return a.ID })
	return kind[neutrino.AddressScope]{
		names: names{"address_scope", "address_scopes", "address-scopes", "AddressScopeNotFound", "Address scope %s could not be found"},
		table: store.AddressScopes,
		indexes: []filterIndex[neutrino.AddressScope]{
			{"name", store.AddressScopesByName},
			{"project_id", store.AddressScopesByProject},
		},
		visible: work.VisibleAddressScope,
		reach:   ownOrGiven(store.AddressScopesByProject, rbac.AddressScope),
		related: related[neutrino.AddressScope]{sharedFlag: shared.rule},
		create:  from(quota.Of(quota.AddressScope), addressscope.Create), update: addressscope.Update, remove: addressscope.Delete,
		computed: []column[neutrino.AddressScope]{shared.column(sharedFlag)},
		flags:    map[string]fact[neutrino.AddressScope]{sharedFlag: shared},
		filters:  map[string]func(*query[neutrino.AddressScope], []string) error{sharedFlag: shared.filter},
	}.ready()
}

// scopeColumn is the address scope of a network's subnets of an IP version.
func scopeColumn(name string, version int) column[neutrino.Network] {
	return column[neutrino.Network]{name: name, form: openapi.OrNull(openapi.Text("uuid")), write: func(b []byte, v view, n *neutrino.Network) []byte {
		a, ok := addressscope.Of(v.Reader, n.ID, version)
		if !ok {
			return append(b, "null"...)
		}
		return wire.AppendString(b, string(a.ID))
	}}
}
