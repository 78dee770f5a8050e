package plan

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"neutrino"
	"neutrino/host"
	"neutrino/plan/names"
)

// routers are the routers of this host: a namespace each, with an interface
// for each subnet, and a gateway interface on the provider bridge
// (dataplane.md section 5).
func routers(b *builder) {
	ports := map[string][]neutrino.Port{} // by the router's id
	for _, p := range b.ports {
		if p.DeviceOwner == neutrino.OwnerRouter || p.DeviceOwner == neutrino.OwnerGateway {
			ports[p.DeviceID] = append(ports[p.DeviceID], p)
		}
	}
	floating := map[neutrino.ID][]neutrino.FloatingIP{}
	for _, id := range slices.Sorted(maps.Keys(b.view.FloatingIPs)) {
		f := b.view.FloatingIPs[id]
		floating[f.RouterID] = append(floating[f.RouterID], f)
	}
	for _, id := range slices.Sorted(maps.Keys(b.view.Routers)) {
		r := b.view.Routers[id]
		if !r.AdminStateUp {
			continue // a router that is down forwards nothing
		}
		b.router(router{builder: b, Router: r, ns: names.RouterNamespace(id), floating: floating[id]}, ports[string(id)])
	}
}

// router is one router of this host.
type router struct {
	*builder
	neutrino.Router
	ns         string
	interfaces []neutrino.Port
	gateway    *neutrino.Port // nil without a way out
	floating   []neutrino.FloatingIP
}

func (r *router) why() host.Why {
	return host.Why{Feature: "router", Object: neutrino.RouterObject(r.ID)}
}

func (b *builder) router(r router, ports []neutrino.Port) {
	b.state.Namespaces[r.ns] = host.Namespace{Why: r.why()}
	for name, value := range map[string]string{
		"net.ipv4.ip_forward": "1", "net.ipv4.conf.all.arp_ignore": "1", "net.ipv4.conf.all.arp_announce": "2",
		"net.ipv6.conf.all.forwarding": "1", "net.netfilter.nf_conntrack_tcp_be_liberal": "1",
	} {
		b.state.Sysctls[host.SysctlKey{NetNS: r.ns, Name: name}] = host.Sysctl{Value: value, Why: r.why()}
	}
	for _, p := range ports {
		if p.DeviceOwner == neutrino.OwnerGateway {
			r.plugGateway(p)
		} else {
			r.plugInterface(p)
		}
	}
	r.routes()
	r.rules()
	if b.config.Metadata && len(r.interfaces) > 0 {
		k := host.ListenerKey{NetNS: r.ns, Address: "0.0.0.0:" + strconv.Itoa(metadataPort)}
		b.state.Listeners[k] = host.Listener{Scope: neutrino.RouterObject(r.ID), Why: r.why()}
	}
}

// portWhy is the reason of what one port of the router needs.
func portWhy(p neutrino.Port) host.Why {
	return host.Why{Feature: "router", Object: neutrino.PortObject(p.ID)}
}

func (r *router) plugInterface(p neutrino.Port) {
	device := names.QR(p.ID)
	r.plug(r.onLocalVLAN(inside{port: p, ns: r.ns, device: device, why: portWhy(p)}))
	r.addresses(p, device)
	r.interfaces = append(r.interfaces, p)
}

// plugGateway puts the gateway port on the external network: straight on its
// provider bridge, as in the seed, or on the integration bridge when the
// external network is a tunnelled one.
func (r *router) plugGateway(p neutrino.Port) {
	device, n := names.QG(p.ID), r.view.Networks[p.NetworkID]
	in := inside{port: p, ns: r.ns, device: device, why: portWhy(p)}
	if n.NetworkType.IsProvider() {
		bridge, mapped := r.config.BridgeMappings[n.PhysicalNetwork]
		if !mapped {
			r.refuse(p, noMapping(n.PhysicalNetwork))
			return
		}
		in.bridge, in.tag = bridge, uint16(n.SegmentationID) // no tag on a flat network
	} else {
		in = r.onLocalVLAN(in)
	}
	r.plug(in)
	r.addresses(p, device)
	for _, f := range r.floating {
		k := host.AddressKey{NetNS: r.ns, Device: device, Prefix: netip.PrefixFrom(f.FloatingIPAddress, f.FloatingIPAddress.BitLen()).String()}
		why := host.Why{Feature: "router", Object: neutrino.FloatingIPObject(f.ID)}
		r.state.Addresses[k] = host.Address{Announce: true, Why: why}
	}
	r.gateway = &p
	r.probes()
}

// addresses are a port's fixed IPs with the length of their subnets.
func (r *router) addresses(p neutrino.Port, device string) {
	for _, ip := range p.FixedIPs {
		s, ok := r.view.Subnets[ip.SubnetID]
		if !ok {
			continue
		}
		k := host.AddressKey{NetNS: r.ns, Device: device, Prefix: netip.PrefixFrom(ip.IPAddress, s.CIDR.Bits()).String()}
		r.state.Addresses[k] = host.Address{Announce: true, Why: portWhy(p)}
	}
	// A router does not take its own routes from others' advertisements.
	key := host.SysctlKey{NetNS: r.ns, Name: "net.ipv6.conf." + device + ".accept_ra"}
	r.state.Sysctls[key] = host.Sysctl{Value: "0", Why: portWhy(p)}
}

// routes are the default routes of the external subnets, the external subnets
// that the gateway has no address in, and the extra routes. Routes of one
// destination become one with several next hops.
func (r *router) routes() {
	if r.gateway != nil {
		r.defaultRoutes()
	}
	hops := map[host.RouteKey][]string{}
	device := map[host.RouteKey]string{}
	for _, e := range r.Routes {
		k := host.RouteKey{NetNS: r.ns, Dst: e.Destination.Masked().String(), IPv6: e.Destination.Addr().Is6()}
		if e.Destination.Bits() == 0 {
			k.Dst = "default"
		}
		hops[k] = append(hops[k], e.Nexthop.String())
		device[k] = r.towards(e.Nexthop)
	}
	for k, via := range hops {
		if device[k] == "" {
			r.state.Refused = append(r.state.Refused, host.Refusal{Object: neutrino.RouterObject(r.ID),
				Reason: fmt.Sprintf("route %s: no interface of the router has the next hop %s", k.Dst, strings.Join(via, ", "))})
			continue
		}
		slices.Sort(via)
		why := r.why()
		if r.gateway != nil && device[k] == names.QG(r.gateway.ID) {
			why = portWhy(*r.gateway)
		}
		r.state.Routes[k] = host.Route{Via: strings.Join(via, ","), Device: device[k], Why: why}
	}
}

// towards is the device whose subnets have the address, "" for none.
func (r *router) towards(a netip.Addr) string {
	find := func(p neutrino.Port) bool {
		return slices.ContainsFunc(p.FixedIPs, func(ip neutrino.FixedIP) bool {
			return r.view.Subnets[ip.SubnetID].CIDR.Contains(a)
		})
	}
	for _, p := range r.interfaces {
		if find(p) {
			return names.QR(p.ID)
		}
	}
	if r.gateway != nil && find(*r.gateway) {
		return names.QG(r.gateway.ID)
	}
	return ""
}

// defaultRoutes are what leaves by the gateway: they wait for its port, and the
// router itself does not.
func (r *router) defaultRoutes() {
	device := names.QG(r.gateway.ID)
	has := map[neutrino.ID]bool{}
	for _, ip := range r.gateway.FixedIPs {
		has[ip.SubnetID] = true
	}
	for _, s := range r.subnetsOf(r.gateway.NetworkID) {
		v6 := s.IPVersion == 6
		if !has[s.ID] {
			r.state.Routes[host.RouteKey{NetNS: r.ns, Dst: s.CIDR.String(), IPv6: v6}] = host.Route{Device: device, Why: portWhy(*r.gateway)}
			continue
		}
		k := host.RouteKey{NetNS: r.ns, Dst: "default", IPv6: v6}
		if _, taken := r.state.Routes[k]; taken || !s.GatewayIP.IsValid() {
			continue
		}
		if !s.CIDR.Contains(s.GatewayIP) {
			link := netip.PrefixFrom(s.GatewayIP, s.GatewayIP.BitLen()).String()
			r.state.Routes[host.RouteKey{NetNS: r.ns, Dst: link, IPv6: v6}] = host.Route{Device: device, Why: portWhy(*r.gateway)}
		}
		r.state.Routes[k] = host.Route{Via: s.GatewayIP.String(), Device: device, Why: portWhy(*r.gateway)}
	}
}

// gatewayIPv4 is the address that source NAT uses: the gateway port's first
// IPv4 address.
func (r *router) gatewayIPv4() (netip.Addr, bool) {
	if r.gateway == nil {
		return netip.Addr{}, false
	}
	for _, ip := range r.gateway.FixedIPs {
		if ip.IPAddress.Is4() {
			return ip.IPAddress, true
		}
	}
	return netip.Addr{}, false
}

// snat reports whether instances without a floating IP reach out.
func (r *router) snat() bool { return r.Gateway != nil && r.Gateway.EnableSNAT }
