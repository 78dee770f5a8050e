package hostile

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"neutrino"
	"neutrino/host"
	"neutrino/plan/names"
	"neutrino/store"
)

// theirNetwork makes a network of another project with an instance on it.
func (w *world) theirNetwork() {
	own := `"project_id":"` + theirs + `"`
	w.make("their net", "/v2.0/networks", "network", own)
	w.make("their subnet", "/v2.0/subnets", "subnet", own+`,"ip_version":4,"cidr":"10.77.0.0/24","network_id":"`+w.ids["their net"]+`"`)
	w.make("their group", "/v2.0/security-groups", "security_group", own+`,"name":"theirs"`)
	w.make("their port", "/v2.0/ports", "port", own+`,"network_id":"`+w.ids["their net"]+`","binding:host_id":"`+compute+`"`)
}

// S4 (CVE-2014-0056): no port of another project joins a router, a floating IP
// or a DHCP server by naming it.
func TestS4APortCannotNameAnothersDevice(t *testing.T) {
	w := newWorld(t)
	w.furnish()
	w.theirNetwork()
	before := w.hosts()[network].state.Text()
	port := "/v2.0/ports/" + w.ids["their port"]
	was := w.must(admin(), "GET", port, "").one()["device_owner"]
	for _, owner := range []string{"network:router_interface", "network:router_gateway", "network:floatingip", "network:ha_router_replicated_interface", "network:router_interface_distributed"} {
		for _, device := range []string{"router", "floating", "vm"} {
			for _, who := range []caller{stranger(), {"admin", "admin,member,reader", theirs}} {
				fields := fmt.Sprintf(`"device_owner":%q,"device_id":%q`, owner, w.ids[device])
				post := w.checked(who, "POST", "/v2.0/ports", fmt.Sprintf(`{"port":{"network_id":%q,%s}}`, w.ids["their net"], fields))
				put := w.checked(who, "PUT", port, `{"port":{`+fields+`}}`)
				router := device == "router" && (owner == "network:router_interface" || owner == "network:router_gateway")
				if router && (post.status < 400 || put.status < 400) {
					t.Errorf("%s: %s: POST %d, PUT %d", who.name, fields, post.status, put.status)
				}
				if post.status == 201 {
					w.send(admin(), "DELETE", "/v2.0/ports/"+fmt.Sprint(post.one()["id"]), "")
				}
				w.must(admin(), "PUT", port, fmt.Sprintf(`{"port":{"device_owner":%q,"device_id":""}}`, was))
				if after := w.hosts()[network].state.Text(); after != before {
					t.Fatalf("%s: %s changed the router's host", who.name, fields)
				}
			}
		}
	}
}

// S5 (CVE-2015-5240): whatever the owner is flipped to, and when, a port that is
// not the cloud's own is filtered in every state that a host could see.
func TestS5AFlippedOwnerNeverLeavesAPortUnfiltered(t *testing.T) {
	w := newWorld(t)
	w.furnish()
	w.theirNetwork()
	w.must(admin(), "PUT", "/v2.0/networks/"+w.ids["net"], `{"network":{"shared":true}}`)
	p := w.must(stranger(), "POST", "/v2.0/ports", `{"port":{"network_id":"`+w.ids["net"]+`","device_owner":"compute:nova"}}`).one()
	id := fmt.Sprint(p["id"])
	w.must(admin(), "PUT", "/v2.0/ports/"+id, `{"port":{"binding:host_id":"`+compute+`"}}`)
	flips := 10_000
	if testing.Short() {
		flips = 1_000
	}
	var wg sync.WaitGroup
	done := make(chan struct{})
	for g := range 4 {
		wg.Go(func() {
			owners := []string{"network:dhcp", "compute:nova", "network:router_interface", "", "network:" + canary, "Network:dhcp", " network:dhcp", "neutron:x", "compute:network:dhcp"}
			for i := range flips / 4 {
				owner := owners[(i+g)%len(owners)]
				a := w.send(stranger(), "PUT", "/v2.0/ports/"+id, `{"port":{"device_owner":`+quoted(owner)+`}}`)
				if refused := strings.HasPrefix(owner, "network:"); refused && a.status != 403 || !refused && a.status != 200 && a.status != 409 && a.status != 503 {
					t.Errorf("%q: %d %s", owner, a.status, a.text)
					return
				}
			}
		})
	}
	go func() { wg.Wait(); close(done) }()
	looks := 0
	for running := true; running; looks++ {
		select {
		case <-done:
			running = false
		default:
		}
		if problem := unfiltered(w.hosts()[compute].state, neutrino.ID(id)); problem != "" {
			t.Fatal(problem)
		}
	}
	t.Logf("%d flips, looked at %d times", flips, looks)
}

// unfiltered says how a port could pass without its rules.
func unfiltered(s *host.State, id neutrino.ID) string {
	c := names.OVSChains("neutron")
	for _, family := range []int{4, 6} {
		all := s.Chains[host.ChainKey{Family: family, Table: "filter", Chain: c.Wrap("sg-chain")}].Rules
		forward := s.Chains[host.ChainKey{Family: family, Table: "filter", Chain: c.Wrap("FORWARD")}].Rules
		for _, chain := range []string{c.In(id), c.Out(id)} {
			rules := s.Chains[host.ChainKey{Family: family, Table: "filter", Chain: chain}].Rules
			if !strings.HasSuffix(rules, "-j "+c.Wrap("sg-fallback")) || !strings.Contains(all, "-j "+chain+"\n") {
				return "chain " + chain + " is not in force: " + rules
			}
		}
		if strings.Contains(forward, names.Tap(id)+" --physdev-is-bridged -j ACCEPT") {
			return "frames of " + names.Tap(id) + " are accepted without a look"
		}
	}
	return ""
}

// rules sends rules to the group of the instance, and gives the plan to the tools.
func (w *world) rules(bodies []string) (accepted int) {
	j := newJudge(w.t)
	for i, body := range bodies {
		a := w.checked(member(), "POST", "/v2.0/security-group-rules", `{"security_group_rule":{"security_group_id":"`+w.ids["group"]+`",`+body+`}}`)
		if a.status == 201 {
			accepted++
		}
		if i%400 == 399 || i == len(bodies)-1 {
			j.look(w, body)
		}
	}
	j.put()
	return accepted
}

// S6 (CVE-2014-0187): a prefix in a rule is one that iptables takes, or refused.
func TestS6EveryPrefixOfARuleCompilesOrIsRefused(t *testing.T) {
	w := newWorld(t)
	w.furnish()
	var bodies []string
	for _, s := range append(addresses(), texts()...) {
		for _, family := range []string{"IPv4", "IPv6"} {
			for _, direction := range []string{"ingress", "egress"} {
				bodies = append(bodies, fmt.Sprintf(`"direction":%q,"ethertype":%q,"remote_ip_prefix":%s`, direction, family, quoted(s)))
			}
		}
	}
	if n := w.rules(bodies); n < 40 {
		t.Errorf("only %d of %d rules are accepted: this proves little", n, len(bodies))
	}
}

// S7 (CVE-2019-9735): every protocol with every kind of port range is one that
// iptables takes, or refused.
func TestS7EveryProtocolAndPortRangeCompilesOrIsRefused(t *testing.T) {
	w := newWorld(t)
	w.furnish()
	var bodies []string
	ranges := []string{"", `,"port_range_min":80,"port_range_max":90`, `,"port_range_min":5,"port_range_max":5`, `,"port_range_min":1,"port_range_max":65535`, `,"port_range_min":255`, `,"port_range_max":7`, `,"port_range_min":0,"port_range_max":0`}
	for _, family := range []string{"IPv4", "IPv6"} {
		for n := range 256 {
			for _, r := range ranges {
				bodies = append(bodies, fmt.Sprintf(`"direction":"ingress","ethertype":%q,"protocol":%q%s`, family, fmt.Sprint(n), r))
			}
		}
		for _, name := range []string{"ah", "dccp", "egp", "esp", "gre", "icmp", "icmpv6", "igmp", "ipip", "ipv6-encap", "ipv6-frag", "ipv6-icmp", "ipv6-nonxt", "ipv6-opts", "ipv6-route", "ospf", "pgm", "rsvp", "sctp", "tcp", "udp", "udplite", "vrrp", "hopopt", "ip", "any"} {
			for _, r := range ranges {
				bodies = append(bodies, fmt.Sprintf(`"direction":"egress","ethertype":%q,"protocol":%q%s`, family, name, r))
			}
		}
	}
	if n := w.rules(bodies); n < 500 {
		t.Errorf("only %d of %d rules are accepted: this proves little", n, len(bodies))
	}
}

// S9 (CVE-2015-3221): an address pair of any form is one that ipset, iptables
// and the switch take, or refused.
func TestS9EveryAddressPairCompilesOrIsRefused(t *testing.T) {
	w := newWorld(t)
	w.furnish()
	j := newJudge(t)
	accepted := 0
	for _, s := range append(addresses(), texts()...) {
		for _, mac := range []string{"", `,"mac_address":"fa:16:3e:12:34:56"`} {
			body := `{"port":{"allowed_address_pairs":[{"ip_address":` + quoted(s) + mac + `}]}}`
			if a := w.checked(member(), "PUT", "/v2.0/ports/"+w.ids["vm"], body); a.status == 200 {
				accepted++
				j.look(w, body)
			}
		}
	}
	j.put()
	if accepted < 40 || len(j.sets) < 20 {
		t.Errorf("%d pairs accepted, %d sets: this proves little", accepted, len(j.sets))
	}
}

// S10 (CVE-2014-3555): what one object can hold is bounded.
func TestS10ListsOfOneObjectAreBounded(t *testing.T) {
	w := newWorld(t)
	w.furnish()
	port, subnet := "/v2.0/ports/"+w.ids["vm"], "/v2.0/subnets/"+w.ids["subnet"]
	for _, row := range []struct {
		path, one, attribute, form string
		most                       int
	}{
		{port, "port", "allowed_address_pairs", `{"ip_address":"10.1.%d.%d"}`, 10},
		{port, "port", "extra_dhcp_opts", `{"opt_name":"252","opt_value":"x%d-%d"}`, 64},
		{subnet, "subnet", "dns_nameservers", `"10.%d.%d.1"`, 5},
		{subnet, "subnet", "host_routes", `{"destination":"10.%d.%d.0/24","nexthop":"10.1.0.9"}`, 20},
		{"/v2.0/routers/" + w.ids["router"], "router", "routes", `{"destination":"10.9.%d.%d/32","nexthop":"10.1.0.9"}`, 30},
	} {
		within := w.checked(member(), "PUT", row.path, fmt.Sprintf(`{%q:{%q:%s}}`, row.one, row.attribute, many(row.most, row.form)))
		beyond := w.checked(member(), "PUT", row.path, fmt.Sprintf(`{%q:{%q:%s}}`, row.one, row.attribute, many(row.most+1, row.form)))
		if within.status != 200 || beyond.status != 400 && beyond.status != 409 {
			t.Errorf("%s: %d of them: %d %.200s, one more: %d", row.attribute, row.most, within.status, within.text, beyond.status)
		}
	}
}

// S13 (CVE-2014-7821): no text costs time out of proportion.
func TestS13ALongTextIsRefusedAtOnce(t *testing.T) {
	w := newWorld(t)
	w.furnish()
	for _, s := range []string{strings.Repeat("a", 1<<20), strings.Repeat("a.", 1<<19), strings.Repeat("1.", 1<<19), strings.Repeat(":", 1<<20), strings.Repeat("-", 1<<20), strings.Repeat("1.1.1.1 ", 1<<17)} {
		for path, body := range map[string]string{
			"/v2.0/subnets/" + w.ids["subnet"]: `{"subnet":{"dns_nameservers":[` + quoted(s) + `]}}`,
			"/v2.0/ports/" + w.ids["vm"]:       `{"port":{"mac_address":` + quoted(s) + `}}`,
			"/v2.0/networks/" + w.ids["net"]:   `{"network":{"name":` + quoted(s) + `}}`,
		} {
			began := time.Now()
			if a := w.checked(member(), "PUT", path, body); a.status != 400 && a.status != 403 {
				t.Errorf("%s %.60s: %d", path, body, a.status)
			}
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("%s %.60s took %v", path, body, took)
			}
		}
	}
}

// S14 (CVE-2014-6414): the policy looks at what is named, not at what differs
// from the default.
func TestS14AnAttributeIsNotResetToItsDefaultByAnybody(t *testing.T) {
	w := newWorld(t)
	w.furnish()
	for _, row := range [][3]string{
		{"/v2.0/networks/" + w.ids["net"], "network", `"shared":false`}, {"/v2.0/networks/" + w.ids["net"], "network", `"router:external":false`},
		{"/v2.0/ports/" + w.ids["vm"], "port", `"binding:host_id":""`}, {"/v2.0/ports/" + w.ids["vm"], "port", `"binding:profile":{}`},
		{"/v2.0/routers/" + w.ids["router"], "router", `"external_gateway_info":{"network_id":"` + w.ids["external"] + `","enable_snat":true}`},
	} {
		if a := w.checked(member(), "PUT", row[0], `{"`+row[1]+`":{`+row[2]+`}}`); a.status != 403 {
			t.Errorf("a member's PUT of %s: %d %s", row[2], a.status, a.text)
		}
		w.must(admin(), "PUT", row[0], `{"`+row[1]+`":{`+row[2]+`}}`)
	}
}

// S19 (CVE-2021-40085): an option of DHCP stays one option of one port, on one
// line; and a client's id stays one field.
func TestS19AnOptionStaysOneOptionOfOneLine(t *testing.T) {
	w := newWorld(t)
	w.furnish()
	j := newJudge(t)
	accepted := 0
	for _, s := range append(texts(), addresses()...) {
		for _, name := range []string{"bootfile-name", "252", "client-id", "61", "dns-server", "domain-search", s} {
			body := `{"port":{"extra_dhcp_opts":[{"opt_name":` + quoted(name) + `,"opt_value":` + quoted(s) + `}]}}`
			if a := w.checked(member(), "PUT", "/v2.0/ports/"+w.ids["vm"], body); a.status == 200 {
				accepted++
				j.look(w, body)
				w.must(admin(), "PUT", "/v2.0/ports/"+w.ids["vm"], `{"port":{"extra_dhcp_opts":[{"opt_name":`+quoted(name)+`,"opt_value":null}]}}`)
			}
		}
	}
	j.put()
	if accepted < 100 {
		t.Errorf("%d options accepted: this proves little", accepted)
	}
}

// S20 (CVE-2021-40797): paths that nobody knows leave nothing behind.
func TestS20UnknownPathsLeaveNothingBehind(t *testing.T) {
	w := newWorld(t)
	w.furnish()
	random := rand.New(rand.NewPCG(*seed, 20))
	ask := func(n int) {
		for i := range n {
			path := fmt.Sprintf("/v2.0/%x/%x", random.Uint64(), random.Uint64())
			switch i % 5 {
			case 1:
				path = fmt.Sprintf("/%x?%x=%x", random.Uint64(), random.Uint64(), random.Uint64())
			case 2:
				path = fmt.Sprintf("/v2.0/networks/%x", random.Uint64())
			case 3:
				path = fmt.Sprintf("/v2.0/ports?name=%x&marker=%x", random.Uint64(), random.Uint64())
			case 4:
				path = "/v2.0/extensions/" + url.PathEscape(fmt.Sprintf("%x\n", random.Uint64()))
			}
			if a := w.send(member(), "GET", path, ""); a.status >= 500 {
				t.Fatalf("%s: %d", path, a.status)
			}
		}
	}
	ask(5_000)
	before := heap()
	n := 150_000
	if testing.Short() {
		n = 20_000
	}
	ask(n)
	grown := heap() - before
	t.Logf("%d paths, the heap has grown by %d bytes", n, grown)
	if grown > 1<<20 {
		t.Errorf("%d unknown paths left %d bytes behind", n, grown)
	}
}

// heap is what is in use after all garbage is gone, bytes.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// S21 (CVE-2022-3277): what is only read writes nothing, however odd it is.
func TestS21NothingIsWrittenByReading(t *testing.T) {
	w := newWorld(t)
	w.furnish()
	before := w.db.Snapshot().Revision()
	for i, s := range append(texts(), addresses()...) {
		who := caller{"nobody", "member,reader", fmt.Sprintf("%032x", i)}
		for _, path := range []string{"/v2.0/security-groups?project_id=", "/v2.0/security-groups?name=default&tenant_id=", "/v2.0/networks/", "/v2.0/quotas/", "/v2.0/ports?project_id="} {
			w.checked(who, "GET", path+url.QueryEscape(s), "")
		}
	}
	if after := w.db.Snapshot().Revision(); after != before {
		t.Errorf("reading has written: revision %d became %d", before, after)
	}
}

// S23 (OSSN-0102): a child is below its own parent only.
func TestS23AChildIsBelowItsOwnParentOnly(t *testing.T) {
	w := newWorld(t)
	w.furnish()
	w.furnishMore()
	w.theirNetwork()
	w.make("other floating", "/v2.0/floatingips", "floatingip", `"project_id":"`+theirs+`","floating_network_id":"`+w.ids["external"]+`"`)
	text, err := json.Marshal(map[string]any{"port_forwarding": w.body("port_forwarding")})
	if err != nil {
		t.Fatal(err)
	}
	pf := fmt.Sprint(w.must(admin(), "POST", w.fill("/v2.0/floatingips/<floating>/port_forwardings"), string(text)).one()["id"])
	w.must(admin(), "POST", w.fill("/v2.0/ports/<vm>/bindings"), `{"binding":{"host":"`+network+`"}}`)
	before := w.db.Snapshot().Revision()
	for _, who := range []caller{admin(), stranger()} {
		for _, path := range []string{"/v2.0/floatingips/" + w.ids["other floating"] + "/port_forwardings/" + pf, "/v2.0/ports/" + w.ids["their port"] + "/bindings/" + network} {
			for _, r := range [][2]string{{"GET", ""}, {"PUT", `{"port_forwarding":{"internal_port":81},"binding":{}}`}, {"DELETE", ""}} {
				if a := w.checked(who, r[0], path, r[1]); a.status != 404 && a.status != 403 && a.status != 405 && a.status != 400 {
					t.Errorf("%s: %s %s: %d %s", who.name, r[0], path, a.status, a.text)
				}
			}
		}
	}
	if after := w.db.Snapshot().Revision(); after != before {
		t.Error("something was changed below another parent")
	}
}

// S24 (bug 2152113): who sees a shared network takes no subnet of it.
func TestS24ASharedNetworksSubnetsStayItsOwners(t *testing.T) {
	w := newWorld(t)
	w.furnish()
	w.must(admin(), "PUT", "/v2.0/networks/"+w.ids["net"], `{"network":{"shared":true}}`)
	w.make("their pool", "/v2.0/subnetpools", "subnetpool", `"project_id":"`+theirs+`","name":"p","prefixes":["192.168.0.0/16"]`)
	a := w.checked(stranger(), "PUT", w.fill("/v2.0/subnetpools/"+w.ids["their pool"]+"/onboard_network_subnets"), `{"network_id":"`+w.ids["net"]+`"}`)
	if s, _ := store.Peek(w.db.Snapshot(), store.Subnets, neutrino.ID(w.ids["subnet"])); a.status < 400 || s.SubnetPoolID != "" {
		t.Errorf("%d %s, the subnet is now in pool %q", a.status, a.text, s.SubnetPoolID)
	}
}

// S26 (OSSN-0095): a remote that is not realised is refused, and what a rule
// brought goes with it.
func TestS26ARemoteIsRealisedOrRefusedAndGoesWithItsRule(t *testing.T) {
	w := newWorld(t)
	w.furnish()
	const rule = `{"security_group_rule":{"security_group_id":"<group>","direction":"ingress",%s}}`
	for _, odd := range []string{`"remote_address_group_id":"11111111-2222-4333-8444-555555555555"`, `"remote_group":"x"`, `"source_group_id":"x"`} {
		if a := w.checked(member(), "POST", "/v2.0/security-group-rules", w.fill(fmt.Sprintf(rule, odd))); a.status != 400 && a.status != 404 {
			t.Errorf("%s: %d %s", odd, a.status, a.text)
		}
	}
	before := w.hosts()[compute].state.Text()
	remote := w.make("remote", "/v2.0/security-groups", "security_group", `"project_id":"`+mine+`","name":"r"`)
	member1 := w.must(member(), "POST", "/v2.0/ports", w.fill(`{"port":{"network_id":"<net>","security_groups":["<remote>"]}}`)).one()
	without := w.hosts()[compute].state.Text()
	made := w.must(member(), "POST", "/v2.0/security-group-rules", w.fill(fmt.Sprintf(rule, `"remote_group_id":"<remote>"`))).one()
	if w.hosts()[compute].state.Text() == without {
		t.Error("the rule changed nothing")
	}
	w.must(member(), "DELETE", "/v2.0/security-group-rules/"+fmt.Sprint(made["id"]), "")
	if after := w.hosts()[compute].state.Text(); after != without {
		t.Error("a deleted rule is still in the plan")
	}
	w.must(member(), "DELETE", "/v2.0/ports/"+fmt.Sprint(member1["id"]), "")
	w.must(member(), "DELETE", "/v2.0/security-groups/"+fmt.Sprint(remote["id"]), "")
	if after := w.hosts()[compute].state.Text(); after != before {
		t.Error("something of the rule is left in the plan")
	}
}

// S31 (OSSN-0011): a reference to a group that is missing or foreign is an error,
// and a group without members lets nobody in.
func TestS31AReferenceToNoGroupOpensNothing(t *testing.T) {
	w := newWorld(t)
	w.furnish()
	w.theirNetwork()
	before := w.hosts()[compute].state.Text()
	const nobody = "11111111-2222-4333-8444-555555555555"
	for _, id := range []string{nobody, w.ids["their group"], "x", w.ids["vm"]} {
		for path, body := range map[string]string{
			"/v2.0/security-group-rules": `{"security_group_rule":{"security_group_id":"<group>","direction":"ingress","remote_group_id":"` + id + `"}}`,
			"/v2.0/ports":                `{"port":{"network_id":"<net>","security_groups":["` + id + `"]}}`,
		} {
			if a := w.checked(member(), "POST", path, w.fill(body)); a.status != 404 && a.status != 400 {
				t.Errorf("%s with the group %s: %d %s", path, id, a.status, a.text)
			}
		}
		own := `{"security_group_rule":{"security_group_id":"` + id + `","direction":"ingress"}}`
		if a := w.checked(member(), "POST", "/v2.0/security-group-rules", own); a.status != 404 && a.status != 400 {
			t.Errorf("a rule of the group %s: %d %s", id, a.status, a.text)
		}
	}
	w.make("empty", "/v2.0/security-groups", "security_group", `"project_id":"`+mine+`","name":"e"`)
	w.must(member(), "POST", "/v2.0/security-group-rules", w.fill(`{"security_group_rule":{"security_group_id":"<group>","direction":"ingress","remote_group_id":"<empty>"}}`))
	if after := w.hosts()[compute].state.Text(); after != before {
		t.Error("a rule about a group without members changed the plan")
	}
}
