package api

import (
	"math/big"
	"net/netip"
	"net/url"
	"strconv"

	"neutrino"
	"neutrino/api/wire"
	"neutrino/intent/work"
	"neutrino/store"
)

// addressUse is how many addresses there are and how many are taken. A pool of
// IPv6 addresses can have more than 2^63 of them.
type addressUse struct {
	total *big.Int
	used  int64
}

// networkUse is one row of /v2.0/network-ip-availabilities (api.md section
// 2.30): a network with its subnets.
type networkUse struct {
	addressUse
	network *neutrino.Network
	subnets []subnetUse
}

type subnetUse struct {
	addressUse
	subnet *neutrino.Subnet
}

// paramIPVersion leaves only one family of each network's subnets.
const paramIPVersion = "ip_version"

// ipAvailabilities are for admins: others find none.
func ipAvailabilities() *report[networkUse] {
	project := func(u networkUse) string { return u.network.ProjectID }
	fields := []field[networkUse]{
		textField("network_id", func(u networkUse) string { return string(u.network.ID) }),
		textField("network_name", func(u networkUse) string { return u.network.Name }),
	}
	fields = append(fields, owned(project)...)
	fields = append(fields,
		field[networkUse]{name: "total_ips", write: func(b []byte, u networkUse) []byte { return u.total.Append(b, 10) }},
		field[networkUse]{name: "used_ips", write: func(b []byte, u networkUse) []byte { return strconv.AppendInt(b, u.used, 10) }},
		field[networkUse]{name: "subnet_ip_availability", write: func(b []byte, u networkUse) []byte {
			return wire.AppendList(b, u.subnets, appendSubnetUse)
		}})
	return &report[networkUse]{
		names: names{"network_ip_availability", "network_ip_availabilities", "network-ip-availabilities",
			"NetworkNotFound", "Network %s could not be found."},
		rule: "get_network_ip_availability", fields: fields, params: []string{paramIPVersion}, rows: networkUses,
		one: func(v view, id neutrino.ID) (networkUse, bool) {
			n, ok := store.Peek(v.Reader, store.Networks, id)
			if !ok {
				return networkUse{}, false
			}
			return useOf(v, n, ""), true
		},
	}
}

func networkUses(v view, params url.Values) ([]networkUse, error) {
	version := params.Get(paramIPVersion)
	if version != "" && version != "4" && version != "6" {
		return nil, neutrino.Invalidf("'%s' is not a value of %s", wire.Show(version), paramIPVersion)
	}
	var out []networkUse
	for n := range store.All(v.Reader, store.Networks) {
		if !v.work.Step() {
			break
		}
		if u := useOf(v, n, version); version == "" || len(u.subnets) > 0 {
			out = append(out, u)
		}
	}
	return out, nil
}

// useOf counts a network's addresses, of one family or, for "", of both.
func useOf(v view, n *neutrino.Network, version string) networkUse {
	u := networkUse{network: n, addressUse: addressUse{total: new(big.Int)}}
	taken := map[neutrino.ID]int64{}
	for p := range store.By(v.Reader, store.PortsByNetwork, string(n.ID)) {
		for _, f := range p.FixedIPs {
			taken[f.SubnetID]++
		}
	}
	for s := range store.By(v.Reader, store.SubnetsByNetwork, string(n.ID)) {
		if version != "" && version != strconv.Itoa(s.IPVersion) {
			continue
		}
		one := subnetUse{addressUse{new(big.Int), taken[s.ID]}, s}
		for _, pool := range s.AllocationPools {
			one.total.Add(one.total, poolSize(pool))
		}
		u.subnets = append(u.subnets, one)
		u.total.Add(u.total, one.total)
		u.used += one.used
	}
	return u
}

// poolSize is how many addresses the pool has: its ends are in it.
func poolSize(p neutrino.Pool) *big.Int {
	number := func(a netip.Addr) *big.Int { return new(big.Int).SetBytes(a.AsSlice()) }
	size := new(big.Int).Sub(number(p.End), number(p.Start))
	return size.Add(size, big.NewInt(1))
}

func appendSubnetUse(b []byte, u subnetUse) []byte {
	b = wire.AppendString(append(b, `{"subnet_id":`...), string(u.subnet.ID))
	b = wire.AppendString(append(b, `,"subnet_name":`...), u.subnet.Name)
	b = wire.AppendPrefix(append(b, `,"cidr":`...), u.subnet.CIDR)
	b = strconv.AppendInt(append(b, `,"ip_version":`...), int64(u.subnet.IPVersion), 10)
	b = u.total.Append(append(b, `,"total_ips":`...), 10)
	b = strconv.AppendInt(append(b, `,"used_ips":`...), u.used, 10)
	return append(b, '}')
}

// pool is one row of /v2.0/floatingip_pools: an IPv4 subnet that floating IPs
// come from. It is the caller's, whoever owns the subnet.
type pool struct {
	subnet  *neutrino.Subnet
	project string
}

func floatingIPPools() *report[pool] {
	fields := []field[pool]{
		textField("subnet_id", func(p pool) string { return string(p.subnet.ID) }),
		textField("subnet_name", func(p pool) string { return p.subnet.Name }),
		textField("network_id", func(p pool) string { return string(p.subnet.NetworkID) }),
		textField("cidr", func(p pool) string { return p.subnet.CIDR.String() }),
	}
	return &report[pool]{
		names:  names{one: "floatingip_pool", many: "floatingip_pools", path: "floatingip_pools"},
		rule:   "get_floatingip_pool",
		fields: append(fields, owned(func(p pool) string { return p.project })...),
		rows: func(v view, _ url.Values) ([]pool, error) {
			var pools []pool
			for n := range store.All(v.Reader, store.Networks) {
				if !v.work.Step() {
					break
				}
				if !work.UsesExternal(v.caller, v.Reader, n) {
					continue
				}
				for s := range store.By(v.Reader, store.SubnetsByNetwork, string(n.ID)) {
					if s.IPVersion == 4 {
						pools = append(pools, pool{s, v.caller.ProjectID})
					}
				}
			}
			return pools, nil
		},
	}
}

// provider is one row of /v2.0/service-providers: a way in which a service is
// realised. Routers are, on one host each.
type provider struct{ service, name string }

func serviceProviders() *report[provider] {
	return &report[provider]{
		names: names{one: "service_provider", many: "service_providers", path: "service-providers"},
		rule:  "get_service_provider",
		fields: []field[provider]{
			textField("service_type", func(p provider) string { return p.service }),
			textField("name", func(p provider) string { return p.name }),
			{name: "default", text: func(provider) string { return "true" }, write: func(b []byte, _ provider) []byte {
				return append(b, "true"...)
			}},
		},
		rows: func(view, url.Values) ([]provider, error) {
			return []provider{{"L3_ROUTER_NAT", "single_node"}}, nil
		},
	}
}
