package hostile

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"neutrino"
	"neutrino/plan/names"
)

var seed = flag.Uint64("seed", 1, "of the random groups and packets")

// packet is the first packet of a connection of an instance, to it or from it.
type packet struct {
	port     string // the instance's
	ingress  bool
	proto    int
	src, dst netip.Addr
	a, b     int // source and destination port, or ICMP type and code
	mac      string
}

func (p packet) remote() netip.Addr {
	if p.ingress {
		return p.src
	}
	return p.dst
}

// apiPort and apiRule are objects as the API shows them.
type apiPort struct {
	ID       string
	MAC      string   `json:"mac_address"`
	Groups   []string `json:"security_groups"`
	FixedIPs []struct {
		IP netip.Addr `json:"ip_address"`
	} `json:"fixed_ips"`
	Pairs []struct {
		IP  string `json:"ip_address"`
		MAC string `json:"mac_address"`
	} `json:"allowed_address_pairs"`
}

type apiRule struct {
	Direction, Ethertype string
	Protocol             *string
	Min                  *int    `json:"port_range_min"`
	Max                  *int    `json:"port_range_max"`
	Prefix               *string `json:"remote_ip_prefix"`
	Remote               *string `json:"remote_group_id"`
	Group                string  `json:"security_group_id"`
}

// objects are what the reference looks at.
type objects struct {
	ports map[string]apiPort
	rules []apiRule
}

// senders are the prefixes and MACs that a port may send from.
func (p apiPort) senders() (list []netip.Prefix, macs []string) {
	for _, f := range p.FixedIPs {
		list, macs = append(list, netip.PrefixFrom(f.IP, f.IP.BitLen())), append(macs, p.MAC)
	}
	for _, pair := range p.Pairs {
		prefix, err := netip.ParsePrefix(pair.IP)
		if a, bare := netip.ParseAddr(pair.IP); bare == nil {
			prefix, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil {
			panic(err)
		}
		list, macs = append(list, prefix.Masked()), append(macs, pair.MAC)
	}
	return list, macs
}

// allows is the reference: what the API's objects say about a packet.
func (o objects) allows(p packet) bool {
	port, udp := o.ports[p.port], p.proto == neutrino.ProtoUDP
	six, broadcast := p.src.Is6(), netip.AddrFrom4([4]byte{255, 255, 255, 255})
	icmp6 := six && p.proto == neutrino.ProtoICMPv6
	server, client := 67, 68
	if six {
		server, client = 547, 546
	}
	if p.ingress {
		own := slices.ContainsFunc(port.FixedIPs, func(f struct {
			IP netip.Addr `json:"ip_address"`
		}) bool {
			return f.IP == p.dst
		})
		if icmp6 && slices.Contains([]int{130, 134, 135, 136}, p.a) || udp && p.a == server && p.b == client && (own || p.dst == broadcast) {
			return true
		}
		return o.grants(port, p)
	}
	if udp && !six && p.a == client && p.b == server && p.src == netip.IPv4Unspecified() && p.dst == broadcast {
		return true
	}
	list, macs := port.senders()
	genuine := false
	for i := range list {
		genuine = genuine || list[i].Contains(p.src) && macs[i] == p.mac
	}
	switch {
	case !genuine:
		return false
	case icmp6:
		return p.a != 134
	case udp && p.a == server && p.b == client:
		return false
	}
	return udp && p.a == client && p.b == server || o.grants(port, p)
}

// grants reports whether a rule of the port's groups lets the packet pass.
func (o objects) grants(port apiPort, p packet) bool {
	direction := map[bool]string{true: "ingress", false: "egress"}[p.ingress]
	return slices.ContainsFunc(o.rules, func(r apiRule) bool {
		return slices.Contains(port.Groups, r.Group) && r.Direction == direction && (r.Ethertype == "IPv6") == p.src.Is6() && r.matches(o, p)
	})
}

func (r apiRule) matches(o objects, p packet) bool {
	if r.Prefix != nil && !netip.MustParsePrefix(*r.Prefix).Contains(p.remote()) {
		return false
	}
	if r.Remote != nil && !o.isMember(*r.Remote, p.remote()) {
		return false
	}
	if r.Protocol == nil {
		return true
	}
	n, _ := neutrino.ProtocolNumber(*r.Protocol)
	switch {
	case n == 0:
		return true
	case n != p.proto:
		return false
	case n == neutrino.ProtoICMP || n == neutrino.ProtoICMPv6:
		return (r.Min == nil || *r.Min == p.a) && (r.Max == nil || *r.Max == p.b)
	}
	return r.Min == nil || *r.Min <= p.b && p.b <= *r.Max
}

func (o objects) isMember(group string, a netip.Addr) bool {
	for _, p := range o.ports {
		list, _ := p.senders()
		if slices.Contains(p.Groups, group) && slices.ContainsFunc(list, func(x netip.Prefix) bool { return x.Contains(a) }) {
			return true
		}
	}
	return false
}

// S8 (CVE-2019-10876), S29 (OSSN-0029) and the property of failures.md section 2:
// for random groups with rules that overlap, and random packets, the planned
// rules forward what the API's objects allow, and nothing else.
func TestS8AndS29ThePlannedFirewallIsWhatTheRulesSay(t *testing.T) {
	w := newWorld(t)
	w.furnish()
	random := rand.New(rand.NewPCG(*seed, 8))
	packets, forwarded := 0, 0
	const rounds, each = 25, 4000
	for range rounds {
		o, made := w.randomGroups(random)
		firewall := readFirewall(t, w.hosts()[compute].state)
		ids := sorted(o.ports)
		for range each {
			p := o.randomPacket(random, ids[random.IntN(len(ids))])
			want, got := o.allows(p), firewall.forwards(p, names.Tap(neutrino.ID(p.port)))
			if packets++; got {
				forwarded++
			}
			if want != got {
				t.Errorf("seed %d: %+v: the rules say %v, the firewall %v\nport %+v\n%v", *seed, p, want, got, o.ports[p.port], firewall.text(neutrino.ID(p.port), p))
				return
			}
		}
		for _, path := range made {
			w.must(admin(), "DELETE", path, "")
		}
	}
	t.Logf("seed %d: %d packets, %d forwarded", *seed, packets, forwarded)
	if forwarded < packets/20 || forwarded > packets*19/20 {
		t.Error("nearly all packets had one fate: this proves little")
	}
}

// randomGroups makes two groups with rules and three instances in them, and
// reads back what the API says of them.
func (w *world) randomGroups(random *rand.Rand) (objects, []string) {
	o := objects{ports: map[string]apiPort{}}
	var made, groups []string
	for range 2 {
		g := w.make("some", "/v2.0/security-groups", "security_group", fmt.Sprintf(`"project_id":%q,"name":"r"`, mine))
		groups = append(groups, fmt.Sprint(g["id"]))
		made = append(made, "/v2.0/security-groups/"+fmt.Sprint(g["id"]))
		if random.IntN(2) == 0 { // without the rules that let everything out
			for _, r := range g["security_group_rules"].([]any) {
				w.must(admin(), "DELETE", "/v2.0/security-group-rules/"+fmt.Sprint(r.(map[string]any)["id"]), "")
			}
		}
	}
	for range 3 {
		pairs := []string{`[]`, `[{"ip_address":"10.1.7.0/24"}]`, `[{"ip_address":"10.1.9.9","mac_address":"fa:16:3e:99:99:99"},{"ip_address":"2001:db8:1::/64"}]`, `[{"ip_address":"0.0.0.0/0"}]`, `[{"ip_address":"::/0"}]`}
		chosen := quoted(groups[random.IntN(2)])
		if random.IntN(2) == 0 {
			chosen = quoted(groups[0]) + "," + quoted(groups[1])
		}
		p := w.make("some", "/v2.0/ports", "port", fmt.Sprintf(`"project_id":%q,"network_id":%q,"security_groups":[%s],"binding:host_id":%q,"allowed_address_pairs":%s`,
			mine, w.ids["net"], chosen, compute, pairs[random.IntN(len(pairs))]))
		made = append([]string{"/v2.0/ports/" + fmt.Sprint(p["id"])}, made...)
	}
	for range 24 {
		body := randomRule(random, groups)
		a := w.checked(admin(), "POST", "/v2.0/security-group-rules", `{"security_group_rule":`+body+`}`)
		if a.status != 201 && a.status != 400 && a.status != 409 {
			w.t.Fatalf("%s: %d %s", body, a.status, a.text)
		}
		var r struct {
			Rule apiRule `json:"security_group_rule"`
		}
		if a.status == 201 && json.Unmarshal([]byte(a.text), &r) == nil && r.Rule.Protocol == nil && r.Rule.Min != nil {
			w.t.Fatalf("ports without a protocol are accepted (OSSN-0029): %s", a.text)
		}
	}
	o.read(w, groups)
	return o, made
}

// read takes the objects from the API.
func (o *objects) read(w *world, groups []string) {
	var list struct {
		Ports []apiPort
		Rules []apiRule `json:"security_group_rules"`
	}
	for _, g := range groups {
		if err := json.Unmarshal([]byte(w.must(admin(), "GET", "/v2.0/ports?security_groups="+g, "").text), &list); err != nil {
			w.t.Fatal(err)
		}
		for _, p := range list.Ports {
			o.ports[p.ID] = p
		}
		if err := json.Unmarshal([]byte(w.must(admin(), "GET", "/v2.0/security-group-rules?security_group_id="+g, "").text), &list); err != nil {
			w.t.Fatal(err)
		}
		o.rules = append(o.rules, list.Rules...)
		list.Ports, list.Rules = nil, nil
	}
}

func randomRule(random *rand.Rand, groups []string) string {
	pick := func(list ...string) string { return list[random.IntN(len(list))] }
	six := random.IntN(2) == 0
	body := fmt.Sprintf(`{"security_group_id":%q,"direction":%q,"ethertype":%q`, pick(groups...), pick("ingress", "egress"), map[bool]string{true: "IPv6", false: "IPv4"}[six])
	proto := pick("null", `"tcp"`, `"tcp"`, `"udp"`, `"udp"`, `"sctp"`, `"udplite"`, `"dccp"`, `"icmp"`, `"ipv6-icmp"`, `"gre"`, `"0"`, `"1"`, `"112"`, `"17"`)
	body += `,"protocol":` + proto
	if random.IntN(3) > 0 {
		low := 1 + random.IntN(40)
		body += fmt.Sprintf(`,"port_range_min":%d,"port_range_max":%d`, low, low+random.IntN(30)*random.IntN(2))
	} else if random.IntN(4) == 0 {
		body += fmt.Sprintf(`,"port_range_min":%d`, random.IntN(20))
	}
	switch random.IntN(4) {
	case 0:
		body += `,"remote_group_id":` + quoted(pick(groups...))
	case 1:
		if six {
			body += `,"remote_ip_prefix":` + quoted(pick("2001:db8:1::/64", "::/0", "2001:db8:1::4000/120", "2001:db8:2::/48", "::/1"))
		} else {
			body += `,"remote_ip_prefix":` + quoted(pick("10.1.0.0/16", "10.1.0.7/16", "0.0.0.0/0", "10.1.7.0/25", "192.0.2.0/24", "0.0.0.0/1"))
		}
	}
	return body + "}"
}

// randomPacket is a packet that some rule may be about.
func (o objects) randomPacket(random *rand.Rand, port string) packet {
	six := random.IntN(2) == 0
	p := packet{port: port, ingress: random.IntN(2) == 0, mac: o.ports[port].MAC, a: random.IntN(75), b: random.IntN(75)}
	p.proto = []int{1, 6, 6, 17, 17, 33, 47, 58, 112, 132, 136, 2}[random.IntN(12)]
	if p.proto == neutrino.ProtoICMP || p.proto == neutrino.ProtoICMPv6 {
		p.a, p.b = []int{0, 3, 8, 11, 128, 129, 130, 133, 134, 135, 136, random.IntN(60)}[random.IntN(12)], random.IntN(60)
	}
	if p.proto == neutrino.ProtoUDP && random.IntN(5) == 0 {
		p.a, p.b = []int{67, 68, 546, 547}[random.IntN(4)], []int{67, 68, 546, 547}[random.IntN(4)]
	}
	if random.IntN(10) == 0 {
		p.mac = []string{"fa:16:3e:99:99:99", "fa:16:3e:00:00:66"}[random.IntN(2)]
	}
	own, far := o.someAddress(random, []string{port}, six), o.someAddress(random, sorted(o.ports), six)
	if p.src, p.dst = own, far; p.ingress {
		p.src, p.dst = far, own
	}
	if !six && random.IntN(30) == 0 {
		p.dst = netip.AddrFrom4([4]byte{255, 255, 255, 255})
	}
	return p
}

// someAddress is mostly one of the ports', or of a prefix that rules name.
func (o objects) someAddress(random *rand.Rand, ports []string, six bool) netip.Addr {
	var all []netip.Addr
	for _, id := range ports {
		list, _ := o.ports[id].senders()
		for _, x := range list {
			if a := x.Addr(); a.Is6() == six && !a.IsUnspecified() {
				all = append(all, a, a.Next())
			}
		}
	}
	other := []string{"10.1.7.200", "10.1.7.3", "192.0.2.7", "198.51.100.1", "10.1.200.1", "10.1.9.9"}
	if six {
		other = []string{"2001:db8:1::4001", "2001:db8:2::1", "2001:db8:3::1", "9000::1", "2001:db8:1::77"}
	}
	if len(all) == 0 || random.IntN(3) == 0 {
		return netip.MustParseAddr(other[random.IntN(len(other))])
	}
	return all[random.IntN(len(all))]
}
