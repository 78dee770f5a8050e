package metadata

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"

	"neutrino"
)

// openstackVersions are the versions of the OpenStack format, as Nova lists
// them. A later one only adds files.
var openstackVersions = [...]string{"2012-08-10", "2013-04-04", "2013-10-17", "2015-10-15", "2016-06-30", "2016-10-06",
	"2017-02-22", "2018-08-27", "2020-10-14", latest}

// Since which version a file is there.
const (
	sinceVendorData  = "2013-10-17"
	sinceNetworkData = "2015-10-15"
	sinceVendorData2 = "2016-10-06"
)

// openstackTree is the OpenStack format. Versions sort by their names, latest last.
func openstackTree(i Instance, version string) tree {
	t := tree{"meta_data.json": object(metaData(i))}
	if len(i.UserData) > 0 {
		t["user_data"] = file{kindData, i.UserData}
	}
	for name, since := range map[string]string{"vendor_data.json": sinceVendorData, "vendor_data2.json": sinceVendorData2} {
		if version >= since {
			t[name] = object(struct{}{})
		}
	}
	if version >= sinceNetworkData {
		t["network_data.json"] = object(networkData(i))
	}
	return t
}

// seedBytes is how much randomness an instance gets for its own generator, as
// Nova gives it.
const seedBytes = 512

type key struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Data string `json:"data"`
}

type metaDataFile struct {
	UUID        string            `json:"uuid"`
	Name        string            `json:"name"`
	Hostname    string            `json:"hostname"`
	ProjectID   string            `json:"project_id"`
	LaunchIndex int               `json:"launch_index"`
	Meta        map[string]string `json:"meta"`
	PublicKeys  map[string]string `json:"public_keys,omitempty"`
	Keys        []key             `json:"keys,omitempty"`
	Devices     []string          `json:"devices"`
	RandomSeed  string            `json:"random_seed"`
}

func metaData(i Instance) metaDataFile {
	seed := make([]byte, seedBytes)
	_, _ = rand.Read(seed) // it never fails
	m := metaDataFile{UUID: i.id(), Name: i.hostname(), Hostname: i.hostname(), ProjectID: i.ProjectID, Meta: map[string]string{},
		PublicKeys: i.PublicKeys, Devices: []string{}, RandomSeed: base64.StdEncoding.EncodeToString(seed)}
	for _, name := range slices.Sorted(maps.Keys(i.PublicKeys)) {
		m.Keys = append(m.Keys, key{name, "ssh", i.PublicKeys[name]})
	}
	return m
}

type networkDataFile struct {
	Links    []linkData    `json:"links"`
	Networks []addressData `json:"networks"`
	Services []serviceData `json:"services"`
}

type linkData struct {
	ID   string       `json:"id"`
	VIF  neutrino.ID  `json:"vif_id"`
	Type string       `json:"type"`
	MTU  int          `json:"mtu,omitempty"`
	MAC  neutrino.MAC `json:"ethernet_mac_address"`
}

type addressData struct {
	ID        string        `json:"id"`
	Type      string        `json:"type"`
	Link      string        `json:"link"`
	NetworkID neutrino.ID   `json:"network_id"`
	IP        string        `json:"ip_address,omitempty"`
	Netmask   string        `json:"netmask,omitempty"`
	Routes    []routeData   `json:"routes,omitempty"`
	Services  []serviceData `json:"services,omitempty"`
}

type routeData struct {
	Network string `json:"network"`
	Netmask string `json:"netmask"`
	Gateway string `json:"gateway"`
}

type serviceData struct {
	Type    string `json:"type"`
	Address string `json:"address"`
}

func networkData(i Instance) networkDataFile {
	d := networkDataFile{Links: []linkData{}, Networks: []addressData{}, Services: []serviceData{}}
	for _, f := range i.Interfaces {
		d.Links = append(d.Links, linkData{ID: f.Device, VIF: f.Port, Type: "ovs", MTU: f.MTU, MAC: f.MAC})
		for _, a := range f.Addresses {
			n := addressOn(a)
			n.ID, n.Link, n.NetworkID = fmt.Sprintf("network%d", len(d.Networks)), f.Device, f.NetworkID
			d.Networks = append(d.Networks, n)
			for _, s := range servers(a.Subnet) {
				if !slices.Contains(d.Services, s) {
					d.Services = append(d.Services, s)
				}
			}
		}
	}
	return d
}

// byDHCP reports whether the instance asks DHCP, or DHCPv6, for the address.
func byDHCP(a Address) bool {
	mode := a.Subnet.IPv6AddressMode
	return a.Subnet.EnableDHCP && (a.IP.Is4() || mode == neutrino.DHCPv6Stateful || mode == "" && a.Subnet.IPv6RAMode == "")
}

// addressOn says how the instance gets an address: from DHCP, which then says
// the rest; by an IPv6 mode; or as it stands here.
func addressOn(a Address) addressData {
	family, mode := "ipv6", a.Subnet.IPv6AddressMode
	if a.IP.Is4() {
		family, mode = "ipv4", ""
	}
	switch {
	case mode != "":
		family += "_" + string(mode)
	case byDHCP(a):
		return addressData{Type: family + "_dhcp"}
	}
	n := addressData{Type: family, IP: a.IP.String(), Netmask: netmask(a.Subnet.CIDR), Services: servers(a.Subnet)}
	// With an IPv6 mode the router's advertisement says the way out. One said
	// here too would win, and where the router is not ours lead to nobody: the
	// subnet's gateway_ip is then only a word.
	if gw := a.Subnet.GatewayIP; gw.IsValid() && mode == "" {
		n.Routes = append(n.Routes, routeTo(netip.PrefixFrom(unspecified(gw), 0), gw))
	}
	for _, r := range a.Subnet.HostRoutes {
		n.Routes = append(n.Routes, routeTo(r.Destination, r.Nexthop))
	}
	return n
}

// unspecified is "0.0.0.0" or "::", as the address is.
func unspecified(a netip.Addr) netip.Addr {
	if a.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

func routeTo(p netip.Prefix, gw netip.Addr) routeData {
	return routeData{Network: p.Addr().String(), Netmask: netmask(p), Gateway: gw.String()}
}

// netmask is the prefix's length in the old form: "255.255.255.0", "ffff:ffff::".
func netmask(p netip.Prefix) string {
	ip, _ := netip.AddrFromSlice(net.CIDRMask(p.Bits(), p.Addr().BitLen()))
	return ip.String()
}

func servers(s neutrino.Subnet) []serviceData {
	var out []serviceData
	for _, a := range s.DNSNameservers {
		out = append(out, serviceData{"dns", a.String()})
	}
	return out
}
