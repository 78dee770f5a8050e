package metadata

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"neutrino"
	"neutrino/host"
	"neutrino/host/realtest"
	"neutrino/reconcile"
	"neutrino/view"
)

type inNamespaces struct{ *testing.M }

func (m inNamespaces) Run() int {
	if os.Geteuid() != 0 {
		return m.M.Run()
	}
	return realtest.Main(m.M)
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(inNamespaces{m}) }

const (
	webKey  = "ssh-ed25519 AAAAweb me@desk"
	webData = "#cloud-config\nhostname: web\n"
)

// cloud is a host with two routers of two projects that use the same addresses,
// and an isolated network.
func cloud() *view.Host {
	v := view.New("net1")
	for _, n := range []neutrino.ID{"red", "blue", "lone"} {
		v.Networks[n] = view.Network{LocalVLAN: 1, DHCP: true, Network: neutrino.Network{ID: n, MTU: 1458}}
		v.Subnets["s-"+n] = neutrino.Subnet{ID: "s-" + n, NetworkID: n, IPVersion: 4, EnableDHCP: true, CIDR: netip.MustParsePrefix("10.1.0.0/24"),
			GatewayIP: netip.MustParseAddr("10.1.0.1"), DNSNameservers: []netip.Addr{netip.MustParseAddr("192.0.2.53")}}
	}
	v.Subnets["s6-red"] = neutrino.Subnet{ID: "s6-red", NetworkID: "red", IPVersion: 6, EnableDHCP: true, CIDR: netip.MustParsePrefix("2001:db8::/64"),
		GatewayIP: netip.MustParseAddr("2001:db8::1"), IPv6RAMode: neutrino.SLAAC, IPv6AddressMode: neutrino.SLAAC,
		HostRoutes: []neutrino.HostRoute{{Destination: netip.MustParsePrefix("2001:db8:9::/48"), Nexthop: netip.MustParseAddr("2001:db8::9")}}}
	for _, r := range []string{"red", "blue"} {
		v.Ports["qr-"+neutrino.ID(r)] = neutrino.Port{ID: "qr-" + neutrino.ID(r), NetworkID: neutrino.ID(r), DeviceOwner: neutrino.OwnerRouter,
			DeviceID: "router-" + r, FixedIPs: fixed("s-"+r, "10.1.0.1")}
	}
	v.Ports["red-web-port"] = neutrino.Port{ID: "red-web-port", NetworkID: "red", DeviceOwner: "compute:nova", DeviceID: "red-web", ProjectID: "redp",
		Name: "web_1", MAC: neutrino.MAC{0xfa, 0x16, 0x3e, 1, 2, 3}, Profile: neutrino.Opaque(`{"public_keys":{"desk":"` + webKey + `"},"user_data":"I2Nsb3VkLWNvbmZpZwpob3N0bmFtZTogd2ViCg=="}`),
		FixedIPs: append(fixed("s-red", "10.1.0.7"), fixed("s6-red", "2001:db8::7")...)}
	v.Neighbours["blue-db-port"] = view.Neighbour{ID: "blue-db-port", NetworkID: "blue", DeviceOwner: "compute:nova", DeviceID: "blue-db", ProjectID: "bluep", Host: "c1",
		MAC: neutrino.MAC{0xfa, 0x16, 0x3e, 9, 9, 9}, FixedIPs: fixed("s-blue", "10.1.0.7"), Profile: `{"user_data":"plain text"}`}
	v.Neighbours["lone-port"] = view.Neighbour{ID: "lone-port", NetworkID: "lone", DeviceID: "lone-vm", Host: "c1", MAC: loneMAC, FixedIPs: fixed("s-lone", "10.1.0.7")}
	v.FloatingIPs["f"] = neutrino.FloatingIP{ID: "f", RouterID: "router-red", PortID: "red-web-port",
		FloatingIPAddress: netip.MustParseAddr("203.0.113.5"), FixedIPAddress: netip.MustParseAddr("10.1.0.7")}
	return v
}

func fixed(subnet, ip string) []neutrino.FixedIP {
	return []neutrino.FixedIP{{SubnetID: neutrino.ID(subnet), IPAddress: netip.MustParseAddr(ip)}}
}

var loneMAC = neutrino.MAC{0xfa, 0x16, 0x3e, 7, 7, 7}

// truth is a scope in which everybody has the address that the view gives.
type truth struct {
	v     *view.Host
	scope string
}

func honest(v *view.Host) func(host.Listener) resolver {
	return func(l host.Listener) resolver { return truth{v, l.Scope} }
}

func (r truth) mac(client netip.Addr) (neutrino.MAC, error) {
	for c := range candidates(r.v) {
		if reachOf(r.v, r.scope).has(c, client) {
			return c.MAC, nil
		}
	}
	return neutrino.MAC{}, fmt.Errorf("no neighbour has the address %s", client)
}

func (r truth) close() {}

// asking looks for who asks in a scope by an address that is his own.
func asking(v *view.Host, scope, client string) (Instance, bool) {
	a := Asker{Scope: scope, Client: netip.MustParseAddr(client)}
	r := reachOf(v, scope)
	for c := range candidates(v) {
		if r.has(c, a.Client.Unmap().WithZone("")) {
			a.MAC = c.MAC
		}
	}
	i, err := directory(v).Find(a)
	return i, err == nil
}

func directory(v *view.Host) *Directory {
	d := &Directory{}
	d.View(v)
	return d
}

// Who asks depends on where the request came in and on the address, in whatever
// form it is written, and on nothing else.
func TestIdentityIsTheScopeAndTheAddress(t *testing.T) {
	v, twins := cloud(), neutrino.MAC{2, 2}
	v.Neighbours["twin"] = view.Neighbour{ID: "twin", NetworkID: "lone", DeviceID: "twin", Host: "c1", MAC: twins, FixedIPs: fixed("s-lone", "10.1.0.8")}
	v.Neighbours["twin2"] = view.Neighbour{ID: "twin2", NetworkID: "lone", DeviceID: "twin2", Host: "c1", MAC: twins, FixedIPs: fixed("s-lone", "10.1.0.8")}
	v.Subnets["s2-red"] = neutrino.Subnet{ID: "s2-red", NetworkID: "red", CIDR: netip.MustParsePrefix("10.2.0.0/24")}
	v.Neighbours["aside"] = view.Neighbour{ID: "aside", NetworkID: "red", DeviceID: "aside", Host: "c1", MAC: neutrino.MAC{2, 3}, FixedIPs: fixed("s2-red", "10.2.0.7")}
	for _, c := range []struct{ scope, client, want string }{
		{"router/router-red", "10.1.0.7", "red-web"},
		{"router/router-blue", "10.1.0.7", "blue-db"},
		{"network/lone", "10.1.0.7", "lone-vm"},
		{"network/red", "10.1.0.7", "red-web"},
		{"router/router-red", "::ffff:10.1.0.7", "red-web"},
		{"router/router-red", "2001:db8::7", ""}, // the router has no port in that subnet
		{"network/red", "2001:db8::7", "red-web"},
		{"router/router-red", "fe80::f816:3eff:fe01:203", "red-web"},
		{"network/red", "fe80::f816:3eff:fe01:203%qr-red", "red-web"},
		{"router/router-blue", "fe80::f816:3eff:fe01:203", ""},
		{"router/router-red", "fe80::1", ""},
		{"router/router-red", "10.1.0.1", ""}, // the router itself
		{"router/router-red", "10.1.0.9", ""},
		{"router/router-red", "10.2.0.7", ""}, // on the network, but not of the router's subnets
		{"network/red", "10.2.0.7", "aside"},
		{"network/lone", "10.1.0.8", ""}, // two fit
		{"router/lone", "10.1.0.7", ""}, {"network/router-red", "10.1.0.7", ""}, {"", "10.1.0.7", ""}, {"router/", "10.1.0.7", ""},
	} {
		i, ok := asking(v, c.scope, c.client)
		if i.DeviceID != c.want || ok != (c.want != "") {
			t.Errorf("%s from %s is %q, %v, want %q", c.client, c.scope, i.DeviceID, ok, c.want)
		}
	}
	if _, err := directory(v).Find(Asker{Scope: "network/lone", MAC: loneMAC}); err == nil {
		t.Error("no address is somebody")
	}
	if _, err := (&Directory{}).Find(Asker{"network/lone", netip.MustParseAddr("10.1.0.7"), loneMAC}); err == nil {
		t.Error("without a view somebody is known")
	}
}

func TestAnotherProjectsPortWithTheSameDeviceIDIsNotOfTheInstance(t *testing.T) {
	v := cloud()
	v.Neighbours["red2"] = view.Neighbour{ID: "red2", NetworkID: "lone", DeviceID: "red-web", ProjectID: "redp", FixedIPs: fixed("s-lone", "10.1.0.20")}
	v.Neighbours["spy"] = view.Neighbour{ID: "spy", NetworkID: "blue", DeviceID: "red-web", ProjectID: "bluep", Host: "c1", MAC: neutrino.MAC{2, 6}, FixedIPs: fixed("s-blue", "10.1.0.66")}
	i, _ := asking(v, "router/router-red", "10.1.0.7")
	var ports []neutrino.ID
	for _, f := range i.Interfaces {
		ports = append(ports, f.Port)
	}
	if fmt.Sprint(ports) != "[red-web-port red2]" {
		t.Errorf("ports %v", ports)
	}
	spy, ok := asking(v, "router/router-blue", "10.1.0.66")
	if !ok || len(spy.PublicKeys) != 0 || len(spy.UserData) != 0 || len(spy.Interfaces) != 1 {
		t.Errorf("the spy learns %+v", spy)
	}
}

func TestProfilesOfAnyFormAreRead(t *testing.T) {
	for profile, want := range map[string]string{
		``: "", `{}`: "", `[]`: "", `{"user_data":7}`: "", `{"user_data":"I2Nsb3Vk"}`: "#cloud", `{"user_data":"#!/bin/sh"}`: "#!/bin/sh",
		`{"user_data":"#x","public_keys":[1]}`: "#x",
	} {
		keys, data := readProfile(neutrino.Opaque(profile))
		if string(data) != want || len(keys) != 0 {
			t.Errorf("%s gives %q and %v", profile, data, keys)
		}
	}
}

// on opens a socket on loopback for a scope and returns its address. The client
// is 127.0.0.1, so the view of the test must have it.
func on(t *testing.T, h *Hand, scope string) string {
	t.Helper()
	if os.Geteuid() == 0 {
		realtest.Run(t, "ip", "link", "set", "lo", "up") // in the namespace of the test binary
	}
	probe, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := probe.Addr().String()
	probe.Close()
	apply(t, h, map[host.ListenerKey]host.Listener{{Address: address}: {Scope: scope}})
	return "http://" + address
}

func apply(t *testing.T, h *Hand, put map[host.ListenerKey]host.Listener) {
	t.Helper()
	if err := h.Apply(t.Context(), reconcile.Diff[host.ListenerKey, host.Listener]{Put: put}); err != nil {
		t.Fatal(err)
	}
}

// local is the cloud with its instances at 127.0.0.1.
func local() *view.Host {
	v := cloud()
	p := v.Ports["red-web-port"]
	p.FixedIPs = append(fixed("s-red", "127.0.0.1"), p.FixedIPs[1:]...)
	v.Ports[p.ID] = p
	f := v.FloatingIPs["f"]
	f.FixedIPAddress = netip.MustParseAddr("127.0.0.1")
	v.FloatingIPs["f"] = f
	for _, id := range []neutrino.ID{"blue-db-port", "lone-port"} {
		n := v.Neighbours[id]
		n.FixedIPs = fixed(string(n.FixedIPs[0].SubnetID), "127.0.0.1")
		v.Neighbours[id] = n
	}
	return v
}

func newHand(t *testing.T, o Options) *Hand {
	h := New(o)
	t.Cleanup(h.Close)
	return h
}

func client(t *testing.T) *http.Client {
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 10 * time.Second}
}

func get(t *testing.T, c *http.Client, url string) (int, string) {
	t.Helper()
	r, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

// What cloud-init's datasources read, in their order: each must answer, and
// every name that a list gives must be there.
func TestCloudInitFindsAllThatItReads(t *testing.T) {
	h := newHand(t, Options{resolve: honest(local()), Lookup: directory(local()).Find})
	base, c := on(t, h, "router/router-red"), client(t)
	for path, want := range map[string]string{
		"/openstack":                                      "latest",
		"/openstack/2018-08-27/meta_data.json":            `"uuid":"red-web"`,
		"/openstack/latest/meta_data.json":                `"public_keys":{"desk":"` + webKey + `"}`,
		"/openstack/2015-10-15/user_data":                 webData,
		"/openstack/2018-08-27/vendor_data.json":          "{}",
		"/openstack/2018-08-27/vendor_data2.json":         "{}",
		"/openstack/2018-08-27/network_data.json":         `"type":"ipv4_dhcp"`,
		"/openstack/2012-08-10":                           "meta_data.json\nuser_data",
		"/":                                               "2009-04-04\nlatest",
		"/latest":                                         "meta-data/\nuser-data",
		"/2009-04-04/meta-data/instance-id":               "red-web",
		"/2009-04-04/user-data":                           webData,
		"/latest/user-data":                               webData,
		"/latest/meta-data/hostname":                      "web-1",
		"/latest/meta-data/local-hostname":                "web-1",
		"/latest/meta-data/local-ipv4":                    "127.0.0.1",
		"/latest/meta-data/public-ipv4":                   "203.0.113.5",
		"/latest/meta-data/mac":                           "fa:16:3e:01:02:03",
		"/latest/meta-data/public-keys/":                  "0=desk",
		"/latest/meta-data/public-keys":                   "0=desk",
		"/latest/meta-data/public-keys/0":                 "openssh-key",
		"/latest//meta-data///public-keys/0/openssh-key/": webKey,
	} {
		if code, body := get(t, c, base+path); code != 200 || !strings.Contains(body, want) {
			t.Errorf("%s answers %d %q, want %q", path, code, body, want)
		}
	}
	for _, path := range []string{"/2021-03-23/meta-data/instance-id", "/latest/meta-data/public-keys/1/openssh-key",
		"/openstack/2012-08-10/network_data.json", "/openstack/2099-01-01/meta_data.json", "/openstack/latest/../../etc/passwd", "/etc/passwd"} {
		if code, body := get(t, c, base+path); code != 404 {
			t.Errorf("%s answers %d %q", path, code, body)
		}
	}
	if n := crawl(t, c, base+"/2009-04-04/meta-data/"); n < 10 {
		t.Errorf("cloud-init would read %d values", n)
	}
}

// crawl reads every leaf below a list, as cloud-init's EC2 reader does.
func crawl(t *testing.T, c *http.Client, url string) (leaves int) {
	code, body := get(t, c, url)
	if code != 200 {
		t.Errorf("%s was listed and answers %d", url, code)
	}
	for _, name := range strings.Fields(body) {
		if strings.HasSuffix(name, "/") {
			leaves += crawl(t, c, url+name)
			continue
		}
		if id, _, isKey := strings.Cut(name, "="); isKey {
			name = id + "/openssh-key"
		}
		if code, _ := get(t, c, url+name); code != 200 {
			t.Errorf("%s was listed and answers %d", url+name, code)
		}
		leaves++
	}
	return leaves
}

func TestNetworkDataSaysHowEachAddressComes(t *testing.T) {
	v := cloud()
	s := v.Subnets["s-red"]
	s.EnableDHCP, s.HostRoutes = false, []neutrino.HostRoute{{Destination: netip.MustParsePrefix("192.0.2.0/25"), Nexthop: netip.MustParseAddr("10.1.0.254")}}
	v.Subnets["s-red"] = s
	i, _ := asking(v, "router/router-red", "10.1.0.7")
	got := string(object(networkData(i)).body)
	for _, want := range []string{
		`"links":[{"id":"tapred-web-por","vif_id":"red-web-port","type":"ovs","mtu":1458,"ethernet_mac_address":"fa:16:3e:01:02:03"}]`,
		`{"id":"network0","type":"ipv4","link":"tapred-web-por","network_id":"red","ip_address":"10.1.0.7","netmask":"255.255.255.0",` +
			`"routes":[{"network":"0.0.0.0","netmask":"0.0.0.0","gateway":"10.1.0.1"},{"network":"192.0.2.0","netmask":"255.255.255.128","gateway":"10.1.0.254"}],` +
			`"services":[{"type":"dns","address":"192.0.2.53"}]}`,
		`{"id":"network1","type":"ipv6_slaac","link":"tapred-web-por","network_id":"red","ip_address":"2001:db8::7","netmask":"ffff:ffff:ffff:ffff::",` +
			`"routes":[{"network":"2001:db8:9::","netmask":"ffff:ffff:ffff::","gateway":"2001:db8::9"}]}`,
		`"services":[{"type":"dns","address":"192.0.2.53"}]}`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("network_data.json has no\n%s\n%s", want, got)
		}
	}
}

// An instance whose IPv6 addresses come by router advertisement is told its way
// out by the same: the subnet's gateway_ip need not be who advertises.
func TestTheWayOutIsSaidWhereNothingElseSaysIt(t *testing.T) {
	for mode, said := range map[neutrino.IPv6Mode]bool{"": true, neutrino.SLAAC: false, neutrino.DHCPv6Stateless: false, neutrino.DHCPv6Stateful: false} {
		v := cloud()
		s := v.Subnets["s6-red"]
		s.EnableDHCP, s.IPv6RAMode, s.IPv6AddressMode = mode != "", "", mode
		v.Subnets["s6-red"] = s
		i, _ := asking(v, "router/router-red", "10.1.0.7")
		got := string(object(networkData(i)).body)
		if strings.Contains(got, `"gateway":"2001:db8::1"`) != said || !strings.Contains(got, `"gateway":"2001:db8::9"`) {
			t.Errorf("mode %q: a default route should be said: %v, and the host route: %s", mode, said, got)
		}
	}
}

// cloud-init asks DHCPv6 wherever "ipv6s" is, and gives all addresses but the
// first of "local-ipv4s" by hand, with the one subnet's prefix.
func TestTheEC2FormatListsWhatDHCPGives(t *testing.T) {
	const dir = "meta-data/network/interfaces/macs/fa:16:3e:01:02:03/"
	for mode, listed := range map[neutrino.IPv6Mode]bool{"": true, neutrino.SLAAC: false, neutrino.DHCPv6Stateless: false, neutrino.DHCPv6Stateful: true} {
		for _, dhcp := range []bool{true, false} {
			if mode != "" && !dhcp {
				continue // refused by the API
			}
			v := cloud()
			s := v.Subnets["s6-red"]
			s.EnableDHCP, s.IPv6RAMode, s.IPv6AddressMode = dhcp, mode, mode
			v.Subnets["s6-red"] = s
			i, _ := asking(v, "router/router-red", "10.1.0.7")
			if got := string(ec2Tree(i)[dir+"ipv6s"].body); (got == "2001:db8::7") != (listed && dhcp) || !listed && got != "" {
				t.Errorf("mode %q, DHCP %v: ipv6s is %q", mode, dhcp, got)
			}
		}
	}
	v := cloud()
	v.Subnets["a-red"] = neutrino.Subnet{ID: "a-red", NetworkID: "red", IPVersion: 4, CIDR: netip.MustParsePrefix("10.9.0.0/16")}
	p := v.Ports["red-web-port"]
	p.FixedIPs = append(append(fixed("a-red", "10.9.0.9"), p.FixedIPs...), fixed("s-red", "10.1.0.8")...)
	v.Ports[p.ID] = p
	i, _ := asking(v, "router/router-red", "10.1.0.7")
	listed := ec2Tree(i)
	if addresses, cidr := string(listed[dir+"local-ipv4s"].body), string(listed[dir+"subnet-ipv4-cidr-block"].body); addresses != "10.1.0.7\n10.1.0.8" || cidr != "10.1.0.0/24" {
		t.Errorf("addresses %q of %q", addresses, cidr)
	}
}

func TestAnInstanceWithoutANameOrKeysIsAnsweredToo(t *testing.T) {
	h := newHand(t, Options{resolve: honest(local()), Lookup: directory(local()).Find})
	base, c := on(t, h, "network/lone"), client(t)
	if _, body := get(t, c, base+"/latest/meta-data/hostname"); body != "host-127-0-0-1" {
		t.Errorf("hostname %q", body)
	}
	for _, path := range []string{"/latest/user-data", "/openstack/latest/user_data", "/latest/meta-data/public-keys/", "/latest/meta-data/public-ipv4"} {
		if code, _ := get(t, c, base+path); code != 404 {
			t.Errorf("%s answers %d", path, code)
		}
	}
	if _, body := get(t, client(t), on(t, h, "router/router-blue")+"/latest/user-data"); body != "plain text" {
		t.Errorf("user data %q", body)
	}
}

func TestOneAddressCannotTakeEverything(t *testing.T) {
	h := newHand(t, Options{resolve: honest(local()), Lookup: directory(local()).Find, Limits: Limits{ConnectionsPerSource: 2, HeaderBytes: 4096,
		Base: Rate{Requests: 5, Window: time.Hour}}})
	base := on(t, h, "network/lone")
	address := strings.TrimPrefix(base, "http://")
	var held []net.Conn
	for range 2 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
	}
	realtest.Eventually(t, "the third connection is refused", func() bool {
		_, err := client(t).Get(base + "/")
		return err != nil
	})
	for _, c := range held {
		c.Close()
	}
	c := client(t)
	realtest.Eventually(t, "there is a place again", func() bool {
		r, err := c.Get(base + "/latest/meta-data/instance-id")
		if err == nil {
			io.Copy(io.Discard, r.Body)
			r.Body.Close()
		}
		return err == nil
	})
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, base, nil)
	req.Header.Set("Cookie", strings.Repeat("x", 20<<10))
	if r, err := client(t).Do(req); err == nil {
		r.Body.Close()
		if r.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("a large header answers %d", r.StatusCode)
		}
	}
	codes := map[int]int{}
	for range 8 {
		code, _ := get(t, c, base+"/latest/meta-data/instance-id")
		codes[code]++
	}
	if codes[200] != 4 || codes[429] != 4 {
		t.Errorf("answers %v, want 4 more of 5 and then 429", codes)
	}
}

func TestRatesFillUpAgain(t *testing.T) {
	r := newRates(Rate{Requests: 10, Window: 10 * time.Second}, Rate{Requests: 2, Window: time.Second})
	s, now := source{scope: "network/x", client: netip.MustParseAddr("10.0.0.1")}, time.Unix(1000, 0)
	passed := func(at time.Time) (n int) {
		for range 20 {
			if r.allow(s, at) {
				n++
			}
		}
		return n
	}
	if n := passed(now); n != 2 {
		t.Errorf("%d in a burst of 2", n)
	}
	total := 2
	for i := range 9 {
		total += passed(now.Add(time.Duration(i+1) * time.Second))
	}
	if total < 18 || total > 20 { // 10 at once, and one each second
		t.Errorf("%d in ten seconds", total)
	}
	if n := passed(now.Add(time.Hour)); n != 2 || len(r.buckets) != 1 {
		t.Errorf("after an hour %d and %d buckets", n, len(r.buckets))
	}
}

func FuzzPaths(f *testing.F) {
	for _, p := range []string{"/", "//", "/latest/meta-data/", "/openstack/latest/meta_data.json", "/latest/../x", "/%2e%2e", "\x00", "/1.0/meta-data/public-keys/0/openssh-key"} {
		f.Add(p)
	}
	i, _ := asking(cloud(), "router/router-red", "10.1.0.7")
	secret := "blue-db"
	f.Fuzz(func(t *testing.T, path string) {
		file, ok := find(i, path)
		if ok && (file.kind == "" || strings.Contains(string(file.body), secret)) {
			t.Errorf("%q answers %q", path, file.body)
		}
	})
}

func TestCloseEndsEverything(t *testing.T) {
	h := New(Options{resolve: honest(local()), Lookup: directory(local()).Find})
	base := on(t, h, "network/lone")
	c, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	h.Close()
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := c.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Errorf("an open connection after Close: %v", err)
	}
	err = h.Apply(context.Background(), reconcile.Diff[host.ListenerKey, host.Listener]{Put: map[host.ListenerKey]host.Listener{{Address: "127.0.0.1:0"}: {}}})
	if err == nil {
		t.Error("a closed hand opens sockets")
	}
}
