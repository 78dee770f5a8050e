package plan

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"neutrino"
	"neutrino/host"
	"neutrino/plan/names"
)

// dhcp serves each network that is scheduled to this host: a namespace with
// the DHCP port in it and one dnsmasq (dataplane.md section 4).
func dhcp(b *builder) {
	clients := b.clients()
	for _, n := range b.networks {
		p, ok := b.dhcp[n.ID]
		if !ok {
			continue
		}
		d := &server{builder: b, network: n.Network, port: p, vlan: n.LocalVLAN, clients: clients[n.ID],
			dir: path.Join(b.config.StatePath, "dhcp", string(n.ID)), ns: names.DHCPNamespace(n.ID)}
		d.subnets = b.subnetsOf(n.ID)
		d.plug()
		d.metadata()
		if len(d.served()) > 0 {
			d.serve()
			d.mayHold()
		}
	}
}

// server is the DHCP server of one network.
type server struct {
	*builder
	network neutrino.Network
	port    neutrino.Port
	vlan    uint16
	subnets []neutrino.Subnet
	clients []client
	dir, ns string
}

// client is a port as the DHCP server knows it.
type client struct {
	id      neutrino.ID
	mac     neutrino.MAC
	ips     []neutrino.FixedIP
	options []neutrino.DHCPOption
	names   []neutrino.DNSAssignment // of ips, in their order
}

// clients are the ports of each network that a DHCP server writes down.
func (b *builder) clients() map[neutrino.ID][]client {
	out := map[neutrino.ID][]client{}
	add := func(network neutrino.ID, owner string, c client) {
		switch owner {
		case neutrino.OwnerDHCP, "network:router_ha_interface", "network:floatingip", "network:distributed":
			return
		}
		out[network] = append(out[network], c)
	}
	named := func(network neutrino.ID, ips []neutrino.FixedIP, own [2]string) []neutrino.DNSAssignment {
		return neutrino.AssignDNS(ips, own[0], cmp.Or(own[1], b.view.Networks[network].DNSDomain, b.config.DHCP.DNSDomain))
	}
	for id, p := range b.view.Ports {
		add(p.NetworkID, p.DeviceOwner, client{id, p.MAC, p.FixedIPs, p.ExtraDHCPOpts,
			named(p.NetworkID, p.FixedIPs, [...]string{p.DNSName, p.DNSDomain})})
	}
	for id, n := range b.view.Neighbours {
		add(n.NetworkID, n.DeviceOwner, client{id, n.MAC, n.FixedIPs, n.ExtraDHCPOpts,
			named(n.NetworkID, n.FixedIPs, [...]string{n.DNSName, n.DNSDomain})})
	}
	for _, cs := range out {
		slices.SortFunc(cs, func(a, b client) int { return strings.Compare(string(a.id), string(b.id)) })
	}
	return out
}

func (b *builder) subnetsOf(network neutrino.ID) []neutrino.Subnet {
	var out []neutrino.Subnet
	for _, id := range slices.Sorted(maps.Keys(b.view.Subnets)) {
		if s := b.view.Subnets[id]; s.NetworkID == network {
			out = append(out, s)
		}
	}
	return out
}

func (d *server) why() host.Why {
	return host.Why{Feature: "dhcp", Object: neutrino.NetworkObject(d.network.ID)}
}

// plug puts the DHCP port into its namespace: the seed's veth pair, tap… on
// the integration bridge and ns-… inside.
func (d *server) plug() {
	why := host.Why{Feature: "dhcp", Object: neutrino.PortObject(d.port.ID)}
	device := names.NS(d.port.ID)
	d.state.Namespaces[d.ns] = host.Namespace{Why: why}
	d.builder.plug(d.onLocalVLAN(inside{port: d.port, ns: d.ns, device: device, why: why}))
	for _, ip := range d.port.FixedIPs {
		s, ok := d.view.Subnets[ip.SubnetID]
		if !ok {
			continue
		}
		prefix := netip.PrefixFrom(ip.IPAddress, s.CIDR.Bits()).String()
		d.state.Addresses[host.AddressKey{NetNS: d.ns, Device: device, Prefix: prefix}] = host.Address{Why: why}
		if s.GatewayIP.IsValid() && s.CIDR.Contains(s.GatewayIP) && s.GatewayIP != ip.IPAddress {
			k := host.RouteKey{NetNS: d.ns, Dst: "default", IPv6: s.IPVersion == 6}
			if _, taken := d.state.Routes[k]; !taken {
				d.state.Routes[k] = host.Route{Via: s.GatewayIP.String(), Device: device, Why: why}
			}
		}
	}
	for name, value := range map[string]string{"net.ipv4.ip_nonlocal_bind": "1", "net.ipv6.conf.default.accept_ra": "0"} {
		d.state.Sysctls[host.SysctlKey{NetNS: d.ns, Name: name}] = host.Sysctl{Value: value, Why: d.why()}
	}
	d.checksums()
}

// checksums fills in the UDP checksum of answers: some old clients check it,
// and offload leaves it open on a virtual link.
func (d *server) checksums() {
	c := names.DHCPChains(d.config.WrapPrefix)
	for family, port := range map[int]string{4: "68", 6: "546"} {
		t := table{d.builder, d.ns, family, "mangle", d.why()}
		t.chain(c.Wrap("POSTROUTING"), "-p udp -m udp --dport "+port+" -j CHECKSUM --checksum-fill")
		t.hook("POSTROUTING", c.Wrap("POSTROUTING"), 0)
	}
}

// served are the subnets that DHCP answers for: enabled, with an address of
// ours, and not IPv6 that leaves everything to router advertisements.
func (d *server) served() []neutrino.Subnet {
	var out []neutrino.Subnet
	for _, s := range d.subnets {
		if s.EnableDHCP && s.IPv6AddressMode != neutrino.SLAAC && s.IPv6RAMode != neutrino.SLAAC {
			out = append(out, s)
		}
	}
	return out
}

// mayHold are the leases that the server may hold: a lease of a port that is
// gone would keep its address from the next port for a day.
func (d *server) mayHold() {
	address := map[int]netip.Addr{}
	for _, ip := range d.port.FixedIPs {
		address[familyOf(ip.IPAddress)] = ip.IPAddress
	}
	for _, c := range d.clients {
		for _, ip := range c.ips {
			k := host.LeaseKey{Dir: d.dir, IP: ip.IPAddress.String(), MAC: c.mac.String()}
			d.state.Leases[k] = host.Lease{NetNS: d.ns, Device: names.NS(d.port.ID), Server: address[familyOf(ip.IPAddress)].String(), Why: d.why()}
		}
	}
}

// metadata lets the DHCP namespace answer the metadata address where the
// network has a subnet that no router serves.
func (d *server) metadata() {
	if !d.config.Metadata || !d.config.IsolatedMetadata || !slices.ContainsFunc(d.subnets, d.isolated) {
		return
	}
	k := host.AddressKey{NetNS: d.ns, Device: names.NS(d.port.ID), Prefix: metadataAddress + "/32"}
	d.state.Addresses[k] = host.Address{Why: d.why()}
	l := host.ListenerKey{NetNS: d.ns, Address: metadataAddress + ":80"}
	d.state.Listeners[l] = host.Listener{Scope: neutrino.NetworkObject(d.network.ID), Why: d.why()}
}

// isolated reports whether no router port holds the subnet's gateway address.
func (d *server) isolated(s neutrino.Subnet) bool {
	if s.IPVersion != 4 {
		return false
	}
	holds := func(owner string, ips []neutrino.FixedIP) bool {
		return owner == neutrino.OwnerRouter && slices.Contains(ips, neutrino.FixedIP{SubnetID: s.ID, IPAddress: s.GatewayIP})
	}
	for _, p := range d.view.Ports {
		if holds(p.DeviceOwner, p.FixedIPs) {
			return false
		}
	}
	for _, n := range d.view.Neighbours {
		if holds(n.DeviceOwner, n.FixedIPs) {
			return false
		}
	}
	return true
}

// serve is the dnsmasq with its files.
func (d *server) serve() {
	hosts, tagged := d.hosts()
	files := map[string]string{"host": hosts, "addn_hosts": d.addnHosts(), "opts": d.options()}
	loaded := digest(files["host"] + "\x00" + files["addn_hosts"] + "\x00" + files["opts"])
	files["interface"] = names.NS(d.port.ID)
	for name, content := range files {
		d.state.Files[path.Join(d.dir, name)] = host.File{Content: content, Mode: 0o644, Why: d.why()}
	}
	d.state.Files[path.Join(d.dir, "leases")] = host.File{Content: d.leases(), Mode: 0o644, Seed: true, Why: d.why()}
	reload := host.ReloadHUP
	if tagged {
		// dnsmasq 2.90 aborts on a SIGHUP after its first lease when a line of the
		// hosts file sets a tag (seen 4 times of 4); it starts in 50 ms.
		reload = host.ReloadRestart
	}
	d.state.Processes[d.dir] = host.Process{
		NetNS: d.ns, Argv: strings.Join(d.arguments(), "\x00"), Loaded: loaded, Reload: reload, Why: d.why(),
	}
}

// arguments are dnsmasq's, in the order of dataplane.md section 4.2.
func (d *server) arguments() []string {
	c := d.config.DHCP
	a := []string{"dnsmasq", "--no-hosts"}
	if !c.LocalResolv || len(c.DNSServers) > 0 {
		a = append(a, "--no-resolv")
	}
	file := func(option, name string) string { return "--" + option + "=" + path.Join(d.dir, name) }
	a = append(a, file("pid-file", "pid"), file("dhcp-hostsfile", "host"), file("addn-hosts", "addn_hosts"),
		file("dhcp-optsfile", "opts"), file("dhcp-leasefile", "leases"),
		"--dhcp-match=set:ipxe,175", "--dhcp-userclass=set:ipxe6,iPXE", "--local-service", "--bind-dynamic")
	lease := "infinite"
	if c.LeaseDuration >= 0 {
		lease = strconv.Itoa(c.LeaseDuration) + "s"
	}
	size := 0.0
	for _, s := range d.served() {
		var span string
		switch {
		case s.IPVersion == 4:
			span = netmask(s.CIDR)
		case s.CIDR.Bits() < 64:
			continue
		default:
			span = strconv.Itoa(s.CIDR.Bits())
		}
		a = append(a, fmt.Sprintf("--dhcp-range=set:subnet-%s,%s,static,%s,%s", s.ID, s.CIDR.Addr(), span, lease))
		size += math.Exp2(float64(s.CIDR.Addr().BitLen() - s.CIDR.Bits()))
	}
	if d.network.MTU > 0 {
		a = append(a, fmt.Sprintf("--dhcp-option-force=option:mtu,%d", d.network.MTU))
	}
	a = append(a, fmt.Sprintf("--dhcp-lease-max=%d", int64(min(size, 1<<24))))
	conf := c.ConfigFile
	if conf == "" {
		conf = "/dev/null"
	}
	a = append(a, "--conf-file="+conf)
	for _, s := range c.DNSServers {
		a = append(a, "--server="+s)
	}
	return append(a, "--domain="+d.domain())
}

// domain is what the network's clients are told that their domain is.
func (d *server) domain() string {
	return strings.TrimSuffix(cmp.Or(d.network.DNSDomain, d.config.DHCP.DNSDomain), ".")
}

// netmask is an IPv4 prefix's mask in dotted form.
func netmask(p netip.Prefix) string {
	m := uint32(0)
	if p.Bits() > 0 {
		m = math.MaxUint32 << (32 - p.Bits())
	}
	return netip.AddrFrom4([4]byte{byte(m >> 24), byte(m >> 16), byte(m >> 8), byte(m)}).String()
}
