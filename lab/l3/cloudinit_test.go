package l3

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"neutrino"
	"neutrino/lab"
)

// cloudInit has cloud-init's own code say what it reads.
//
//go:embed testdata/cloudinit.py
var cloudInit string

// debianPython is the Python that Debian's packages are for.
const debianPython = "/usr/bin/python3"

// reading is what cloud-init makes of the metadata with one datasource.
type reading struct {
	InstanceID string         `json:"instance_id"`
	Hostname   string         `json:"hostname"`
	Keys       []string       `json:"keys"`
	UserData   string         `json:"user_data"`
	Token      string         `json:"token"`
	EC2        map[string]any `json:"ec2"`
	Network    struct {
		Version   int                       `json:"version"`
		Config    []networkItem             `json:"config"`    // of version 1
		Ethernets map[string]map[string]any `json:"ethernets"` // of version 2
	} `json:"network"`
	Rendered struct {
		Interfaces, Netplan string
		NetworkD            map[string]string `json:"networkd"`
	} `json:"rendered"`
	Warnings []string `json:"warnings"`
}

// networkItem is an interface or a name server of cloud-init's network
// configuration, version 1.
type networkItem struct {
	Type, Name, Address string
	MAC                 string `json:"mac_address"`
	MTU                 int
	AcceptRA            *bool `json:"accept-ra"`
	Subnets             []subnetItem
}

func (n networkItem) String() string {
	ra := "unsaid"
	if n.AcceptRA != nil {
		ra = map[bool]string{true: "on", false: "off"}[*n.AcceptRA]
	}
	return fmt.Sprintf("%s %s %s, mtu %d, advertisements %s", n.Type, n.Name, n.MAC, n.MTU, ra)
}

type subnetItem struct {
	Type, Address, Netmask string
	Routes                 []struct{ Network, Netmask, Gateway string }
}

func (s subnetItem) String() string {
	text := strings.TrimSpace(s.Type + " " + s.Address + " " + s.Netmask)
	for _, r := range s.Routes {
		text += ", " + r.Network + " " + r.Netmask + " via " + r.Gateway
	}
	return text
}

// cloudInitReads runs cloud-init's datasources inside a light instance.
func (w *world) cloudInitReads(g *lab.Guest, clouds ...string) map[string]reading {
	w.Helper()
	tree, err := w.lab.Unpacked(w.ctx, "cloud-init")
	if err != nil {
		w.Skipf("SKIPPED: NO CLOUD-INIT. Its package cannot be had: %v", err)
	}
	cmd := g.Command(w.ctx, append([]string{"env", "PYTHONDONTWRITEBYTECODE=1", "RES_OPTIONS=timeout:1 attempts:1",
		"PYTHONPATH=" + filepath.Join(tree, "usr/lib/python3/dist-packages"), debianPython, "-"}, clouds...)...)
	cmd.Stdin = strings.NewReader(cloudInit)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		w.Fatalf("cloud-init in %s: %v: %s (scripts/install.sh installs what it imports)", g.Name, err, complaint.String())
	}
	said := map[string]reading{}
	w.must(json.Unmarshal(out.Bytes(), &said))
	for cloud, r := range said {
		for _, warning := range r.Warnings {
			// The document that Amazon alone has, and signs.
			if cloud != "aws" || !strings.Contains(warning, "dynamic/instance-identity") {
				w.Errorf("%s: %s: cloud-init warns: %s", g.Name, cloud, warning)
			}
		}
	}
	return said
}

// What the instances of the story are given beside their addresses.
const (
	initKey      = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHz7 me@desk"
	initUserData = "#cloud-config\npackages: [nginx]\n"
)

// initCase is what is beside an IPv4 subnet with DHCP on a network, and what
// cloud-init shall make of an instance there. ADDRESS4 and ADDRESS6 stand for
// the port's own addresses outside of that subnet.
type initCase struct {
	name     string
	clouds   []string
	subnets  []lab.Object
	routed   bool // the subnets have a port of the router
	want     []string
	ra       string // what is said of accepting router advertisements
	servers  []string
	dhcp6    bool // in the EC2 format
	rendered map[string][]string
}

func initCases() []initCase {
	mode := func(cidr string, m neutrino.IPv6Mode) []lab.Object {
		return []lab.Object{{"ip_version": 6, "cidr": cidr, "ipv6_ra_mode": string(m), "ipv6_address_mode": string(m)}}
	}
	both := []string{"openstack", "ec2"}
	return []initCase{
		{name: "init-fixed", clouds: []string{"openstack", "ec2", "aws"}, ra: "off", subnets: []lab.Object{
			{"ip_version": 4, "cidr": "10.89.0.0/25", "enable_dhcp": false, "dns_nameservers": []string{"192.0.2.53"},
				"host_routes": []lab.Object{{"destination": "198.51.100.0/26", "nexthop": "10.89.0.126"}}},
			{"ip_version": 6, "cidr": "2001:db8:89::/64", "gateway_ip": "2001:db8:89::1", "enable_dhcp": false, "dns_nameservers": []string{"2001:db8::53"},
				"host_routes": []lab.Object{{"destination": "2001:db8:900::/40", "nexthop": "2001:db8:89::9"}}}},
			want: []string{"static ADDRESS4 255.255.255.128, 0.0.0.0 0.0.0.0 via 10.89.0.1, 198.51.100.0 255.255.255.192 via 10.89.0.126",
				"static6 ADDRESS6 ffff:ffff:ffff:ffff::, :: :: via 2001:db8:89::1, 2001:db8:900:: ffff:ffff:ff00:: via 2001:db8:89::9"},
			servers: []string{"192.0.2.53", "2001:db8::53"},
			rendered: map[string][]string{
				"interfaces": {"iface eth0 inet dhcp", "accept_ra 0", "address ADDRESS4/25", "route add default gw 10.89.0.1", "-net 198.51.100.0/26 gw 10.89.0.126",
					"address ADDRESS6/64", "route add -A inet6 default gw 2001:db8:89::1", "-A inet6 2001:db8:900::/40 gw 2001:db8:89::9", "dns-nameservers 192.0.2.53 2001:db8::53"},
				"netplan":  {"- ADDRESS4/25", "- ADDRESS6/64", "dhcp4: true", "to: 2001:db8:900::/40"},
				"networkd": {"Address=ADDRESS4/25", "Address=ADDRESS6/64", "DHCP=ipv4", "DNS=192.0.2.53 2001:db8::53", "Gateway=2001:db8:89::9"}}},
		{name: "init-slaac", clouds: both, routed: true, subnets: mode("2001:db8:8a::/64", neutrino.SLAAC), ra: "unsaid",
			want: []string{"ipv6_slaac  ffff:ffff:ffff:ffff::"}, rendered: map[string][]string{"interfaces": {"iface eth0 inet6 auto"}}},
		{name: "init-stateless", clouds: both, routed: true, subnets: mode("2001:db8:8b::/64", neutrino.DHCPv6Stateless), ra: "unsaid",
			want: []string{"ipv6_dhcpv6-stateless  ffff:ffff:ffff:ffff::"}, rendered: map[string][]string{"interfaces": {"iface eth0 inet6 auto"}}},
		{name: "init-stateful", clouds: both, routed: true, subnets: mode("2001:db8:8c::/64", neutrino.DHCPv6Stateful), ra: "on", dhcp6: true,
			want: []string{"ipv6_dhcpv6-stateful  ffff:ffff:ffff:ffff::"}, rendered: map[string][]string{"interfaces": {"iface eth0 inet6 dhcp"}, "netplan": {"dhcp6: true"}}},
	}
}

// TestCloudInitReadsTheMetadata lets cloud-init's own code read the metadata from
// inside instances whose addresses come in every way.
func TestCloudInitReadsTheMetadata(t *testing.T) {
	w := story(t)
	router := w.create("routers", lab.Object{"name": "init"}).ID()
	for _, c := range initCases() {
		t.Run(c.name, func(t *testing.T) { w.with(t).cloudInit(router, c) })
	}
}

func (w *world) cloudInit(router string, c initCase) {
	network := w.create("networks", lab.Object{"name": c.name})
	var fixed []lab.Object
	for i, s := range append([]lab.Object{{"ip_version": 4, "cidr": "10.88.0.0/24"}}, c.subnets...) {
		s["network_id"] = network.ID()
		id := w.create("subnets", s).ID()
		fixed = append(fixed, lab.Object{"subnet_id": id})
		if i == 0 || c.routed {
			w.must(w.lab.AddInterface(w.ctx, router, id))
			w.Cleanup(func() { w.late(w.lab.RemoveInterface(context.Background(), router, id)) })
		}
	}
	g := w.leased(lab.InstanceSpec{Name: c.name, Network: network.ID(), Port: lab.Object{"fixed_ips": fixed,
		"binding:profile": lab.Object{"public_keys": lab.Object{"desk": initKey},
			"user_data": base64.StdEncoding.EncodeToString([]byte(initUserData))}}})
	port, err := w.api.Get(w.ctx, "ports", g.PortID)
	w.must(err)
	var own [2]string // ADDRESS4 and ADDRESS6
	for _, a := range port.Addresses()[1:] {
		if netip.MustParseAddr(a).Is4() {
			own[0] = a
		} else {
			own[1] = a
		}
	}
	said := w.cloudInitReads(g, c.clouds...)
	for cloud, r := range said {
		if r.InstanceID != g.UUID || r.Hostname != c.name || !slices.Equal(r.Keys, []string{initKey}) || r.UserData != initUserData {
			w.Errorf("%s: cloud-init reads id %q, name %q, keys %q, user data %q", cloud, r.InstanceID, r.Hostname, r.Keys, r.UserData)
		}
		if (cloud == "aws") != (r.Token != "") {
			w.Errorf("%s: the token is %q", cloud, r.Token)
		}
		if got := r.EC2["local-ipv4"]; got != port.Addresses()[0] {
			w.Errorf("%s: local-ipv4 is %v", cloud, got)
		}
		if cloud != "openstack" {
			w.configuredByEC2(g, r, c)
		}
	}
	w.configuredByNetworkData(g, said["openstack"], c, strings.NewReplacer("ADDRESS4", own[0], "ADDRESS6", own[1]))
}

// configuredByNetworkData looks at what became of network_data.json: the
// interface of the port alone, with its MAC, MTU and addresses, and the name
// servers; in cloud-init's own words and in those of all that configure it.
func (w *world) configuredByNetworkData(g *lab.Guest, r reading, c initCase, own *strings.Replacer) {
	w.Helper()
	want := []string{fmt.Sprintf("physical eth0 %s, mtu %d, advertisements %s", g.MAC, g.MTU, c.ra), "dhcp4"}
	for _, text := range c.want {
		want = append(want, own.Replace(text))
	}
	for _, address := range c.servers {
		want = append(want, "nameserver "+address)
	}
	var got []string
	for _, item := range r.Network.Config {
		if item.Type == "nameserver" {
			got = append(got, "nameserver "+item.Address)
			continue
		}
		got = append(got, item.String())
		for _, s := range item.Subnets {
			got = append(got, s.String())
		}
	}
	if r.Network.Version != 1 || !slices.Equal(got, want) {
		w.Errorf("version %d, cloud-init makes of network_data.json\n%s\nwant\n%s", r.Network.Version, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	text := map[string]string{"interfaces": r.Rendered.Interfaces, "netplan": r.Rendered.Netplan, "networkd": r.Rendered.NetworkD["eth0"]}
	common := map[string][]string{"interfaces": {fmt.Sprint("mtu ", g.MTU)}, "netplan": {"macaddress: " + g.MAC, fmt.Sprint("mtu: ", g.MTU)},
		"networkd": {"MACAddress=" + g.MAC, fmt.Sprint("MTUBytes=", g.MTU)}}
	for renderer, words := range common {
		for _, word := range append(words, c.rendered[renderer]...) {
			if word = own.Replace(word); !strings.Contains(text[renderer], word) {
				w.Errorf("%s has no %q:\n%s", renderer, word, text[renderer])
			}
		}
		if c.routed && strings.Contains(strings.ToLower(text[renderer]), "gateway") || c.routed && strings.Contains(text[renderer], "default gw") {
			w.Errorf("%s has a way out beside the advertised one:\n%s", renderer, text[renderer])
		}
	}
}

// configuredByEC2 looks at what became of the interfaces of the EC2 format: DHCP
// for what DHCP gives, and nothing by hand.
func (w *world) configuredByEC2(g *lab.Guest, r reading, c initCase) {
	w.Helper()
	nic := r.Network.Ethernets["eth0"]
	match, _ := nic["match"].(map[string]any)
	if r.Network.Version != 2 || len(r.Network.Ethernets) != 1 || match["macaddress"] != g.MAC || nic["dhcp4"] != true ||
		nic["dhcp6"] != c.dhcp6 || nic["addresses"] != nil {
		w.Errorf("cloud-init makes of the EC2 format %+v, want DHCP, DHCPv6 %v and no address by hand", r.Network, c.dhcp6)
	}
}
